"""The prompts of the stand-in server, each a document: its versions, its labels, and what executing it answers.

A document is what a file of the prompts folder holds, and what ``Prompts.put`` takes. Either a prompt with all there
is to it::

    {
      "prompt_key": "greet",
      "versions": {
        "0.0.1": {"prompt_template": {"template_type": "normal", "messages": [...], "variable_defs": [...]}},
        "0.0.2": {"prompt_template": {...}, "tools": [...], "llm_config": {...}, "reply": "Hello!"}
      },
      "labels": {"beta": "0.0.1"}
    }

or one version as the platform answers it: ``prompt_key`` and ``version`` beside ``prompt_template``. Versions are
semantic ones; the highest is the latest. ``reply`` is what executing that version answers (beside ``versions``: any
version), a text or a message with ``content``, ``reasoning_content`` and ``tool_calls``. Documents of one key add up.
"Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from typing import TYPE_CHECKING, NamedTuple

from . import codes, forms
from .binding import quote, string
from .codes import Refusal

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

    from .prompt_folder import PromptFolder

_SEMVER = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
_INT64 = (  # int64 fields of a prompt: answered as text, or null, contract 1.4 and 5
    *(("id",), ("created_at",), ("updated_at",), ("PublishInfo", "publish_at")),
    *(("llm_config", "id"), ("llm_config", "thinking", "budget_tokens")),
)
_ABOUT = ("workspace_id", "prompt_key", "version", "versions", "labels", "reply")  # of a document, not of the prompt


class Version(NamedTuple):
    """One version: its fields as the platform answers them, and the message that executing it answers, if given."""

    number: str
    fields: dict[str, Any]
    reply: dict[str, Any] | None


class Document(NamedTuple):
    """One prompt: its versions by number, and the labels with the number that each is bound to."""

    key: str
    versions: dict[str, Version]
    labels: dict[str, str]

    @property
    def id(self) -> int:
        """A number that stands for the prompt in messages, as on the platform."""
        return zlib.crc32(self.key.encode("utf-8", "replace"))

    @property
    def numbers(self) -> list[str]:
        """The numbers of its versions, the highest last."""
        return sorted(self.versions, key=_precedence)

    @property
    def latest(self) -> str | None:
        """The number of the highest version; None when there is none."""
        return max(self.versions, key=_precedence) if self.versions else None

    def version(self, number: str, label: str) -> Version:
        """The version a query asks for, contract 5: by number, else by label, else the latest."""
        about = {"prompt_key": self.key}
        if not number and label:
            number = self.labels.get(label, "")
            if not number:
                msg = f"prompt label unassociated with commit version,prompt key: {self.key}, label: {label}"
                raise Refusal(codes.LABEL_UNBOUND, msg, {**about, "label": label})
        if not number:
            number = self.latest or ""
            if not number:
                raise Refusal(codes.NOTHING_COMMITTED, f"prompt not committed,prompt key: {self.key}", about)
        if number not in self.versions:
            raise Refusal(codes.VERSION_NOT_FOUND, "prompt version not exist", {**about, "version": number})
        return self.versions[number]

    def answered(self, version: Version, workspace_id: int) -> dict[str, Any]:
        """A version as the platform answers it to a workspace."""
        about = {"workspace_id": str(workspace_id), "prompt_key": self.key, "version": version.number}
        return {**about, **version.fields}


class Prompts:
    """All prompts: those of a folder, and those that a test puts there, which hide a file's of the same key."""

    def __init__(self, folder: PromptFolder | None = None) -> None:
        self._folder = folder
        self._put: dict[str, Document] = {}
        self._lock = threading.Lock()

    def put(self, document: dict[str, Any]) -> None:
        """Add a prompt, or replace the one put there under the same key. Raises ``ValueError`` for a wrong form."""
        read = parse(document)
        with self._lock:
            self._put[read.key] = read

    def remove(self, prompt_key: str) -> None:
        """Take away a prompt that was put there, if it is there."""
        with self._lock:
            self._put.pop(prompt_key, None)

    def documents(self) -> dict[str, Document]:
        """The prompts as they are now, by key."""
        found = self._folder.documents() if self._folder is not None else {}
        with self._lock:
            return {**found, **self._put}

    def find(self, prompt_keys: Iterable[str]) -> list[Document]:
        """The prompts of these keys; a missing one raises ``Refusal``."""
        documents = self.documents()
        found = []
        for key in prompt_keys:
            if key not in documents:
                msg = f"resource not found,prompt key: {key} not found"
                raise Refusal(codes.PROMPT_NOT_FOUND, msg, {"prompt_key": key})
            found.append(documents[key])
        return found

    def listed(self) -> list[dict[str, Any]]:
        """What there is, for people: keys, versions, labels, and the variables of the latest version."""
        return [_listed(document) for _, document in sorted(self.documents().items())]


def _listed(document: Document) -> dict[str, Any]:
    latest = document.latest
    template = (document.versions[latest].fields.get("prompt_template") or {}) if latest else {}
    return {
        "prompt_key": document.key,
        "versions": document.numbers,
        "latest": latest,
        "labels": document.labels,
        "template_type": template.get("template_type"),
        "variables": template.get("variable_defs") or [],
    }


def merge(documents: Iterable[Document], say: Callable[[str], None]) -> dict[str, Document]:
    """One document for each key. A version that is in two of them is the first one's, and ``say`` is told."""
    merged: dict[str, Document] = {}
    for document in documents:
        known = merged.get(document.key)
        if known is None:
            merged[document.key] = document
            continue
        for number in sorted(set(known.versions) & set(document.versions)):
            say(f"prompt {quote(document.key)} {number} is in two files: the first one counts")
        versions = {**document.versions, **known.versions}
        merged[document.key] = Document(document.key, versions, {**document.labels, **known.labels})
    return merged


# --- reading a document -----------------------------------------------------------------------------------------------


def parse(document: Any) -> Document:
    """Read a document. Raises ``ValueError`` that says where it is wrong."""
    try:
        document = json.loads(json.dumps(document, allow_nan=False))  # a copy, and nothing but JSON in it
    except (TypeError, RecursionError) as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("a prompt must be an object")
    key = string(document.get("prompt_key"), "prompt_key")
    if not key:
        raise ValueError("prompt_key is missing")
    reply = document.get("reply")
    if "versions" in document:
        unknown = sorted(set(document) - set(_ABOUT))
        if unknown:
            raise ValueError(f"beside versions there is {unknown[0]!r}, which belongs into a version")
        given = _object(document["versions"], "versions")
    elif "prompt_template" in document:
        given = {string(document.get("version"), "version"): document}
    else:
        raise ValueError("it has neither versions nor prompt_template")
    versions = {number: _version(number, fields, reply) for number, fields in given.items()}
    labels = _object(document.get("labels") or {}, "labels")
    for label, number in labels.items():
        if not isinstance(number, str) or number not in versions:
            raise ValueError(f"the label {label!r} is bound to version {number!r}, which is not there")
    return Document(key, versions, labels)


def _version(number: str, fields: Any, common_reply: Any) -> Version:
    if not _SEMVER.fullmatch(number):
        raise ValueError(f"the version {number!r} is not one such as 0.0.1")
    path = f"version {number}"
    forms.PROMPT(fields, path)  # wrong types are said here
    prompt = {name: value for name, value in fields.items() if name not in _ABOUT}
    template = _object(prompt.get("prompt_template"), f"{path}: prompt_template")
    template.setdefault("metadata", {})
    for declared in template.get("variable_defs") or []:
        if declared is not None:
            declared.setdefault("desc", "")  # the platform answers one, and the official SDKs want it
    for *parents, name in _INT64:
        _int64_as_text(prompt, parents, name)
    reply = fields.get("reply", common_reply)
    if isinstance(reply, str):
        reply = {"content": reply}
    return Version(number, prompt, None if reply is None else forms.MESSAGE(reply, f"{path}: reply"))


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path} must be an object")
    return value


def _int64_as_text(holder: Any, parents: list[str], name: str) -> None:
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        value = holder.get(name)
        holder[name] = None if value is None else str(value)


def _precedence(version: str) -> Any:
    """What orders versions as semantic versioning does: a pre-release comes before its release."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        return ((), False, [])
    before = [
        (False, len(part), part) if part.isdigit() else (True, 0, part)  # numbers have no leading zeros
        for part in (match.group(4) or "").split(".")
    ]
    return tuple(int(number) for number in match.groups()[:3]), match.group(4) is None, before
