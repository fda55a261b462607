"""The package as a whole: cheap to import, free of what it does not need, and the same under any other name."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

import cozeloop_lite
from cozeloop_lite.local import StandInServer

PACKAGE = pathlib.Path(cozeloop_lite.__file__).parent

BLOCKER = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in BLOCKED:
                raise ImportError("blocked: " + name)

    BLOCKED = {"urllib3", "jinja2", "dataclasses", "typing", "requests", "httpx", "pydantic", "setuptools"}
    for name in list(sys.modules):
        if name.partition(".")[0] in BLOCKED:
            del sys.modules[name]
    sys.meta_path.insert(0, Blocker())
"""


def run(code, folder, **environment):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        env={**plain, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8", **environment},
        cwd=str(folder),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8").split(), done.stderr.decode("utf-8")


# -- importing ------------------------------------------------------------------------------------------------------


def test_importing_needs_nothing_but_the_standard_library():
    out, err = run(BLOCKER + """
    import cozeloop_lite
    print(cozeloop_lite.__version__)
    """, PACKAGE.parent)
    assert out == [cozeloop_lite.__version__]
    assert err == ""


def test_a_span_needs_nothing_but_the_standard_library():
    out, _ = run(BLOCKER + """
    import cozeloop_lite

    class Sink:
        def export_spans(self, spans):
            print(*[span["span_name"] for span in spans])

    client = cozeloop_lite.new_client(workspace_id="7", api_token="t", exporter=Sink())
    with cozeloop_lite.start_span("root", "custom") as span:
        span.set_input({"a": [1, "x"]})
        span.set_tags({"a": 1})
        span.set_error(ValueError("bad"))
        cozeloop_lite.inject({})
        with cozeloop_lite.start_span("child", child_of=cozeloop_lite.extract({"baggage": "a=1"})):
            pass
    assert client.close()
    """, PACKAGE.parent)
    assert out == ["child", "root"]


def test_importing_loads_next_to_nothing():
    out, _ = run("""
    import __future__, logging, sys, json, weakref, atexit, threading
    sys.modules.pop("importlib", None)  # the environment may have loaded it for itself
    before = set(sys.modules)
    import cozeloop_lite
    print(*sorted(set(sys.modules) - before))
    """, PACKAGE.parent)
    assert out == ["cozeloop_lite", "cozeloop_lite.logger", "cozeloop_lite.process"]


def test_a_first_span_loads_nothing_for_requests():
    out, _ = run("""
    import sys

    heavy = {"urllib3", "jinja2", "ssl", "dataclasses", "urllib.parse", "base64", "email"}
    for name in heavy:
        sys.modules.pop(name, None)  # the environment may have loaded some for itself
    import cozeloop_lite

    for url in ("http://127.0.0.1:8888", "https://loop.example.com"):
        client = cozeloop_lite.new_client(workspace_id="7", api_token="t", api_base_url=url)
        client.start_span("step", "custom").discard()
    print(*sorted(heavy & set(sys.modules)))
    """, PACKAGE.parent)
    assert out == []


def test_a_first_span_loads_nothing_for_delivery():
    out, _ = run("""
    import sys
    import cozeloop_lite

    client = cozeloop_lite.new_client(workspace_id="7", api_token="t")
    span = client.start_span("step", "custom")
    span.set_input("how are you?")
    span.set_output({"choices": [{"text": "fine"}, 1, None]})
    span.set_tags({"number": 1, "text": "x"})
    span.discard()
    late = "api.retry", "api.transport", "trace.encoding", "trace.events"
    print(*[name for name in late if "cozeloop_lite." + name in sys.modules])
    """, PACKAGE.parent)
    assert out == []


def test_importing_starts_no_thread():
    out, _ = run("""
    import threading
    import cozeloop_lite
    client = cozeloop_lite.new_client(workspace_id="7", api_token="t")
    print(threading.active_count())
    """, PACKAGE.parent)
    assert out == ["1"]


# -- names ----------------------------------------------------------------------------------------------------------


def test_every_public_name_is_there():
    for name in cozeloop_lite.__all__:
        assert getattr(cozeloop_lite, name) is not None
    assert len(set(cozeloop_lite.__all__)) == len(cozeloop_lite.__all__)
    assert set(cozeloop_lite.__all__) <= set(dir(cozeloop_lite))


def test_a_star_import_brings_every_public_name():
    names = {}
    exec("from cozeloop_lite import *", names)
    assert set(cozeloop_lite.__all__) <= set(names)


def test_every_error_is_a_public_name():
    for name in cozeloop_lite.errors.__all__:
        assert getattr(cozeloop_lite, name) is getattr(cozeloop_lite.errors, name)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        cozeloop_lite.no_such_name  # noqa: B018


def test_type_checkers_see_the_same_names():
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    seen = source[source.index("if TYPE_CHECKING:") : source.index("__version__ =")]
    assert set(cozeloop_lite.__all__) - {"__version__"} <= set(re.findall(r"\w+", seen))
    assert (PACKAGE / "py.typed").exists()


def test_the_version_is_written_once():
    version = cozeloop_lite.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", version)
    for path in PACKAGE.rglob("*.py"):
        if path != PACKAGE / "__init__.py":
            assert '"%s"' % version not in path.read_text(encoding="utf-8"), path


# -- under another name ---------------------------------------------------------------------------------------------


def test_imports_inside_the_package_are_relative():
    absolute = re.compile(r"^\s*(from|import)\s+cozeloop_lite\b", re.M)
    for path in PACKAGE.rglob("*.py"):
        code = re.sub(r'"""(?s:.*?)"""', "", path.read_text(encoding="utf-8"))
        assert not absolute.search(code), path


def test_a_copied_folder_works_under_any_name(tmp_path):
    vendored = tmp_path / "acme" / "_vendor" / "cozeloop_lite"
    shutil.copytree(str(PACKAGE), str(vendored), ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "acme", tmp_path / "acme" / "_vendor"):
        (folder / "__init__.py").write_text("")
    with StandInServer() as server:
        _, err = run("""
        import sys
        sys.modules["cozeloop_lite"] = None  # the original is not to be found
        from acme._vendor import cozeloop_lite

        with cozeloop_lite.start_span("root", "custom") as root:
            root.set_input({"中": [1]})
            with cozeloop_lite.start_span("child", "tool") as child:
                child.set_tags({"n": 1})
        assert cozeloop_lite.flush(), cozeloop_lite.stats()
        for name in cozeloop_lite.__all__:
            getattr(cozeloop_lite, name)
        assert not [name for name in sys.modules if name.startswith("cozeloop_lite.")]
        """, tmp_path, COZELOOP_API_BASE_URL=server.url, COZELOOP_API_TOKEN="t", COZELOOP_WORKSPACE_ID="7")
        spans = {span["span_name"]: span for span in server.store.spans()}
    assert err == ""
    assert set(spans) == {"root", "child"}
    assert spans["child"]["parent_id"] == spans["root"]["span_id"]
    assert spans["root"]["input"] == '{"中":[1]}'
    assert spans["root"]["warnings"] == spans["child"]["warnings"] == []
