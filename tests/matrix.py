"""Runs the tests on every CPython from 3.7 up that is on this machine, with urllib3 1.26 and with 2.x.

    python tests/matrix.py            every one, each with the newest urllib3 it can have, the ends with 1.26 as well
    python tests/matrix.py --ends     the oldest and the newest only
    python tests/matrix.py --list     say which there are

Arguments that follow ``--`` are handed to pytest. Environments are kept under ``.venvs`` and used again.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from glob import glob

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 7)
PARALLEL = ("-n", "2", "--dist", "loadfile")  # as in the Makefile
OLD_URLLIB3, NEW_URLLIB3 = "urllib3>=1.26,<2", "urllib3>=2,<3"


def version_of(python: str) -> tuple[int, ...] | None:
    """``(3, 11)`` for a CPython that runs; None for one that does not, such as a shim of a version manager."""
    code = "import sys, platform; print(platform.python_implementation(), *sys.version_info[:2])"
    try:
        words = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(rb"CPython (\d+) (\d+)\s*", words.stdout)
    return tuple(int(part) for part in found.groups()) if found and words.returncode == 0 else None


def interpreters() -> dict[tuple[int, ...], str]:
    """The path of one interpreter for each version, by version."""
    candidates = [sys.executable]
    candidates += [path for minor in range(7, 20) for path in [shutil.which("python3.%d" % minor)] if path]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates += sorted(glob(os.path.join(pyenv, "versions", "*", "bin", "python")))
    found: dict[tuple[int, ...], str] = {}
    for candidate in candidates:
        version = version_of(candidate)
        if version is not None and version >= OLDEST:
            found.setdefault(version, candidate)
    return dict(sorted(found.items()))


def environment(python: str, version: tuple[int, ...], urllib3: str) -> str:
    """The interpreter of an environment with the package, the tests' needs and that urllib3."""
    name = "py%d.%d-urllib3-%s" % (version[0], version[1], "1" if urllib3 == OLD_URLLIB3 else "2")
    folder = os.path.join(ROOT, ".venvs", name)
    inside = os.path.join(folder, "bin", "python")
    stamp = os.path.join(folder, "complete")
    needs = os.path.join(ROOT, "tests", "requirements.txt")
    if not os.path.exists(stamp) or os.path.getmtime(stamp) < os.path.getmtime(needs):
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        install = [inside, "-m", "pip", "install", "--quiet", urllib3, "jinja2>=3.0,<4", "-r", needs]
        subprocess.run(install, check=True)
        open(stamp, "w").close()
    return inside


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ends", action="store_true", help="the oldest and the newest only")
    parser.add_argument("--list", action="store_true", help="say which interpreters there are, and stop")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    args = parser.parse_args()
    found = interpreters()
    if args.list:
        for version, path in found.items():
            print("%d.%d  %s" % (version[0], version[1], path))
        return 0
    ends = [min(found), max(found)]
    runs = []
    for version in found:
        if version in ends or not args.ends:
            # urllib3 2 needs CPython 3.8 (3.7 has early releases of it, which count as well)
            runs.append((version, NEW_URLLIB3))
        if version in ends:
            runs.append((version, OLD_URLLIB3))
    failed = []
    for version, urllib3 in runs:
        label = "CPython %d.%d, %s" % (version[0], version[1], urllib3)
        print("\n=== %s" % label, flush=True)
        python = environment(found[version], version, urllib3)
        command = [python, "-m", "pytest", *PARALLEL, *args.pytest]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ROOT}).returncode:
            failed.append(label)
    print("\n%d runs, %d failed%s" % (len(runs), len(failed), ": " + "; ".join(failed) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
