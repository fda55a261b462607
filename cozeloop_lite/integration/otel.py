"""OpenTelemetry: the spans go to any receiver of OTLP/HTTP (a Collector, Jaeger, Tempo, ...) instead of the platform.

    client = new_client(exporter="otlp")  # to where OTEL_EXPORTER_OTLP_ENDPOINT says
    client = new_client(exporter=OtlpExporter("https://collector.example/v1/traces", headers={"api-key": "..."}))

In the JSON encoding of OTLP, which needs no library. Queue, retries and limits are those of the package. Files are not
sent: OTLP has no place for them.
"""

from __future__ import annotations

import os
import sys

from .. import __version__, config, errors, logger, process
from ..api import answers, message
from . import otel_spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from ..api import connections

__all__ = ["OtlpExporter"]

TIMEOUT = 10.0  # seconds, the default of OpenTelemetry's exporters
MAX_ANSWER_BYTES = 1 << 20
RETRYABLE = frozenset([429, 502, 503, 504])  # OTLP specification, "Retryable Response Codes": all others are final


class OtlpExporter:
    """Sends spans as OTLP/HTTP with JSON: for ``new_client(exporter=...)``, where ``"otlp"`` means one of these.

    An argument is stronger than the environment, where a variable of traces (``OTEL_EXPORTER_OTLP_TRACES_HEADERS``) is
    stronger than the one of all signals. ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` say who reports; a
    span's ``set_service_name`` says it for that span. Two exporters with the same settings are equal.

    Args:
        endpoint: the whole address. ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``, or ``OTEL_EXPORTER_OTLP_ENDPOINT`` with
            ``/v1/traces`` added; default ``http://localhost:4318/v1/traces``.
        headers: sent with every request, shown nowhere. ``OTEL_EXPORTER_OTLP_HEADERS``, as ``name=value,name=value``,
            percent-encoded.
        compression: ``"gzip"`` or ``"none"``, the default. ``OTEL_EXPORTER_OTLP_COMPRESSION``.
        timeout: seconds that a request may take; default 10.

    Attributes:
        rejected: how many spans were lost because the receiver took only the others of their batch. The client counts
            them as delivered.

    Raises:
        InvalidParamError: one of these cannot be used.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        compression: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._url = _endpoint(endpoint)
        given = config.headers(_pairs(*_variable("HEADERS")) if headers is None else headers)
        self._secrets = tuple(given.values())
        packing = compression or _variable("COMPRESSION")[0] or "none"
        if packing not in ("gzip", "none"):
            raise errors.InvalidParamError("compression (OTEL_EXPORTER_OTLP_COMPRESSION) must be 'gzip' or 'none'")
        self._gzip = packing == "gzip"
        self._headers = {"User-Agent": message.identity()["User-Agent"], **given, "Content-Type": "application/json"}
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"
        self._timeout = config.seconds("timeout", timeout, TIMEOUT)
        self._resource = _resource()
        self._key = (self._url, self._headers, self._timeout, self._resource)
        self.rejected = 0
        self._pools: connections.Pools | None = None  # made with the first request, by the process ...
        self._pid = 0  # ... of this id: a connection of its parent is the parent's

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OtlpExporter) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._url)

    def __repr__(self) -> str:
        return "<OtlpExporter %s>" % self._url.partition("?")[0]

    @property
    def destination(self) -> str:
        """For whom a ``spool_dir`` keeps spans: another receiver must not get them."""
        return self._url

    def export_spans(self, spans: list[dict[str, Any]]) -> None:
        """Send ``spans``, dicts as they would go to the platform.

        Raises:
            NetworkError: no answer arrived.
            RemoteServiceError: the receiver refuses them, for now or for good.
        """
        body = otel_spans.request(spans, self._resource)
        if self._gzip:
            import gzip

            body = gzip.compress(body, 6)
        status, headers, content = self._exchange(body)
        answer = answers.parse(content.decode("utf-8", "replace"))
        # With 200 there may come a refusal by the platform itself (contract backend.md 4), or the page of some proxy.
        odd = answer.get("code") if isinstance(answer, dict) else "html" in headers.get("content-type", "")
        if odd or not 200 <= status < 300:
            raise _refusal(status, headers, content, answer)
        if isinstance(answer, dict) and isinstance(answer.get("partialSuccess"), dict):
            self._partial(answer["partialSuccess"], len(spans))

    def _exchange(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with process.loading():
            from ..api import connections, transport
        if self._pools is None or self._pid != os.getpid():
            self._pools, self._pid = connections.Pools(), os.getpid()
        call = transport.Call("POST", self._url, body, self._headers, self._timeout)
        call.setting = "endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)"
        call.secrets += self._secrets
        try:
            status, headers, content = transport.exchange(self._pools, call, MAX_ANSWER_BYTES)
        except transport.FAILURES as problem:
            failure = call.failure(problem)
        else:
            return status, call.shown(headers), call.hidden(content)
        raise failure  # here, so that nothing hangs on to it but its cause

    def _partial(self, success: dict[str, Any], sent: int) -> None:
        """The batch was accepted, perhaps not all of it; nothing may be sent again ("Partial Success")."""
        text, count = answers.words(success.get("errorMessage")), str(success.get("rejectedSpans"))
        rejected = min(int(count), sent) if count.isdecimal() and len(count) < 20 else 0
        self.rejected += rejected
        if rejected:
            logger.error("the OTLP receiver rejects %d of %d spans, which are lost: %s", rejected, sent, text)
        elif text:
            logger.warn("the OTLP receiver takes all spans, and says: %s", text)


def _variable(name: str) -> tuple[str, str]:
    """What the environment says of a setting, and the variable that says it."""
    variable = "OTEL_EXPORTER_OTLP_TRACES_" + name
    if not os.environ.get(variable, "").strip():
        variable = "OTEL_EXPORTER_OTLP_" + name
    return os.environ.get(variable, "").strip(), variable


def _endpoint(given: str | None) -> str:
    from urllib.parse import urlsplit

    url, variable = _variable("ENDPOINT")
    if variable == "OTEL_EXPORTER_OTLP_ENDPOINT":
        url = (url or "http://localhost:4318").rstrip("/") + "/v1/traces"
    url = given or url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and "@" not in parts.netloc and not parts.fragment and all(32 < ord(char) < 127 for char in url)
    except (TypeError, ValueError, AttributeError):  # no text, a port that there cannot be
        usable = False
    if not usable:  # not shown: there may be a password in it
        raise errors.InvalidParamError(
            "endpoint (%s) must be an address such as http://localhost:4318/v1/traces, without a password" % variable
        )
    return url


def _pairs(text: str, variable: str) -> dict[str, str]:
    """``key=value,key=value``, percent-encoded."""
    from urllib.parse import unquote

    pairs = {}
    for item in filter(str.strip, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise errors.InvalidParamError("%s must be like key=value,key=value, percent-encoded" % variable)
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs


def _resource() -> dict[str, Any]:
    """Who reports, in OpenTelemetry's terms."""
    variable = "OTEL_RESOURCE_ATTRIBUTES"
    found: dict[str, Any] = {"service.name": "unknown_service:" + os.path.basename(sys.executable or "python")}
    found.update(_pairs(os.environ.get(variable, ""), variable))
    found["service.name"] = os.environ.get("OTEL_SERVICE_NAME", "").strip() or found["service.name"]
    sdk = {"name": "cozeloop_lite", "language": "python", "version": __version__}
    return {**found, **{"telemetry.sdk." + key: value for key, value in sdk.items()}}


def _refusal(status: int, headers: dict[str, str], content: bytes, answer: Any) -> errors.RemoteServiceError:
    """The error for an answer that is no success; the queue reads from it what becomes of the spans."""
    again, hint = status in RETRYABLE, ""
    kind: type[errors.RemoteServiceError] = errors.InternalServerError if again else errors.BadRequestError
    if status == 429:
        kind = errors.RateLimitError
    elif status in (401, 403):
        kind = errors.AuthenticationError if status == 401 else errors.PermissionDeniedError
        hint = "Check headers (OTEL_EXPORTER_OTLP_HEADERS)."
    elif status in (404, 405) or status < 400:
        hint = "Check endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): is it OTLP/HTTP, usually port 4318 and path /v1/traces?"
    elif status == 415:
        hint = "This receiver takes no OTLP in JSON: let a Collector stand between."
    text = answers.words(answer.get("message") or answer.get("msg")) if isinstance(answer, dict) else ""
    text = text or answers.words(content[: 4 * answers.SHOWN_CHARS].decode("utf-8", "replace"))
    refusal = kind(status, None, text, "", hint)
    refusal.retry_after = answers.retry_after(headers.get("retry-after")) if again else None
    if not again and (status >= 500 or status == 408):
        refusal.status = None  # to the queue, which knows the platform, these would mean to come again
    return refusal
