"""What a platform for functions hands over: the event, in which the caller's headers and credentials may be, and the
context, which each platform fills in its own way. Pure functions of values that may be anything.
"""

from __future__ import annotations

from .. import logger
from ..trace import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_PARSED_BYTES = 1 << 20  # of an event that comes as JSON, unparsed
HIDDEN = "***"

_CREDENTIALS = frozenset(
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-amz-security-token", "x-api-key"]
)
# tag -> where a context has it: AWS Lambda's; Volcengine's, Alibaba's and Google's
_CONTEXT_TAGS = {
    "request_id": ("aws_request_id", "request_id"),
    "function_name": ("function_name", "function.name"),
    "function_version": ("function_version", "function.qualifier"),
}


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Event and context of a call; None for what is missing."""
    event = args[0] if args else kwargs.get("event")
    return event, args[1] if len(args) > 1 else kwargs.get("context")


def _found(context: Any, path: str) -> Any:
    try:
        for name in path.split("."):
            context = context.get(name) if isinstance(context, dict) else getattr(context, name, None)
        return context
    except Exception:  # noqa: BLE001 - a context that fails when it is looked at has nothing to tell
        return None


def context_tags(context: Any) -> dict[str, str]:
    """The tags that tell what a context is of: the request, the function, its version."""
    tags = {}
    for tag, paths in _CONTEXT_TAGS.items():
        for path in paths:
            value = _found(context, path)
            if value and isinstance(value, str):
                tags[tag] = value
                break
    return tags


def time_left(context: Any) -> float | None:
    """Seconds until the platform ends the invocation; None when it does not say."""
    remaining = _found(context, "get_remaining_time_in_millis")
    try:
        millis = remaining()
        return millis / 1000.0 if isinstance(millis, (int, float)) else None
    except Exception:  # noqa: BLE001 - no context, or not one of AWS Lambda
        return None


def parsed(event: Any) -> Any:
    """Alibaba Function Compute hands over bytes of JSON; everything else stays as it is."""
    if not isinstance(event, bytes) or not event.startswith(b"{") or len(event) > MAX_PARSED_BYTES:
        return event
    import json

    try:
        return json.loads(event.decode("utf-8"))
    except (ValueError, RecursionError):
        return event


def carrier(event: Any) -> Any:
    """The headers of the caller in an event; None when there are none.

    An HTTP event has them (API Gateway in both versions, load balancers, function URLs), a request object of Google's,
    and a message from SQS or SNS has them as attributes. Several messages have no one parent.
    """
    if not isinstance(event, dict):
        return getattr(event, "headers", None)
    headers = event.get("headers") or event.get("multiValueHeaders")
    if isinstance(headers, dict):
        return headers
    records = event.get("Records")
    if not isinstance(records, list) or len(records) != 1 or not isinstance(records[0], dict):
        return None
    notification = records[0].get("Sns")
    source = notification if isinstance(notification, dict) else records[0]
    attributes = source.get("messageAttributes") or source.get("MessageAttributes")
    if not isinstance(attributes, dict):
        return None
    found = [(name, value) for name, value in attributes.items() if isinstance(value, dict)]
    return {name: value.get("stringValue", value.get("Value")) for name, value in found}


def shown(payload: Any) -> Any:
    """An event or a result without the values of headers that carry credentials; the original stays as it is."""
    if not isinstance(payload, dict):
        return payload
    made = payload
    try:
        for part in ("headers", "multiValueHeaders"):
            headers = payload.get(part)
            if isinstance(headers, dict):
                names = [name for name in headers if isinstance(name, str) and name.lower() in _CREDENTIALS]
                if names:
                    made = {**made, part: {**headers, **dict.fromkeys(names, HIDDEN)}}
        # Where version 2 of the HTTP API has them. An answer need not have headers.
        if payload.get("cookies") and ("headers" in payload or "statusCode" in payload):
            made = {**made, "cookies": HIDDEN}
        for name in ("authorizationToken", "identitySource"):  # of API Gateway, to an authorizer: values of headers
            if payload.get(name):
                made = {**made, name: HIDDEN}
        context = payload.get("requestContext")
        identity: Any = context.get("identity") if isinstance(context, dict) else None
        if isinstance(context, dict) and isinstance(identity, dict) and identity.get("apiKey"):  # x-api-key once more
            made = {**made, "requestContext": {**context, "identity": {**identity, "apiKey": HIDDEN}}}
        return made
    except Exception as problem:  # noqa: BLE001 - a dict that fails when it is looked at
        logger.warn("an event or result is not recorded: %s", values.describe(problem))
        return None
