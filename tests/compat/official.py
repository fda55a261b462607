"""Where the official client is: an interpreter that has it, of those that other tests and the benchmarks made."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VENVS = ("official", "bench-cozeloop", "chaos-official")  # made by test_compat.py, `make bench`, `make chaos`


@functools.lru_cache(maxsize=None)
def python() -> str | None:
    """The interpreter named by COZELOOP_COMPAT_PYTHON, or another one that can import it; None when there is none."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    made = [os.path.join(ROOT, ".venvs", venv, folder, name) for venv in VENVS]
    candidates = [os.environ.get("COZELOOP_COMPAT_PYTHON", ""), sys.executable, *made]
    return next((candidate for candidate in candidates if _has_official(candidate)), None)


def _has_official(interpreter: str) -> bool:
    return os.path.exists(interpreter) and run(interpreter, "-c", "import cozeloop").returncode == 0


def run(interpreter: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program in a folder where nothing is found by chance; its output, as bytes."""
    kept = {name: value for name, value in os.environ.items() if not _matters(name.lower())}
    environment = {**kept, "PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run([interpreter, *arguments], capture_output=True, env=environment, cwd=HERE, timeout=600)


def _matters(name: str) -> bool:
    """Whether a variable of the environment changes what one of the clients does."""
    return name.startswith(("python", "cozeloop_", "x_", "osversion")) or name.endswith("_proxy")
