"""Where the official client is: an interpreter that has it, made when there is none yet."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import shutil
import subprocess
import sys
from typing import Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VENVS = os.path.join(ROOT, ".venvs")
NAMES = ("official", "bench-cozeloop", "chaos-official")  # the first is made here, by `make bench`, by `make chaos`
NEEDS = (3, 8)  # Requires-Python of cozeloop 0.1.28: >=3.8,<4.0
INSTALL_SECONDS = 600


class NotInstalledError(Exception):
    """The official client can not be installed."""


@functools.lru_cache(maxsize=None)
def python() -> str | None:
    """The interpreter named by COZELOOP_COMPAT_PYTHON, one that can import it, or one that is made now.

    None when no Python here is new enough for it.
    """
    given = os.environ.get("COZELOOP_COMPAT_PYTHON")
    if given:
        return given
    with _alone():
        found = (candidate for candidate in (sys.executable, *map(_inside, NAMES)) if _has_official(candidate))
        return next(found, None) or _made()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Of several processes of pytest-xdist, one makes it and the others wait."""
    os.makedirs(VENVS, exist_ok=True)
    with open(os.path.join(VENVS, "official.lock"), "w") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            pass
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _inside(venv: str) -> str:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(VENVS, venv, folder, name)


def _has_official(interpreter: str) -> bool:
    return os.path.exists(interpreter) and _succeeds(interpreter, "-c", "import cozeloop")


def _made() -> str | None:
    base = _new_enough()
    if base is None:
        return None
    venv, interpreter = os.path.join(VENVS, NAMES[0]), _inside(NAMES[0])
    environment = {name: value for name, value in os.environ.items() if not name.lower().startswith("python")}
    for command in (
        (base, "-m", "venv", "--clear", venv),
        (interpreter, "-m", "pip", "install", "--disable-pip-version-check", "cozeloop"),
        (interpreter, "-c", "import cozeloop"),
    ):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=INSTALL_SECONDS, env=environment
        )
        if done.returncode != 0:
            raise NotInstalledError(
                "the official client can not be installed (set COZELOOP_COMPAT_PYTHON to an interpreter that has it):\n"
                f"{' '.join(command)}\n{done.stdout.decode(errors='replace')[-3000:]}"
            )
    return interpreter


def _new_enough() -> str | None:
    if sys.version_info >= NEEDS:
        return sys.executable
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser(os.path.join("~", ".pyenv"))
    candidates = [shutil.which(f"python3.{minor}") for minor in range(13, NEEDS[1] - 1, -1)]
    candidates += sorted(glob.glob(os.path.join(pyenv, "versions", "3.*", "bin", "python")), reverse=True)
    check = f"import sys, venv; sys.exit(sys.version_info < {NEEDS})"
    return next((found for found in candidates if found and _succeeds(found, "-c", check)), None)


def _succeeds(*command: str) -> bool:
    try:
        return run(*command).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def run(interpreter: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program in a folder where nothing is found by chance; its output, as bytes."""
    kept = {name: value for name, value in os.environ.items() if not _matters(name.lower())}
    environment = {**kept, "PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [interpreter, *arguments]
    return subprocess.run(command, capture_output=True, env=environment, cwd=HERE, timeout=INSTALL_SECONDS)


def _matters(name: str) -> bool:
    """Whether a variable of the environment changes what one of the clients does."""
    return name.startswith(("python", "cozeloop_", "x_", "osversion")) or name.endswith("_proxy")
