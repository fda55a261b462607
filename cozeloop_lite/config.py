"""Settings: an argument is stronger than the environment, which is stronger than the default. Checked once, then fixed.

Each setting has one reader here; its error names both the argument and the environment variable, and never shows a
secret.
"""

from __future__ import annotations

import os
import sys

from . import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, TypeVar

    Api = TypeVar("Api")

ENV_API_BASE_URL = "COZELOOP_API_BASE_URL"
ENV_WORKSPACE_ID = "COZELOOP_WORKSPACE_ID"
ENV_API_TOKEN = "COZELOOP_API_TOKEN"
ENV_JWT_OAUTH_CLIENT_ID = "COZELOOP_JWT_OAUTH_CLIENT_ID"
ENV_JWT_OAUTH_PRIVATE_KEY = "COZELOOP_JWT_OAUTH_PRIVATE_KEY"
ENV_JWT_OAUTH_PUBLIC_KEY_ID = "COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID"
ENV_REQUEST_TIMEOUT = "COZELOOP_REQUEST_TIMEOUT"  # milliseconds
ENV_SPOOL_DIR = "COZELOOP_SPOOL_DIR"
ENV_SCENE = "COZELOOP_SCENE"
CN_BASE_URL = "https://api.coze.cn"

LONGEST_PATIENCE = 1e9  # seconds; an int may be too large for the clock
TIMEOUT = 3.0  # seconds, contract siblings.md 1.1
UPLOAD_TIMEOUT = 30.0  # seconds, contract siblings.md 1.1
SHUTDOWN_TIMEOUT = 5.0  # seconds
QUEUE_COUNT = 65_536  # spans
QUEUE_BYTES = 64 * 1024 * 1024
SPOOL_BYTES = 256 * 1024 * 1024
BATCH_COUNT = 100  # spans, contract backend.md 2.1
VALUE_BYTES = 1024  # of a tag's value, in UTF-8, contract backend.md 2.3
TEXT_BYTES = 1_048_576  # of an input or output, contract backend.md 2.3
MAX_SPAN_BYTES = 4 * 1024 * 1024 - 64  # of JSON: with its envelope, a request of 4 MiB (contract backend.md 2.1)
INGEST_PATH = "/v1/loop/traces/ingest"
UPLOAD_PATH = "/v1/loop/files/upload"
PROMPT_COUNT = 100  # prompts that are kept, contract siblings.md 1.1
PROMPT_INTERVAL = 60.0  # seconds, contract siblings.md 1.1


class TagTruncateConf:
    """How many bytes of UTF-8 a tag value, and an input or output, may have. What is not above 0 means the default."""

    def __init__(self, normal_field_max_byte: int = 0, input_output_field_max_byte: int = 0) -> None:
        self.normal_field_max_byte = normal_field_max_byte
        self.input_output_field_max_byte = input_output_field_max_byte


class QueueConf:
    """How many spans may wait, and how many go into one request. What is not above 0 means the default."""

    def __init__(self, span_queue_length: int = 0, span_max_export_batch_length: int = 0) -> None:
        self.span_queue_length = span_queue_length
        self.span_max_export_batch_length = span_max_export_batch_length


class APIBasePath:
    """Other paths for the two trace endpoints. An empty one means the default."""

    def __init__(self, trace_span_upload_path: str = "", trace_file_upload_path: str = "") -> None:
        self.trace_span_upload_path = trace_span_upload_path
        self.trace_file_upload_path = trace_file_upload_path


class TraceConfig:
    """The settings of tracing, checked. All have defaults; see :func:`cozeloop_lite.new_client` for what they mean."""

    def __init__(
        self,
        tag_truncate_conf: TagTruncateConf | None = None,
        trace_queue_conf: QueueConf | None = None,
        api_base_path: APIBasePath | None = None,
        trace_finish_event_processor: Callable[[Any], None] | None = None,
        sample_rate: float = 1.0,
        ultra_large_report: bool = False,
        record_inputs: bool = True,
        record_outputs: bool = True,
        mask: Callable[[str], str] | None = None,
        shutdown_timeout: float | None = None,
        queue_max_bytes: int | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        spool_max_bytes: int | None = None,
    ) -> None:
        cut = _fields("tag_truncate_conf", tag_truncate_conf, TagTruncateConf)
        queue = _fields("trace_queue_conf", trace_queue_conf, QueueConf)
        path = _fields("api_base_path", api_base_path, APIBasePath)
        self.normal_field_max_byte = _count("normal_field_max_byte", cut, VALUE_BYTES)
        self.input_output_field_max_byte = _count("input_output_field_max_byte", cut, TEXT_BYTES)
        self.span_queue_length = _count("span_queue_length", queue, QUEUE_COUNT)
        self.span_max_export_batch_length = min(  # the server refuses more
            BATCH_COUNT, _count("span_max_export_batch_length", queue, BATCH_COUNT)
        )
        self.ingest_path = _path("trace_span_upload_path", path, INGEST_PATH)
        self.upload_path = _path("trace_file_upload_path", path, UPLOAD_PATH)
        if trace_finish_event_processor is not None and not callable(trace_finish_event_processor):
            raise errors.InvalidParamError("trace_finish_event_processor must be a function of one argument")
        self.trace_finish_event_processor = trace_finish_event_processor
        self.sample_rate = _rate(sample_rate)
        self.ultra_large_report = flag("ultra_large_report", ultra_large_report)
        self.record_inputs = flag("record_inputs", record_inputs)
        self.record_outputs = flag("record_outputs", record_outputs)
        if mask is not None and not callable(mask):
            raise errors.InvalidParamError("mask must be a function that takes a str and returns one")
        self.mask = mask
        self.shutdown_timeout = seconds("shutdown_timeout", shutdown_timeout, SHUTDOWN_TIMEOUT)
        self.queue_max_bytes = count("queue_max_bytes", queue_max_bytes, QUEUE_BYTES)
        self.spool_dir = file_path("spool_dir (%s)" % ENV_SPOOL_DIR, setting(spool_dir, ENV_SPOOL_DIR) or None)
        self.spool_max_bytes = count("spool_max_bytes", spool_max_bytes, SPOOL_BYTES)

    def key(self) -> tuple[Any, ...]:
        """Equal for equal settings."""
        return tuple((name, comparable(value)) for name, value in sorted(self.__dict__.items()))


class PromptConfig:
    """The settings of the prompt hub, checked. All have defaults; see :func:`cozeloop_lite.new_client`."""

    def __init__(
        self,
        prompt_cache_max_count: int | None = None,
        prompt_cache_refresh_interval: float | None = None,
        prompt_trace: bool = False,
        prompt_snapshot: str | os.PathLike[str] | None = None,
    ) -> None:
        self.cache_max_count = count("prompt_cache_max_count", prompt_cache_max_count, PROMPT_COUNT)
        self.cache_refresh_interval = interval(
            "prompt_cache_refresh_interval", prompt_cache_refresh_interval, PROMPT_INTERVAL
        )
        self.traceable = flag("prompt_trace", prompt_trace)
        self.snapshot = file_path("prompt_snapshot", prompt_snapshot)

    def key(self) -> tuple[Any, ...]:
        """Equal for equal settings."""
        return self.cache_max_count, self.cache_refresh_interval, self.traceable, self.snapshot


def comparable(value: Any) -> Any:
    """``value`` as a part of a key: itself, or its identity when it is an object without a hash."""
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return value


def setting(argument: Any, variable: str) -> Any:
    """The argument, or the environment variable, stripped; ``""`` when neither says anything."""
    value = argument if argument not in (None, "") else os.environ.get(variable, "")
    return value.strip() if isinstance(value, str) else value


def base_url(argument: str | None) -> str:
    """The address of the API, without a trailing slash."""
    url = setting(argument, ENV_API_BASE_URL) or CN_BASE_URL
    what = "api_base_url (%s)" % ENV_API_BASE_URL
    if not isinstance(url, str):
        raise errors.InvalidParamError("%s must be a str, not %s" % (what, type(url).__name__))
    if "@" in url:  # not shown: what stands before it may be a secret
        raise errors.InvalidParamError("%s must not contain a user name or password, nor an @" % what)
    if "?" in url or "#" in url:  # not shown, either
        raise errors.InvalidParamError("%s must be an address without a query or fragment" % what)
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https") or not _names_host(url):
        raise errors.InvalidParamError(
            "%s must begin with http:// or https:// and name a host, and perhaps a port, such as %s, not %r"
            % (what, CN_BASE_URL, url)
        )
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise errors.InvalidParamError("%s must be an address without blanks, not %r" % (what, url))
    return str(url).rstrip("/")


def _names_host(url: str) -> bool:
    host, _, port = url.partition("://")[2].partition("/")[0].partition(":")
    plain = (host.replace(".", "").replace("-", "") + port).isalnum() and url.isascii()
    if plain and host and (not port or (port.isdigit() and len(port) < 6 and 0 < int(port) < 65536)):
        return True  # the usual case, for which urllib.parse need not be imported: a tenth of what a first span takes
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket without the other, a port that there cannot be
        return False


def workspace_id(argument: str | None) -> str:
    """The workspace: on the platform a decimal number, as text."""
    value = setting(argument, ENV_WORKSPACE_ID)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not value:
        raise errors.PropertyUnprovidedError(
            "no workspace: pass workspace_id=... or set %s. It is the number in the address of the workspace's page."
            % ENV_WORKSPACE_ID
        )
    if not isinstance(value, str):
        raise errors.InvalidParamError("workspace_id must be a str, not %s" % type(value).__name__)
    return str(value)


def workspace_and_api(argument: str | None, make_api: Callable[[], Api]) -> tuple[str, Api]:
    """The workspace, and what ``make_api`` makes, which needs a token. When both are missing, one error says so."""
    try:
        workspace = workspace_id(argument)
    except errors.PropertyUnprovidedError as missing:
        try:
            make_api()
        except errors.AuthInfoRequiredError as other:
            raise errors.PropertyUnprovidedError("%s And %s" % (missing, other)) from None
        raise
    return workspace, make_api()


def token(argument: str | Callable[[], str] | None) -> str | Callable[[], str]:
    """The access token, or the function that returns one."""
    value = setting(argument, ENV_API_TOKEN)
    if callable(value):
        return value  # type: ignore[no-any-return]
    if not value:
        raise errors.AuthInfoRequiredError(
            "no access token: pass api_token=... (text, or a function that returns it) or set %s; or, for OAuth, pass "
            "jwt_oauth_client_id, jwt_oauth_private_key and jwt_oauth_public_key_id or set %s, %s and %s"
            % (ENV_API_TOKEN, ENV_JWT_OAUTH_CLIENT_ID, ENV_JWT_OAUTH_PRIVATE_KEY, ENV_JWT_OAUTH_PUBLIC_KEY_ID)
        )
    return checked_token(value, "api_token (%s) is" % ENV_API_TOKEN)


def checked_token(value: Any, where: str) -> str:
    """``value`` as it can stand in a header. Errors say what it is like, never what it is."""
    if not isinstance(value, str):
        raise errors.AuthInfoRequiredError("%s %s, not str" % (where, type(value).__name__))
    scheme, _, rest = value.strip().partition(" ")
    value = rest.strip() if scheme.lower() == "bearer" else value.strip()
    if not value:
        raise errors.AuthInfoRequiredError("%s empty" % where)
    if not all(33 <= ord(char) < 127 for char in value):
        raise errors.AuthInfoRequiredError("%s no token: it contains blanks, line breaks or non-ASCII text" % where)
    return str(value)


def request_timeout(argument: float | None) -> float:
    """Seconds that a request may take."""
    text = setting(None, ENV_REQUEST_TIMEOUT)
    if argument is not None or not text:
        return seconds("timeout", argument, TIMEOUT)
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < float("inf"):
        raise errors.InvalidParamError(
            "%s must be a number of milliseconds above 0, such as 3000, not %r" % (ENV_REQUEST_TIMEOUT, text)
        )
    return milliseconds / 1000


def http_client(given: Any) -> Any:
    """A pool of the program's own or an ``httpx.Client``, or None."""
    # Whoever has a client of httpx has that; while another thread is loading it, it may be there without the class.
    kind = getattr(sys.modules.get("httpx"), "Client", None)
    known = callable(getattr(given, "urlopen", None)) or (kind is not None and isinstance(given, kind))
    if given is not None and not known:
        raise errors.InvalidParamError(
            "http_client must be a urllib3.PoolManager or an httpx.Client, not %s" % type(given).__name__
        )
    return given


def headers(given: Mapping[str, str] | None) -> dict[str, str]:
    """Headers that can be sent: no line breaks, no control characters."""
    result = {}
    try:
        pairs = dict(given or {}).items()
    except (TypeError, ValueError):
        raise errors.InvalidParamError("headers must be a dict, not %s" % type(given).__name__) from None
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise errors.InvalidParamError("headers must map str to str; %r does not" % (name,))
        if not name or not all(33 <= ord(char) < 127 and char != ":" for char in name):
            raise errors.InvalidParamError("headers: %r is no header name" % name)
        if not all(32 <= ord(char) < 256 and ord(char) != 127 for char in value):
            raise errors.InvalidParamError("headers: the value of %s contains what a header cannot carry" % name)
        result[name] = value
    return result


def seconds(name: str, value: Any, default: float) -> float:
    """A time in seconds, above 0."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise errors.InvalidParamError("%s must be a number of seconds above 0, not %r" % (name, value))
    return float(value)


def patience(name: str, value: Any) -> float:
    """How many seconds to wait; what is not above 0 means not to wait."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise errors.InvalidParamError("%s must be a number of seconds, not %r" % (name, value))
    return min(value, LONGEST_PATIENCE)


def count(name: str, value: Any, default: int) -> int:
    """How many; what is not above 0 means the default."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.InvalidParamError("%s must be an int, not %r" % (name, value))
    return value if value > 0 else default


def interval(name: str, value: Any, default: float) -> float:
    """A time in seconds; what is not above 0 means the default."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
        return default
    return seconds(name, value, default)


def flag(name: str, value: Any) -> bool:
    """True or False. Not a text, be it from the environment: ``"false"`` would be true."""
    if isinstance(value, (str, bytes)):
        raise errors.InvalidParamError("%s must be True or False, not %r" % (name, value))
    return bool(value)


def file_path(name: str, value: Any) -> str:
    """An absolute path; ``""`` when there is none."""
    if value is None:
        return ""
    try:
        given = os.fsdecode(value)
    except TypeError:
        raise errors.InvalidParamError("%s must be a path, not %r" % (name, value)) from None
    if "\0" in given:
        raise errors.InvalidParamError("%s must be a path, not %r" % (name, value))
    try:
        return os.path.abspath(given) if given else ""
    except OSError as problem:
        raise errors.InvalidParamError("%s: %r begins in a folder that is gone (%s)" % (name, given, problem)) from None


def _fields(name: str, given: Any, kind: type) -> dict[str, Any]:
    """The fields of one of the three settings that are objects; one that has the same fields will do."""
    try:
        return {field: getattr(given, field) for field in kind().__dict__} if given is not None else {}
    except AttributeError:
        raise errors.InvalidParamError(
            "%s must be of the type %s, not %s" % (name, kind.__name__, type(given).__name__)
        ) from None


def _count(name: str, fields: dict[str, Any], default: int) -> int:
    return count(name, fields.get(name), default)


def _path(name: str, fields: dict[str, Any], default: str) -> str:
    value = fields.get(name)
    if not value:
        return default
    if not isinstance(value, str) or not value.startswith("/"):
        raise errors.InvalidParamError("%s must be a path that begins with '/', not %r" % (name, value))
    return value


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise errors.InvalidParamError("sample_rate must be a number from 0 to 1, not %r" % (value,))
    return float(value)
