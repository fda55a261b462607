"""A prompt and variables become the messages for a model, as the server would make them (contract backend.md 5.2).

    messages = format_prompt(prompt, {"topic": "rivers", "history": [Message(role="user", content="hello")]})

Nothing here does I/O, and nothing is written to: a prompt can be formatted again, and by many threads at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .. import process
from ..entities.entity import copied
from ..entities.prompt import (
    ContentPart,
    ContentType,
    Message,
    Prompt,
    PromptTemplate,
    Role,
    TemplateType,
    VariableType,
)
from ..errors import InvalidParamError, TemplateError
from ..trace.values import describe, type_name
from .variables import WITHOUT_TEXT, checked, messages_of, parts_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple

    Pieces = Tuple[List[str], List[str]]  # the text with a gap at each odd place, and the tags that belong there

MAX_CHARS = 1 << 25  # of the texts of a normal template, all together: more than any model reads
MAX_KEPT = 512  # templates that stay compiled
MAX_KEPT_BYTES = 32 * 1024  # of one of them and its pieces, so 16 MiB of all; larger ones are compiled each time

_NORMAL = TemplateType.NORMAL
_JINJA2 = TemplateType.JINJA2
_PLACEHOLDER = Role.PLACEHOLDER
_TEXT = ContentType.TEXT
_VARIABLE = ContentType.MULTI_PART_VARIABLE
_MULTI_PART = VariableType.MULTI_PART
_KNOWN_PARTS = tuple(ContentType)


def format_prompt(prompt: Prompt, variables: Mapping[str, Any] | None = None) -> list[Message]:
    """The messages of ``prompt`` with ``variables`` in their places.

    A *normal* template is text in which ``{{key}}`` stands for a declared variable, and nothing else means anything. A
    *jinja2* template is rendered in a sandbox, with the declared variables that have a value. A placeholder becomes the
    messages of its variable, a ``multi_part_variable`` the parts of its.

    The result shares nothing that can be changed with the prompt or the variables. Without messages it is ``[]``.

    Raises:
        InvalidParamError: a value is not of its declared type, or an argument is of the wrong kind.
        TemplateError: the template cannot be rendered (it says which message, part and line), or not by this library:
            only *normal* and *jinja2* can.
    """
    if not isinstance(prompt, Prompt):
        raise InvalidParamError("prompt must be a Prompt, not %s" % type_name(prompt))
    if variables is None:
        variables = {}
    elif not isinstance(variables, Mapping):
        raise InvalidParamError("variables must be a dict of values by key, not %s" % type_name(variables))
    template = prompt.prompt_template
    if template is None:
        return []
    if not isinstance(template, PromptTemplate):
        raise InvalidParamError("prompt_template must be a PromptTemplate, not %s" % type_name(template))
    if not template.messages:
        return []
    formatter = _Formatter(template, variables)
    formatted: list[Message] = []
    for index, message in enumerate(template.messages):
        if message is not None:
            formatted += formatter.messages(message, index)
    return formatted


class _Formatter:
    """One template with one set of variables."""

    def __init__(self, template: PromptTemplate, variables: Mapping[str, Any]) -> None:
        kind = template.template_type or _NORMAL
        if kind not in (_NORMAL, _JINJA2):
            raise TemplateError(
                "a template of type %s can only be rendered by the platform: use execute_prompt()"
                % describe(getattr(kind, "value", kind))
            )
        self._variables = variables
        self._types = checked(template.variable_defs, variables)
        self._renderer = (_Normal if kind == _NORMAL else _Jinja2)(self._types, variables)

    def messages(self, message: Any, index: int) -> list[Message]:
        """What becomes of the message at ``index`` of the template."""
        if not isinstance(message, Message):
            raise InvalidParamError("messages[%d] must be a Message, not %s" % (index, type_name(message)))
        if message.role == _PLACEHOLDER:
            return self._messages_of_variable(message.content)
        formatted: Message = copied(message)
        if formatted.content is not None:
            formatted.content = self._text(formatted.content, index)
        if formatted.parts:
            formatted.parts = self._parts(formatted.parts, index)
        return [formatted]

    def _messages_of_variable(self, key: str | None) -> list[Message]:
        value = self._variables.get(key) if isinstance(key, str) else None
        return [] if key is None or value is None else messages_of(key, value)

    def _parts(self, parts: list[Any], index: int) -> list[ContentPart]:
        formatted: list[ContentPart] = []
        for part_index, part in enumerate(parts):
            if part is None:
                continue
            if not isinstance(part, ContentPart):
                where = _place(index, part_index)
                raise InvalidParamError("%s must be a ContentPart, not %s" % (where, type_name(part)))
            if part.type == _VARIABLE:
                formatted += self._parts_of_variable(part.text)
            else:
                if part.type == _TEXT and part.text is not None:
                    part.text = self._text(part.text, index, part_index)
                formatted.append(part)
        return [part for part in formatted if _says_something(part)]

    def _parts_of_variable(self, key: str | None) -> list[ContentPart]:
        declared = isinstance(key, str) and self._types.get(key) == _MULTI_PART
        value = self._variables.get(key) if declared and key is not None else None
        return [] if value is None else parts_of(value)

    def _text(self, text: Any, index: int, part_index: int | None = None) -> str:
        if not isinstance(text, str):
            where = _place(index, part_index)
            raise InvalidParamError("the text of %s must be a str, not %s" % (where, type_name(text)))
        try:
            return self._renderer.render(text)
        except TemplateError as error:
            raise TemplateError(
                "%s: %s" % (_place(index, part_index), error),
                line=error.line,
                message_index=index,
                part_index=part_index,
            ) from error


def _place(index: int, part_index: int | None) -> str:
    return "messages[%d]" % index if part_index is None else "messages[%d].parts[%d]" % (index, part_index)


def _says_something(part: ContentPart) -> Any:
    # What a newer server means by a part of an unknown type is not ours to judge.
    return (
        part.text
        or part.image_url
        or part.video_url
        or part.base64_data
        or part.image_uri
        or part.video_uri
        or part.type not in _KNOWN_PARTS
    )


# -- the kinds of templates -------------------------------------------------------------------------------------------


class _Normal:
    """``{{key}}`` is replaced where ``key``, just as it is written, is declared; what is inserted is not looked at."""

    def __init__(self, types: dict[str, VariableType], variables: Mapping[str, Any]) -> None:
        self._types = types
        self._variables = variables
        self._texts: dict[str, str] = {}  # by tag, as they are asked for
        self._left = MAX_CHARS

    def render(self, template: str) -> str:
        pieces, tags = _compiled.get(template) or _compile(template)
        if not tags:
            return template
        filled = pieces[:]
        filled[1::2] = map(self._text_of, tags)
        self._left -= sum(map(len, filled))
        if self._left < 0:  # a few lines of template can ask for any amount of memory
            raise TemplateError("the messages would have more than %d characters" % MAX_CHARS)
        return "".join(filled)

    def _text_of(self, tag: str) -> str:
        text = self._texts.get(tag)
        if text is None:
            if tag in self._types:
                text = text_of(self._variables.get(tag), self._types[tag])
            else:
                text = "{{%s}}" % tag
            self._texts[tag] = text
        return text


class _Jinja2:
    """Everything Jinja has, within the bounds of its sandbox. Values are what they are, not text."""

    def __init__(self, types: dict[str, VariableType], variables: Mapping[str, Any]) -> None:
        given = ((key, variables.get(key)) for key, kind in types.items() if kind not in WITHOUT_TEXT)
        self._values = {key: value for key, value in given if value is not None}

    def render(self, template: str) -> str:
        with process.loading():
            from . import jinja  # it loads jinja2, which most programs do without
        return jinja.render(template, self._values)


_compiled: dict[str, Pieces] = {}


def _compile(template: str) -> Pieces:
    pieces: list[str] = []
    tags: list[str] = []
    end = 0
    while True:
        start = template.find("{{", end)
        stop = template.find("}}", start + 2) if start >= 0 else -1
        if stop < 0:
            break
        pieces += (template[end:start], "")
        tags.append(template[start + 2 : stop])
        end = stop + 2
    pieces.append(template[end:])
    _keep(template, (pieces, tags))
    return pieces, tags


def _keep(template: str, compiled: Pieces) -> None:
    if len(template) > MAX_KEPT_BYTES:
        return
    size = sys.getsizeof(template) + sum(sum(map(sys.getsizeof, (strings, *strings))) for strings in compiled)
    if size <= MAX_KEPT_BYTES:
        # No lock: at worst, threads that come here at once exceed the bound by one each.
        if len(_compiled) >= MAX_KEPT:
            _compiled.clear()
        _compiled[template] = compiled
