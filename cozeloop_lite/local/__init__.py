"""A stand-in CozeLoop server for development and tests: no account, no network, nothing dropped in silence.

The platform answers code 0 to spans it will never show. ``StandInServer`` speaks the same protocol, keeps what it
gets in sqlite, and says beside each span what the platform would have refused, dropped or cut::

    from cozeloop_lite.local import StandInServer

    with StandInServer() as server:
        ...  # point a client at server.url, with any token and any positive number as workspace id
        for span in server.store.spans():
            print(span["span_name"], span["warnings"])

A client can search what arrived, and attach feedback to it.

It serves prompts, too, and executes them without a model: those of a folder, ``StandInServer(prompts="folder")``, and
those that a test puts there, ``server.prompts.put({"prompt_key": ..., "versions": ...})``; see ``local/prompts.py``.

What arrived can be looked at in a browser, at ``server.url``, and asked for as JSON: see ``local/api.py``.

From a shell: ``python -m cozeloop_lite serve``. Nothing of the SDK imports this package.
"""

from __future__ import annotations

from .server import StandInServer

__all__ = ["StandInServer"]
