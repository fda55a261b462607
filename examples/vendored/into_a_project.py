"""Vendoring: the folder of the package, copied into a project under another name. urllib3 and jinja2 are installed.

python -m examples.vendored.into_a_project FOLDER makes a project in FOLDER (default: a temporary one) and runs it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cozeloop_lite

PACKAGE = Path(cozeloop_lite.__file__).resolve().parent
PROGRAM = '''\
from acme.third_party import tracing  # the copy, by the name that the project gave it

with tracing.start_span("report", "custom") as span:
    span.set_input("How many?")
    span.set_output(42)
print("trace", span.trace_id)
print("by", tracing.Span.__module__)
'''


def main() -> None:
    project = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="acme-"))
    third_party = project / "acme" / "third_party"
    third_party.mkdir(parents=True, exist_ok=True)
    for package in (third_party.parent, third_party):
        (package / "__init__.py").touch()
    (project / "acme" / "report.py").write_text(PROGRAM, encoding="utf-8")

    # This is all there is to vendoring. To update, delete the copy and make it again.
    copy = third_party / "tracing"
    shutil.rmtree(str(copy), ignore_errors=True)
    shutil.copytree(str(PACKAGE), str(copy), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(str(PACKAGE.parent / "LICENSE"), str(copy))  # its text has to stay with the code

    print("copied to", copy, flush=True)
    sys.exit(subprocess.call([sys.executable, "-m", "acme.report"], cwd=str(project)))


if __name__ == "__main__":
    main()
