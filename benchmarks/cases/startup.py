"""What a program pays before its first line, until its first span is finished, and until it is delivered: e, f.

The code goes to the interpreter by ``-c``: a module of our own would load others that an import then finds loaded.
"""

from __future__ import annotations

from ..work import TOKEN, WORKSPACE

IMPORTS = {
    "python": "pass",
    "urllib3": "import urllib3",
    "cozeloop_lite": "import cozeloop_lite",
    "cozeloop": "import cozeloop",
    "opentelemetry": """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
""",
    "langfuse": "import langfuse",
}

_COZELOOP = """
client = {library}.new_client(api_base_url={url!r}, workspace_id=%r, api_token=%r)
client.start_span("step", "custom").finish()
""" % (WORKSPACE, TOKEN)

FIRST_SPAN = {
    "cozeloop_lite": _COZELOOP,
    "cozeloop": _COZELOOP,
    "opentelemetry": """
client = TracerProvider()
client.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint={url!r} + "/v1/traces")))
with client.get_tracer("benchmark").start_as_current_span("step"):
    pass
""",
    "langfuse": """
client = langfuse.Langfuse(public_key="pk", secret_key="sk", base_url={url!r})
with client.start_as_current_observation(name="step"):
    pass
""",
}

END = {"cozeloop_lite": "client.close()", "cozeloop": "client.close()", "opentelemetry": "client.shutdown()"}
END["langfuse"] = END["opentelemetry"]

HEAVY = ("urllib3", "jinja2", "ssl", "dataclasses")

_TIMED = """
import sys, time
before = len(sys.modules); cpu = time.process_time(); begin = time.perf_counter()
{code}
ms = (time.perf_counter() - begin) * 1e3; cpu_ms = (time.process_time() - cpu) * 1e3
modules = len(sys.modules) - before
heavy = [name for name in {heavy!r} if name in sys.modules]
import json, os
print(json.dumps(dict(ms=ms, cpu_ms=cpu_ms, modules=modules, heavy=len(heavy)))); sys.stdout.flush()
os._exit(0)
"""


def import_code(library):
    """A program that says what its imports took, and ends without having sent anything."""
    return _TIMED.format(code=IMPORTS[library], heavy=HEAVY)


def first_span_code(library, url):
    """A program that says what it took to import, to make a client, and to finish a first span."""
    code = IMPORTS[library] + "\n" + FIRST_SPAN[library].format(library=library, url=url)
    return _TIMED.format(code=code, heavy=HEAVY)


def whole_code(library, url):
    """A program that reports one span and ends."""
    if library not in FIRST_SPAN:
        return IMPORTS[library]
    return "\n".join([IMPORTS[library], FIRST_SPAN[library].format(library=library, url=url), END[library]])
