"""Runs the tests of the integrations with the newest releases of the other libraries, and with the oldest.

    python tests/matrix_integrations.py            both
    python tests/matrix_integrations.py --oldest   with what constraints-oldest.txt says
    python tests/matrix_integrations.py --newest   with what the index has today

Arguments that follow ``--`` are handed to pytest. Environments are kept under ``.venvs`` and used again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from matrix import NEW_URLLIB3, OLD_URLLIB3, PARALLEL, ROOT, interpreters

# What has a library beside it; what needs several of them is in there as well.
TESTS = (
    "integration/test_openai_wrapper.py",
    "integration/test_langchain.py",
    "unit/test_to_runnable.py",
    "integration/test_wsgi.py",
    "integration/test_outgoing.py",
    "integration/test_httpx_client.py",
    "integration/test_otel.py",
    "unit/test_otlp.py",
    "integration/test_frameworks.py",
)
OLDEST_ON = (3, 9)  # the CPython for which all of constraints-oldest.txt was made
SHOWN = (
    "Django", "Flask", "bottle", "celery", "httpx", "langchain-core", "openai", "opentelemetry-sdk", "requests",
    "urllib3",
)  # fmt: skip


def environment(python: str, name: str, *needs: str) -> str:
    """The interpreter of an environment with what ``pip install`` makes of ``needs`` today."""
    folder = os.path.join(ROOT, ".venvs", name)
    inside = os.path.join(folder, "bin", "python")
    if not os.path.exists(inside):
        subprocess.run([python, "-m", "venv", folder], check=True)
    install = [inside, "-m", "pip", "install", "--quiet", "--prefer-binary", "--upgrade", *needs]
    subprocess.run([*install, "-r", os.path.join(ROOT, "tests", "requirements.txt")], check=True)
    return inside


def versions(python: str) -> str:
    """Which releases these are."""
    listed = subprocess.run([python, "-m", "pip", "freeze"], stdout=subprocess.PIPE, check=True)
    return ", ".join(sorted(line for line in listed.stdout.decode().split() if line.partition("==")[0] in SHOWN))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oldest", action="store_true", help="the oldest releases only")
    parser.add_argument("--newest", action="store_true", help="the newest releases only")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    args = parser.parse_args()
    found = interpreters()
    runs = []
    if not args.newest:
        if OLDEST_ON not in found:
            parser.error("the oldest releases need CPython %d.%d, which is not here: --newest" % OLDEST_ON)
        constraints = os.path.join(ROOT, "tests", "constraints-oldest.txt")
        runs.append(("oldest", found[OLDEST_ON], (OLD_URLLIB3, "-c", constraints)))
    if not args.oldest:
        runs.append(("newest", found[max(found)], (NEW_URLLIB3,)))
    failed = []
    for label, interpreter, needs in runs:
        python = environment(interpreter, "integrations-" + label, "jinja2>=3.0,<4", "celery>=5.2", *needs)
        print("\n=== %s: %s" % (label, versions(python)), flush=True)
        command = [python, "-m", "pytest", *PARALLEL, *args.pytest, *(os.path.join("tests", name) for name in TESTS)]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": ROOT}).returncode:
            failed.append(label)
    print("\n%d runs, %d failed%s" % (len(runs), len(failed), ": " + "; ".join(failed) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
