"""libFuzzer for one reader, through atheris: it sees what code an input reaches, and goes on with what reaches more.

    python -m tests.fuzz.guided sse                     until something fails, or for ever
    python -m tests.fuzz.guided sse corpus -max_total_time=60 -max_len=4096

``corpus`` is a folder in which inputs are kept that reach new code; options with a dash are libFuzzer's. What makes the
reader fail is written into a file, which can be given in place of the folder to try it again.

atheris is not among the requirements of the tests: install it in an environment of its own (see ``__init__.py``).
"""

from __future__ import annotations

import os
import sys
import tempfile


def main():
    import atheris

    with atheris.instrument_imports(include=["cozeloop_lite"]):
        from .readers import READERS
    from . import running

    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit("name a reader: %s" % ", ".join(READERS))
    reader = READERS[sys.argv[1]]
    running.listen()
    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(reader.examples):
            with open(os.path.join(folder, "example%d" % number), "wb") as file:
                file.write(example)
        # libFuzzer writes what is new into the first folder; the examples are only read.
        given = sys.argv[2:] if any(not word.startswith("-") for word in sys.argv[2:]) else [*sys.argv[2:], folder]
        atheris.Setup([sys.argv[0], *given, *([folder] if folder not in given else [])], reader.fuzz_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
