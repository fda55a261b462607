"""Where the programs run: an environment for each library, made on the first run, and the machine around them."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
ROOT = os.path.dirname(TESTS)
VENVS = os.path.join(ROOT, ".venvs")

LITE, OFFICIAL, OTEL = "lite", "official", "otel"  # the libraries, by short names
# cozeloop_lite itself comes from this tree, by PYTHONPATH; gunicorn is one of the ways to end a process.
PACKAGES = {
    LITE: ["urllib3>=1.26,<3", "jinja2>=3.0,<4", "gunicorn"],
    OFFICIAL: ["cozeloop", "gunicorn"],
    OTEL: ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "gunicorn"],
}

_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in ["cozeloop", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "urllib3"]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def python_of(library: str) -> str:
    """The interpreter that has ``library``; its environment is made when it is not there yet."""
    home = os.path.join(VENVS, "chaos-" + library)
    python = os.path.join(home, "bin", "python")
    complete = os.path.join(home, "complete")  # written last: a broken-off installation is done again
    if not os.path.exists(complete):
        print("installing %s into %s ..." % (", ".join(PACKAGES[library]), os.path.relpath(home)), file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[library]], check=True)
        with open(complete, "w") as file:
            file.write("\n".join(PACKAGES[library]))
    return python


def variables(**more: str) -> dict[str, str]:
    """The environment variables of a program: nothing is configured, no proxy is in between."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "COZELOOP_", "OTEL_")) and not key.lower().endswith("_proxy")
    }
    kept["PYTHONPATH"] = os.pathsep.join([TESTS, ROOT])
    kept["PYTHONWARNINGS"] = "ignore"  # newer Pythons warn of a fork with threads
    kept.update(more)
    return kept


def describe(pythons: dict[str, str]) -> dict[str, object]:
    """Date, machine and versions: without them the figures mean little."""
    from cozeloop_lite import __version__

    found = {}
    for library, python in pythons.items():
        out = subprocess.run([python, "-c", _VERSIONS], env=variables(), stdout=subprocess.PIPE, check=True).stdout
        found[library] = json.loads(out.decode())
    unknown = "unknown"
    official, otel = found.get(OFFICIAL, {}), found.get(OTEL, {})
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "system": platform.platform(),
        "python": "%s %s" % (platform.python_implementation(), platform.python_version()),
        "cozeloop_lite": __version__,
        "urllib3": found.get(LITE, {}).get("urllib3", unknown),
        "cozeloop": official.get("cozeloop", unknown),
        "sdk": otel.get("opentelemetry-sdk", unknown),
        "exporter": otel.get("opentelemetry-exporter-otlp-proto-http", unknown),
    }


def load() -> float:
    """How many processes wanted a core lately (the average of a minute)."""
    return os.getloadavg()[0]


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
