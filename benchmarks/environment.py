"""Where the measurements run: an environment that holds the official client, and the machine around it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = os.path.join(ROOT, ".venvs", "bench-official")
# Both clients run on the interpreter of this one environment, so it also has what cozeloop_lite needs.
PACKAGES = ["cozeloop", "urllib3>=1.26,<3", "jinja2>=3.0,<4"]

_VERSIONS = """
import json, platform
from importlib.metadata import version
import cozeloop_lite
names = ["cozeloop", "httpx", "pydantic", "urllib3"]
print(json.dumps(dict({name: version(name) for name in names}, cozeloop_lite=cozeloop_lite.__version__)))
"""


def make_python() -> str:
    """The interpreter with the official client; the environment is made when it is not there yet."""
    python = os.path.join(HOME, "Scripts" if os.name == "nt" else "bin", "python")
    complete = os.path.join(HOME, "complete")  # written last: a broken-off installation is done again
    if not os.path.exists(complete):
        print("installing the official client into %s ..." % os.path.relpath(HOME), file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", HOME], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        with open(complete, "w") as file:
            file.write("\n".join(PACKAGES))
    return python


def worker_env() -> dict[str, str]:
    """The environment variables of a worker: byte code is kept, nothing is configured, no proxy is in between."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "COZELOOP_")) and not key.lower().endswith("_proxy")
    }
    env["PYTHONPATH"] = ROOT  # cozeloop_lite and benchmarks, as they lie here
    return env


def describe(python: str) -> dict[str, object]:
    """Date, machine and versions: without them the figures mean little."""
    versions = subprocess.run([python, "-c", _VERSIONS], env=worker_env(), stdout=subprocess.PIPE, check=True).stdout
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        "system": platform.platform(),
        "python": "%s %s" % (platform.python_implementation(), platform.python_version()),
        "versions": json.loads(versions.decode()),
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
