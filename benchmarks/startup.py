"""What a program pays before its first line and until its first span is finished, and delivered.

The code goes to the interpreter by ``-c``: a module of our own would load others that an import then finds loaded.
Importing cozeloop_lite puts off what the first request needs (urllib3); the first delivered span has paid for all.
"""

from __future__ import annotations

IMPORT = """
import sys, time
before = len(sys.modules); begin = time.perf_counter()
import {library}
elapsed = time.perf_counter() - begin; modules = len(sys.modules) - before
import json
print(json.dumps(dict(import_ms=elapsed * 1e3, import_modules=modules)))
"""

FIRST_SPAN = """
import sys, time
before = len(sys.modules); begin = time.perf_counter()
import {library}
client = {library}.new_client(api_base_url={url!r}, workspace_id="7000000000000000001", api_token="pat_benchmark")
client.start_span("step", "custom").finish()
finished = time.perf_counter() - begin; finished_modules = len(sys.modules) - before
client.flush()
delivered = time.perf_counter() - begin; modules = len(sys.modules) - before
client.close()
import json
print(json.dumps(dict(
    finished_ms=finished * 1e3, finished_modules=finished_modules, delivered_ms=delivered * 1e3, modules=modules
)))
"""
