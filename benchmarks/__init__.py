"""What the library costs a program, beside other clients: ``make bench``, or ``python -m benchmarks``.

Each client is installed into an environment of its own and driven through the same work (``subjects.py``) by a process
of its own (``worker.py``), one after the other in every round, so that what disturbs the machine disturbs all of them.
They report to one server in a further process (``sink.py``), which is asked afterwards whether everything came.
"""
