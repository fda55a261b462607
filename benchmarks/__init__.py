"""What tracing costs a program, beside the official client: ``make bench`` or ``python -m benchmarks``.

Both clients run in one environment of their own (``.venvs/bench-official``), on the same interpreter, against the same
server process, in turns, so that what disturbs the machine disturbs both. See ``worker.py`` for what is measured.
"""
