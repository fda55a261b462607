"""A program written for the official package runs unchanged: as this library by another name, or as a copied folder."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import textwrap

import pytest

import cozeloop_lite
from compat import official
from cozeloop_lite.local import StandInServer

PACKAGE = pathlib.Path(cozeloop_lite.__file__).parent
PROGRAM = os.path.join(official.HERE, "written_for_official.py")
PROMPT = {
    "prompt_key": "guide",
    "version": "0.0.1",
    "prompt_template": {
        "template_type": "normal",
        "messages": [
            {"role": "system", "content": "You know {{city}}."},
            {"role": "placeholder", "content": "history"},
            {"role": "user", "content": "{{question}}"},
        ],
        "variable_defs": [
            {"key": "city", "desc": "", "type": "string"},
            {"key": "question", "desc": "", "type": "string"},
            {"key": "history", "desc": "", "type": "placeholder"},
        ],
    },
    "llm_config": {"temperature": 0.5, "max_tokens": 100},
}
FORMATTED = ["You know Paris.", "Hello!", "Where to?"]


def run(*arguments, folder, **variables):
    done = official.run(sys.executable, *arguments, PYTHONPATH=str(folder), **variables)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert done.stderr == b""
    return done.stdout.decode("utf-8")


def run_code(code, folder=PACKAGE.parent):
    return run("-c", textwrap.dedent(code), folder=folder).split()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "guide.json").write_text(json.dumps(PROMPT))
    with StandInServer(prompts=str(tmp_path / "prompts")) as server:
        yield server


@pytest.fixture(params=["by another name", "a copied folder"])
def arguments(request, tmp_path):
    """How the interpreter is called, and where it finds the library."""
    if request.param == "a copied folder":
        shutil.copytree(str(PACKAGE), str(tmp_path / "copy" / "cozeloop"))
        return ["-c", "import runpy, sys; runpy.run_path(sys.argv[1])"], tmp_path / "copy"
    return ["-c", "import runpy, sys, cozeloop_lite.as_cozeloop; runpy.run_path(sys.argv[1])"], PACKAGE.parent


def settings(server):
    return {
        "COZELOOP_API_BASE_URL": server.url,
        "COZELOOP_API_TOKEN": "token-of-the-program",
        "COZELOOP_WORKSPACE_ID": "7",
    }


@pytest.mark.compat
def test_the_program_runs_with_the_official_package(server, official_python):
    done = official.run(official_python, PROGRAM, **settings(server))
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    out = json.loads(done.stdout.decode("utf-8").splitlines()[-1])
    assert out["formatted"] == FORMATTED


def test_a_program_written_for_the_official_package_runs_unchanged(server, arguments):
    how, folder = arguments
    out = json.loads(run(*how, PROGRAM, folder=folder, **settings(server)))
    assert out["formatted"] == FORMATTED
    assert out["workspace"] == "7"
    assert (out["work"], out["letters"], out["awaited"], out["search"]) == (42, "abc", 2, ["found", "x"])
    assert out["streamed"] is True
    spans = {span["span_name"]: span for span in server.store.spans()}
    assert {"answer", "call", "work", "letters", "awaited", "search", "remote"} <= set(spans)
    assert spans["call"]["parent_id"] == spans["answer"]["span_id"]
    assert spans["remote"]["parent_id"] == spans["answer"]["span_id"]
    assert spans["call"]["tags_long"]["tokens"] == 42
    assert json.loads(spans["call"]["input"])["messages"][0] == {"role": "user", "content": "hi"}


# -- the other name -------------------------------------------------------------------------------------------------


def test_the_modules_of_the_other_name_are_the_same_modules():
    out = run_code("""
        import sys
        import cozeloop_lite.as_cozeloop
        import cozeloop
        import cozeloop.spec.tracespec.model
        from cozeloop.decorator import observe
        from cozeloop.internal.consts.error import LoopError

        assert cozeloop is sys.modules["cozeloop_lite"]
        assert cozeloop.spec.tracespec is sys.modules["cozeloop_lite.spec.tracespec"]
        assert observe is cozeloop.observe and LoopError is cozeloop.LoopError
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "cozeloop":
                print(name)
                assert module is sys.modules["cozeloop_lite" + name[len("cozeloop"):]]
                assert module.__name__ == module.__spec__.name
    """)
    assert "cozeloop.decorator" in out


def test_what_is_not_here_is_not_found_by_the_other_name():
    out = run_code("""
        import importlib
        import cozeloop_lite.as_cozeloop

        for name in ("cozeloop.nothing", "cozeloop.logger.nothing", "cozeloop_nothing"):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as problem:
                print(name)
    """)
    assert out == ["cozeloop.nothing", "cozeloop.logger.nothing", "cozeloop_nothing"]


def test_importing_it_twice_is_importing_it_once():
    out = run_code("""
        import importlib, sys
        import cozeloop_lite.as_cozeloop as module

        before = len(sys.meta_path)
        importlib.reload(module)
        print(len(sys.meta_path) - before)
    """)
    assert out == ["0"]


def test_when_the_official_package_is_loaded_already_it_says_so():
    out = run_code("""
        import sys, types
        sys.modules["cozeloop"] = types.ModuleType("cozeloop")
        try:
            import cozeloop_lite.as_cozeloop
        except ImportError as problem:
            print(problem)
    """)
    assert "before" in out


def test_it_works_for_a_vendored_copy(tmp_path):
    vendored = tmp_path / "acme" / "_vendor" / "cozeloop_lite"
    shutil.copytree(str(PACKAGE), str(vendored), ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "acme", tmp_path / "acme" / "_vendor"):
        (folder / "__init__.py").write_text("")
    code = "import acme._vendor.cozeloop_lite.as_cozeloop, cozeloop.decorator; print(cozeloop.decorator.__name__)"
    assert run_code(code, tmp_path) == ["acme._vendor.cozeloop_lite.decorator"]


# -- what is called of a value --------------------------------------------------------------------------------------


def test_the_workspace_is_a_text_and_a_method(client):
    assert client.workspace_id == client.workspace_id() == cozeloop_lite.workspace_id() == "7"
    assert type(client.workspace_id()) is str
    assert json.dumps({client.workspace_id: client.workspace_id}) == '{"7": "7"}'


def test_baggage_is_a_dict_and_a_method(client):
    with client.start_span("root") as span:
        span.set_baggage({"a": "1"})
        assert span.baggage == span.baggage() == {"a": "1"}
        assert type(span.baggage()) is dict
        assert cozeloop_lite.extract(span.to_header()).baggage() == {"a": "1"}


def test_a_client_can_be_made_by_place_as_by_name(sink):
    placed = cozeloop_lite.new_client("http://localhost:1", "7", "t", "", "", "", 3, 30, True, 50, 20, True)
    named = cozeloop_lite.new_client(
        api_base_url="http://localhost:1",
        workspace_id="7",
        api_token="t",
        timeout=3,
        upload_timeout=30,
        ultra_large_report=True,
        prompt_cache_max_count=50,
        prompt_cache_refresh_interval=20,
        prompt_trace=True,
    )
    assert placed is named
