"""The three libraries behind the same few methods, each used as its own manual says, with its own defaults."""

from __future__ import annotations

import os

from .environment import LITE, OFFICIAL, OTEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORKSPACE = "7000000000000000001"
TOKEN = "pat_chaos"
FLUSH_SECONDS = 10
TEXT = "Tomorrow Shanghai is cloudy, 18 to 24 °C, with showers from 15:00 on: take an umbrella for the way back. " * 2


class Lite:
    """``settings`` are arguments of ``new_client``; ``queue`` is how many spans may wait."""

    def __init__(self, url: str, **settings: Any) -> None:
        import cozeloop_lite

        self._library = cozeloop_lite
        self._url = url
        queue = settings.pop("queue", 0)
        if queue:
            settings["trace_queue_conf"] = cozeloop_lite.QueueConf(span_queue_length=queue)
        self._client = cozeloop_lite.new_client(url, WORKSPACE, TOKEN, **settings)

    def start(self, name: str) -> Any:
        return self._client.start_span(name, "custom")

    def set(self, span: Any) -> None:
        span.set_input(TEXT)

    def finish(self, span: Any) -> None:
        span.finish()

    def flush(self) -> None:
        self._client.flush(FLUSH_SECONDS)

    def account(self) -> dict[str, Any]:
        """What the library says became of the spans; empty where it keeps no account."""
        return self._client.stats()

    def before_signals(self) -> None:
        """What the library offers to programs that end by a signal."""
        self._client.install_signal_flush()

    def one_client(self, name: str, close: bool) -> None:
        """A span by a client of its own: a new one that is closed, or one like the last, which is not."""
        client = self._library.new_client(self._url, WORKSPACE, TOKEN + "_" + name.replace(" ", "_") * close)
        client.start_span(name, "custom").finish()
        if close:
            client.close()


class Official:
    """Configured by the environment: only then it has an exit hook."""

    def __init__(self, url: str) -> None:
        os.environ.update(COZELOOP_API_BASE_URL=url, COZELOOP_WORKSPACE_ID=WORKSPACE, COZELOOP_API_TOKEN=TOKEN)
        import cozeloop

        cozeloop.workspace_id()  # builds the client now, not in the first call that is measured
        self._library = cozeloop

    def start(self, name: str) -> Any:
        return self._library.start_span(name, "custom")

    def set(self, span: Any) -> None:
        span.set_input(TEXT)

    def finish(self, span: Any) -> None:
        span.finish()

    def flush(self) -> None:
        self._library.flush()

    def account(self) -> dict[str, Any]:
        return {}

    def before_signals(self) -> None:
        pass

    def one_client(self, name: str, close: bool) -> None:
        token = TOKEN + "_" + name.replace(" ", "_") * close
        client = self._library.new_client(os.environ["COZELOOP_API_BASE_URL"], WORKSPACE, token)
        client.start_span(name, "custom").finish()
        if close:
            client.close()


class OpenTelemetry:
    """The SDK with its batch processor and its exporter over OTLP/HTTP; it shuts down at exit by itself."""

    def __init__(self, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        def provider() -> Any:
            made = TracerProvider()
            made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url + "/v1/traces")))
            return made

        self._new_provider = provider
        self._provider = provider()
        self._tracer = self._provider.get_tracer("chaos")

    def start(self, name: str) -> Any:
        return self._tracer.start_span(name)

    def set(self, span: Any) -> None:
        span.set_attribute("input", TEXT)

    def finish(self, span: Any) -> None:
        span.end()

    def flush(self) -> None:
        self._provider.force_flush(FLUSH_SECONDS * 1000)

    def account(self) -> dict[str, Any]:
        return {}

    def before_signals(self) -> None:
        pass

    def one_client(self, name: str, close: bool) -> None:
        provider = self._new_provider()
        provider.get_tracer("chaos").start_span(name).end()
        if close:
            provider.shutdown()


LIBRARIES = {LITE: Lite, OFFICIAL: Official, OTEL: OpenTelemetry}
