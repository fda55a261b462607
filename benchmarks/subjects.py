"""The clients that are compared, each driven through the same verbs; and the bare object they are all held against.

Every subject starts and finishes a span and makes it the current one in between, as its documentation says to. What is
typical of a span is set with the client's own setters; where a client takes only text, the caller makes the JSON, as
everybody has to who uses it.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import random
import threading
import time

from .work import ANSWER, INPUT_TOKENS, OUTPUT_TOKENS, TAGS, TOKEN, WORKSPACE

ROOM = 100_000  # spans that may wait in each client, unless its own default is measured: more than any case makes
PATIENCE = 600  # seconds, for a server that never answers


class CozeLoop:
    """cozeloop_lite and the official client: their names are the same."""

    def __init__(self, library, url, room=ROOM, patient=False, large=False):
        module = importlib.import_module(library)
        options = {}
        if room:
            home = "config" if library == "cozeloop_lite" else "internal.trace.model.model"
            conf = importlib.import_module("%s.%s" % (library, home)).QueueConf
            options["trace_queue_conf"] = conf(span_queue_length=room, span_max_export_batch_length=100)
            if library == "cozeloop_lite":  # the only one with a bound of bytes, too
                options["queue_max_bytes"] = 1 << 30
        if patient:
            options["timeout"] = PATIENCE
        self._spec = lambda: importlib.import_module(library + ".spec.tracespec")
        self.client = module.new_client(
            api_base_url=url, workspace_id=WORKSPACE, api_token=TOKEN, ultra_large_report=large, **options
        )
        self.flush = self.client.flush
        self.close = self.client.close

    def span(self):
        with self.client.start_span("step", "custom"):
            pass

    def open(self):
        return self.client.start_span("step", "custom").finish

    def content(self, input):
        span = self.client.start_span("answer", "model")
        span.set_input(input)
        span.set_output(ANSWER)
        span.finish()

    def typical(self, input):
        span = self.client.start_span("answer", "model")
        span.set_input(input)
        span.set_output(ANSWER)
        span.set_tags(TAGS)
        span.set_input_tokens(INPUT_TOKENS)
        span.set_output_tokens(OUTPUT_TOKENS)
        span.finish()

    def image(self, data_url):
        """The input of a model with one image, which is uploaded as a file."""
        spec = self._spec()
        part = spec.ModelMessagePart(
            type=spec.ModelMessagePartType.IMAGE, image_url=spec.ModelImageURL(name="photo", url=data_url)
        )
        return spec.ModelInput(messages=[spec.ModelMessage(role="user", parts=[part])])


class OpenTelemetry:
    """The SDK and its exporter for OTLP over HTTP."""

    def __init__(self, library, url, room=ROOM, patient=False, large=False):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(endpoint=url + "/v1/traces", timeout=PATIENCE if patient else None)
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=room or None))
        self._start = provider.get_tracer("benchmark").start_as_current_span
        self.flush = provider.force_flush
        self.close = provider.shutdown

    def span(self):
        with self._start("step"):
            pass

    def open(self):
        block = self._start("step")
        block.__enter__()
        return lambda: block.__exit__(None, None, None)

    def content(self, input):
        with self._start("answer") as span:
            span.set_attribute("input.value", input if type(input) is str else json.dumps(input, ensure_ascii=False))
            span.set_attribute("output.value", ANSWER)

    def typical(self, input):
        with self._start("answer") as span:
            text = input if type(input) is str else json.dumps(input, ensure_ascii=False)
            counts = {"llm.token_count.prompt": INPUT_TOKENS, "llm.token_count.completion": OUTPUT_TOKENS}
            span.set_attributes({"input.value": text, "output.value": ANSWER, **TAGS, **counts})  # one call is cheaper

    def image(self, data_url):
        """It has no files: the image stays in the input."""
        return {"messages": [{"role": "user", "parts": [{"type": "image_url", "image_url": {"url": data_url}}]}]}


class Langfuse(OpenTelemetry):
    """Langfuse, which is built on OpenTelemetry; only with ``--with langfuse``."""

    def __init__(self, library, url, room=ROOM, patient=False, large=False):
        from langfuse import Langfuse as Client

        if room:
            os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(room)
        client = Client(public_key="pk", secret_key="sk", base_url=url, timeout=PATIENCE if patient else None)
        self._start = lambda name: client.start_as_current_observation(name=name)
        self._client = client
        self.flush = client.flush
        self.close = client.shutdown

    def content(self, input):
        with self._client.start_as_current_observation(name="answer", as_type="generation") as span:
            span.update(input=input, output=ANSWER)

    def typical(self, input):
        usage = {"input": INPUT_TOKENS, "output": OUTPUT_TOKENS}
        with self._client.start_as_current_observation(name="answer", as_type="generation") as span:
            span.update(input=input, output=ANSWER, metadata=TAGS, usage_details=usage)


class BareSpan:
    """What one would write down plainly: two random ids in hexadecimal, two clocks, a stack."""

    def __init__(self, owner, name):
        stack = owner.local.stack
        self.owner = owner
        self.name = name
        self.parent = stack[-1] if stack else None
        self.trace_id = "%032x" % owner.bits(128)
        self.span_id = "%016x" % owner.bits(64)
        self.started = time.time_ns()
        self.ticks = time.monotonic_ns()
        stack.append(self)

    def finish(self):
        self.duration = time.monotonic_ns() - self.ticks
        self.owner.local.stack.pop()
        try:
            self.owner.finished.put_nowait(self)
        except queue.Full:
            self.owner.dropped += 1


class Bare:
    """The reference: an object with nothing to it, put into a bounded queue of the standard library."""

    def __init__(self, library, url, room=ROOM, patient=False, large=False):
        self.local = threading.local()
        self.local.stack = []
        self.bits = random.Random().getrandbits
        self.finished = queue.Queue(room)
        self.dropped = 0

    def span(self):
        BareSpan(self, "step").finish()

    def content(self, input):
        span = BareSpan(self, "answer")
        span.input = input
        span.output = ANSWER
        span.finish()

    def typical(self, input):
        span = BareSpan(self, "answer")
        span.input = input
        span.output = ANSWER
        span.tags = TAGS
        span.input_tokens = INPUT_TOKENS
        span.output_tokens = OUTPUT_TOKENS
        span.finish()

    def flush(self):
        self.finished = queue.Queue(self.finished.maxsize)

    close = flush


SUBJECTS = {
    "cozeloop_lite": CozeLoop,
    "cozeloop": CozeLoop,
    "opentelemetry": OpenTelemetry,
    "langfuse": Langfuse,
    "bare": Bare,
}
