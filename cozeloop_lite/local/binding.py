"""How the platform reads a JSON body (contract backend.md 1.1 and 1.4): keys in any case, types to the letter.

A decoder takes a value and the path to it, and returns what the platform makes of it. A wrong type raises
``ValueError`` and fails the whole request.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .codes import UNBINDABLE, Refusal

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Mapping

    Decoder = Callable[[Any, str], Any]

_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}")


def bind(decode: Decoder, body: bytes, content_type: str) -> Any:
    """What ``decode`` makes of the JSON object in a body. Raises ``Refusal`` for a body of another form."""
    document, _ = read_object(body, content_type)
    try:
        return decode(document, "the body")
    except ValueError as error:
        raise unbindable(str(error)) from None


def bind_query(decode: Decoder, query: str) -> Any:
    """What ``decode`` makes of the parameters in an address, the first of each name."""
    given = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    try:
        return decode(given, "the query")
    except ValueError as error:
        raise unbindable(str(error)) from None


def read_object(body: bytes, content_type: str) -> tuple[dict[str, Any], list[str]]:
    """The JSON object in a body, its keys in lower case, and notes on what was put right in it."""
    if content_type.split(";")[0].strip().lower() != "application/json" or not body:
        return {}, []  # contract 1.1: the body is not bound and the request looks empty
    try:
        text = body.decode("utf-8")
        notes = []
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
        notes = ["the request was not valid UTF-8: broken bytes became U+FFFD"]
    try:
        document = parse_json(text)
    except ValueError as error:
        raise unbindable(f"the body is not JSON: {error}") from None
    if document is None:
        return {}, notes
    if not isinstance(document, dict):
        raise unbindable("the body must be a JSON object")
    return {key.lower(): value for key, value in document.items()}, notes


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ``ValueError`` with the reason."""
    try:
        return json.loads(text, parse_int=_parse_int, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def unbindable(detail: str) -> Refusal:
    """The refusal of a body that does not have the form of the request."""
    return Refusal(UNBINDABLE, f"invalid request, err: {detail}")


def is_number(text: str) -> bool:
    """Whether the platform can parse a number in text, such as a workspace id: a decimal 64-bit integer."""
    return bool(_DECIMAL.fullmatch(text)) and -(1 << 63) <= int(text) < 1 << 63


def quote(key: str) -> str:
    """A name as a message may show it: short, and its control characters escaped."""
    return repr(key if len(key) <= 40 else key[:40] + "…")


def _parse_int(digits: str) -> Any:
    # Python's int() takes quadratic time; no 64-bit integer has more than 20 characters.
    return int(digits) if len(digits) <= 20 else float(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


# --- decoders ---------------------------------------------------------------------------------------------------------


def string(value: Any, path: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{path} must be a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # an escaped lone surrogate; Go reads it as U+FFFD
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def i64(value: Any, path: str) -> int:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
        return value
    raise ValueError(f"{path} must be a 64-bit integer, as a number or a decimal string")


def optional_i64(value: Any, path: str) -> int | None:
    return None if value is None else i64(value, path)


def i64_in_map(value: Any, path: str) -> int:
    return 0 if value is None else i64(value, path)


def i32(value: Any, path: str) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31:
        return value
    raise ValueError(f"{path} must be a 32-bit integer")


def double(value: Any, path: str) -> float:
    if value is None:
        return 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError(f"{path} must be a number")


def boolean(value: Any, path: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ValueError(f"{path} must be true or false")


def map_of(decode: Decoder) -> Decoder:
    """An object whose values are all of one type."""

    def decode_map(value: Any, path: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError(f"{path} must be an object")
        return {string(key, path): decode(item, f"{path}[{quote(key)}]") for key, item in value.items()}

    return decode_map


def list_of(decode: Decoder) -> Decoder:
    """An array of values of one type; ``null`` in it stays None."""

    def decode_list(value: Any, path: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise ValueError(f"{path} must be an array")
        return [None if item is None else decode(item, f"{path}[{position}]") for position, item in enumerate(value)]

    return decode_list


def struct(fields: Mapping[str, Decoder], required: Iterable[str] = ()) -> Decoder:
    """An object with fields: those that are given and not ``null``, under their names in lower case."""

    def decode_struct(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{path} must be an object")
        found = {}
        for key, item in value.items():
            name = key.lower()
            if item is not None and name in fields:
                found[name] = fields[name](item, f"{path}.{name}")
        for name in required:
            if name not in found:
                raise ValueError(f"{path} must have {name}")
        return found

    return decode_struct
