"""A finished span becomes the JSON that the platform takes, on the thread that sends.

Between spans only the JSON of names and types is kept, which come again and again.

What the server would cut, drop or zero in silence is cut here, on character boundaries, and named in the system tag
``cut_off`` (contract backend.md 2.2 and 2.3, siblings.md 2.4 to 2.6).
"""

from __future__ import annotations

import os

from .. import logger
from ..config import ENV_SCENE, MAX_SPAN_BYTES, TEXT_BYTES, VALUE_BYTES
from . import media, snapshots, values
from .texts import MASK_FAILED, NOTHING, Content, clean, cut, masked, text_json
from .wire_tags import KEY_BYTES, system_tags_json, tags_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .record import Record

NAME_BYTES = 1024  # of UTF-8, contract backend.md 2.3

_NO_EXTRA: dict[str, Any] = {}

_json = values.encoder(None)

# Short names and types of spans, as JSON.
_labels: dict[str, bytes] = {}
_MAX_LABELS = 1000

# The object of a span, contract siblings.md 2.6: exactly these keys. To fill it in takes half the time of a dict of
# fields and a JSON encoder (2.3 µs and 4.7), which also writes the keys of each span anew.
_SPAN = (
    b'{"started_at_micros":%d,"span_id":"%016x","parent_id":"%b","trace_id":"%032x","duration_micros":%d,'
    b'"span_name":%b,"span_type":%b,"status_code":%d,"input":%b,"output":%b,%b,%b}'
)
_COMMON = b'"log_id":%b,"service_name":%b,"workspace_id":%b,"object_storage":%b,%b'


class Limits:
    """What bounds a span: its workspace, the bytes of a tag value and of an input or output, and the mask."""

    def __init__(
        self,
        workspace_id: str,
        value_bytes: int = VALUE_BYTES,
        text_bytes: int = TEXT_BYTES,
        ultra_large_report: bool = False,
        mask: Callable[[str], str] | None = None,
    ) -> None:
        self.workspace_id = workspace_id
        self.ultra_large_report = ultra_large_report
        self.mask = mask
        self.value_bytes = value_bytes
        self.text_bytes = text_bytes
        self.workspace_json = _json(workspace_id).encode("utf-8", "replace")
        self.scene = os.environ.get(ENV_SCENE) or "custom"
        # In what nearly all spans are the same, made once; empty when something had to be cut, which has to be said.
        self.system_tags_json = b""
        cut_off: list[str] = []
        tags = system_tags_json(_NO_EXTRA, self, cut_off)
        self.system_tags_json = b"" if cut_off else tags
        self.plain = mask is None and not ultra_large_report  # a span without extras is sent as it is
        self.common = _common_fields(_NO_EXTRA, "", self, [])

    def masked(self, text: str) -> str:
        """``text`` as it may leave the process. A mask that fails lets nothing through."""
        if self.mask is None:
            return text
        try:
            masked: object = self.mask(text)  # whatever the function of the program says it returns
        except BaseException as problem:  # noqa: BLE001 - not even SystemExit may end the daemon thread
            kind = type(problem).__name__
            logger.error("the mask failed, a placeholder is sent instead of what it was given: %s", kind)
            return MASK_FAILED
        if issubclass(type(masked), str):  # isinstance() would ask the object, which may fail
            return str.__str__(masked)
        kind = values.type_name(masked)
        logger.error("the mask returned no str but %s, a placeholder is sent instead of what it was given", kind)
        return MASK_FAILED


def encode(record: Record, limits: Limits, uploads: dict[str, bytes] | None = None) -> bytes:
    """The JSON object of one finished span, in UTF-8, of at most ``MAX_SPAN_BYTES``.

    Its files are added to ``uploads``, by their keys.
    """
    name, span_type, trace_id, span_id, parent_id, start_ns, duration_ns, status, given, returned, _, _, extra = record
    attached = NOTHING
    if extra is None and limits.plain:  # nearly all spans: 2 µs of 4 are saved
        if type(given) is not str:
            given = snapshots.text(given)
        if type(returned) is not str:
            returned = snapshots.text(returned)
    else:
        attached = content = Content(record, limits)
        given, returned = content.input, content.output
        if uploads is not None and content.uploads:
            uploads.update(content.uploads)
        if extra is not None and "mask_name" in extra:  # others than the program say what is in it
            name_cut_off: list[str] = []
            name = masked(name, NAME_BYTES, limits, "span_name", name_cut_off)
            content.cut_off = [*content.cut_off, *name_cut_off]
    while True:
        cut_off: list[str] = [*attached.cut_off]
        tags = tags_json(record, attached.notes, limits, cut_off)
        name_json = _labels.get(name) or _label(name, "span_name", cut_off)
        type_json = _labels.get(span_type) or _label(span_type, "span_type", cut_off)
        shown_input = text_json(given, limits.text_bytes, "input", cut_off)
        shown_output = text_json(returned, limits.text_bytes, "output", cut_off)
        common = limits.common
        if extra or cut_off or attached.storage or not limits.system_tags_json:
            common = _common_fields(extra or _NO_EXTRA, attached.storage, limits, cut_off)
        data = _SPAN % (
            start_ns // 1000,
            span_id,
            b"%016x" % parent_id if parent_id else b"0",
            trace_id,
            duration_ns // 1000 if duration_ns > 0 else 0,
            name_json,
            type_json,
            status,
            shown_input,
            shown_output,
            common,
            tags,
        )
        if len(data) <= MAX_SPAN_BYTES:
            return data
        limits = _narrower(limits, given, returned, len(data))


def _narrower(limits: Limits, given: str, returned: str, size: int) -> Limits:
    """What to cut to when the JSON is too long: escaping made more of the texts (a control character is six bytes of
    JSON), or the limits were configured that high. Input and output pay first.
    """
    texts = [clean(cut(text, limits.text_bytes, "", [])) for text in (given, returned)]
    texts_size = len(_json(texts).encode("utf-8"))
    room = MAX_SPAN_BYTES - (size - texts_size)
    if room < MAX_SPAN_BYTES // 8:
        return Limits(limits.workspace_id, limits.value_bytes // 2, limits.text_bytes, mask=limits.mask)
    longest = max(len(text.encode("utf-8")) for text in texts)
    return Limits(limits.workspace_id, limits.value_bytes, int(longest * 0.98 * room / texts_size), mask=limits.mask)


def _common_fields(extra: dict[str, Any], storage: str, limits: Limits, cut_off: list[str]) -> bytes:
    return _COMMON % (
        text_json(extra.get("log_id", ""), NAME_BYTES, "log_id", cut_off),
        text_json(extra.get("service_name", ""), NAME_BYTES, "service_name", cut_off),
        limits.workspace_json,
        text_json(storage, media.MAX_STORAGE_BYTES, "", cut_off),
        system_tags_json(extra, limits, cut_off),
    )


def _label(text: str, field: str, cut_off: list[str]) -> bytes:
    """The JSON of a name or a type. What is short is kept, for the next time."""
    label = text_json(text or "unknown", NAME_BYTES, field, cut_off)
    if len(text) <= KEY_BYTES:
        if len(_labels) >= _MAX_LABELS:  # names that are made up, of ids perhaps
            _labels.clear()
        _labels[text] = label
    return label
