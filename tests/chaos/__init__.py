"""What becomes of spans when things fail: real sockets, real processes, real signals; this library beside two others.

``make chaos`` runs the whole and writes RESULTS.md; ``test_chaos_short.py`` is the short form, among the tests.
"""
