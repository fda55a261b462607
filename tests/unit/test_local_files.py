"""What the stand-in server says of the files that a span refers to."""

from __future__ import annotations

import json

import pytest

from cozeloop_lite.local import files


def storage(**fields):
    return json.dumps(fields)


def test_the_keys_of_texts_and_attachments_are_found_in_any_spelling():
    text = storage(input_tos_key="a", output_tos_key="b", Attachments=[{"tos_key": "c"}, {"tos_key": "d"}])
    assert files.keys(text) == ["a", "b", "c", "d"]
    assert files.keys(storage(Input_Tos_Key="a", attachments=[{"tos_key": "c"}])) == ["a", "c"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '{"attachments":5}', '{"attachments":[5,null,{}]}', '{"input_tos_key":null}', "[" * 100_000],
)
def test_what_is_no_object_storage_has_no_keys(text):
    assert files.keys(text) == []


def test_a_key_without_a_file_is_warned_of():
    (warning,) = files.warnings(storage(input_tos_key="there", output_tos_key="gone"), lambda key: key == "there")
    assert "'gone'" in warning


def test_a_key_with_the_workspace_in_it_is_warned_of():
    (warning,) = files.warnings(storage(input_tos_key="7/a"), lambda key: True)
    assert "slash" in warning
