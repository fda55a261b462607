"""What goes into model, prompt and retriever spans, so that the platform shows it as messages, images, documents.

Dataclasses with the JSON names of the platform (contract siblings.md 4, backend.md 2.7), and the keys and values of
tags. A plain dict of the same shape is treated the same everywhere. A field that is ``None`` is absent from the JSON.

    span.set_input(ModelInput(messages=[ModelMessage(role="user", content="hi")]))
    span.set_input({"messages": [{"role": "user", "content": "hi"}]})
"""

# ruff: noqa: F403 - each module says what it offers

from __future__ import annotations

from .model import *
from .prompt import *
from .retriever import *
from .runtime import *
from .span_key import *
from .span_value import *
