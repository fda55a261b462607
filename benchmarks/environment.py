"""Where the measurements run: an environment for each client, and the machine around them."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENVS = os.path.join(ROOT, ".venvs")
SOURCES = os.path.join(VENVS, "bench-sources")  # a copy of this package, from where no environment finds another client
PACKAGES = {
    "cozeloop_lite": [],  # the tree as it is here, which is installed anew each time
    "cozeloop": ["cozeloop"],
    "opentelemetry": ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"],
    "langfuse": ["langfuse"],
}
_PARTS = ("cozeloop_lite", "setup.py", "pyproject.toml", "README.md", "LICENSE")

_VERSIONS = """
import json
from importlib.metadata import distributions
print(json.dumps({each.metadata["Name"]: each.version for each in distributions()}))
"""


def home(library: str) -> str:
    """The folder of the environment of ``library``."""
    return os.path.join(VENVS, "bench-" + library.replace("_", "-"))


def make(library: str) -> str:
    """The interpreter of an environment that has ``library``; it is made when it is not there yet."""
    folder, packages = home(library), PACKAGES[library]
    python = os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python")
    complete = os.path.join(folder, "complete")  # written last: a broken-off installation is done again
    wanted = "%s %s" % (sys.version, packages)
    if _read(complete) != wanted:
        print("installing %s into %s ..." % (library, os.path.relpath(folder)), file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        if packages:
            subprocess.run([python, "-m", "pip", "install", "-qq", *packages], check=True)
        with open(complete, "w") as file:
            file.write(wanted)
    if library == "cozeloop_lite":
        with tempfile.TemporaryDirectory() as sources:  # building leaves files behind
            _copy(_PARTS, sources)
            subprocess.run([python, "-m", "pip", "install", "-qq", sources], check=True)
    return python


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def lay_sources() -> None:
    """Put a copy of this package where every interpreter finds it, and nothing else."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    _copy(["benchmarks"], SOURCES)


def _copy(parts, target) -> None:
    for part in parts:
        source, copy = os.path.join(ROOT, part), os.path.join(target, part)
        if os.path.isdir(source):
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)


def variables() -> dict[str, str]:
    """The environment variables of a worker: nothing is configured, no proxy is in between."""
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "COZELOOP_", "OTEL_", "LANGFUSE_")) and not key.lower().endswith("_proxy")
    }
    env["PYTHONPATH"] = SOURCES
    return env


def forget_byte_code(library: str) -> None:
    """Remove the byte code of ``library`` and all that came with it; the standard library keeps its own."""
    for folder, names, _ in os.walk(home(library)):
        if "__pycache__" in names:
            shutil.rmtree(os.path.join(folder, "__pycache__"))
            names.remove("__pycache__")


def write_byte_code(python: str) -> None:
    """Write the byte code of all that is in the environment of ``python``, as an installation does."""
    code = "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('purelib'), quiet=2)"
    subprocess.run([python, "-c", code], env=variables())


def load() -> str:
    """The load average of the last minute."""
    return "%.1f" % os.getloadavg()[0] if hasattr(os, "getloadavg") else "unknown"


def describe(pythons: dict[str, str]) -> dict[str, object]:
    """Date, machine and versions: without them the figures mean little."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": "%s, %s cores" % (_cpu_model(), os.cpu_count()),
        "system": platform.platform(),
        "python": "%s %s" % (platform.python_implementation(), platform.python_version()),
        "load": load(),
        "versions": {library: _versions(python) for library, python in pythons.items()},
    }


def _versions(python: str) -> dict[str, str]:
    done = subprocess.run([python, "-c", _VERSIONS], env=variables(), cwd=VENVS, stdout=subprocess.PIPE, check=True)
    versions = json.loads(done.stdout.decode())
    return {name: versions[name] for name in sorted(versions) if name not in ("pip", "setuptools", "wheel")}


def _commit() -> str:
    """The commit of the package, and whether it was changed since."""
    answers = []
    for command in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "cozeloop_lite"]):
        try:
            done = subprocess.run(["git", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError:
            return "unknown"
        answers.append(done.stdout.decode().strip())
    commit, changes = answers
    return "%s%s" % (commit or "unknown", ", with changes since" if changes else "")


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
