"""What a check found: its steps, as data, as text for people, and as JSON for machines.

Much of the text is not ours (a setting, an answer of a server): it is cut, its control characters are escaped, and
secrets are replaced, whatever step they got into.
"""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

from .. import __version__

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"

MAX_CHARS = 600  # of one text of a step
SHORTEST_SHOWN = 12  # characters of a secret of which the last ones are shown
SHOWN_CHARS = 4
SHORTEST_HIDDEN = 8  # characters; a shorter secret may be a part of any word

_SYMBOLS = {OK: "✓", WARNING: "!", FAILED: "✗", SKIPPED: "–"}
_WORDS = {OK: "ok", WARNING: "WARNING", FAILED: "FAILED", SKIPPED: "skipped"}
_COLORS = {OK: "\x1b[32m", WARNING: "\x1b[33m", FAILED: "\x1b[31m", SKIPPED: "\x1b[2m"}
_RESET = "\x1b[0m"


class Step(NamedTuple):
    """One step of a check.

    ``name`` is the same in every version; ``status`` is ``"ok"``, ``"warning"``, ``"failed"`` or ``"skipped"``;
    ``seen`` says what was found, ``advice`` what to change (``""`` when there is nothing to do).
    """

    name: str
    status: str
    seen: str
    advice: str = ""


class Report:
    """The result of a check. ``str()`` gives the text that the command prints.

    Attributes:
        steps: the list of :class:`Step`, in the order in which they were taken.
        ok: whether no step failed. Warnings do not count.
    """

    def __init__(self, steps: Iterable[Step], secrets: Iterable[str] = ()) -> None:
        hidden = [secret for secret in secrets if len(secret) >= SHORTEST_HIDDEN]
        self.steps = [
            step._replace(seen=_clean(step.seen, hidden), advice=_clean(step.advice, hidden)) for step in steps
        ]

    @property
    def ok(self) -> bool:
        return not self._with(FAILED)

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: ``version``, ``ok`` and ``steps``, each a dict of a step's four texts."""
        return {"version": __version__, "ok": self.ok, "steps": [dict(step._asdict()) for step in self.steps]}

    def text(self, *, color: bool = False, symbols: bool = True) -> str:
        """The steps, a line each, and below what to change; ``symbols=False`` for terminals that only know ASCII."""
        marks = _SYMBOLS if symbols else _WORDS
        mark_width = max(map(len, marks.values()))
        name_width = max([len(step.name) for step in self.steps] or [0])
        margin = " " * (mark_width + name_width + 3)
        arrow = "→ " if symbols else "-> "
        lines = []
        for step in self.steps:
            mark = marks[step.status].ljust(mark_width)
            if color:
                mark = _COLORS[step.status] + mark + _RESET
            lines.append("%s %s  %s" % (mark, step.name.ljust(name_width), step.seen))
            if step.advice:
                lines.append(margin + arrow + step.advice)
        lines.append("")
        lines.append(self._summary())
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return "<Report %s>" % self._summary()

    def _summary(self) -> str:
        failed, warnings = self._with(FAILED), self._with(WARNING)
        said = "failed: %s" % ", ".join(failed) if failed else "all is well"
        return said + ("; warnings: %s" % ", ".join(warnings) if warnings else "")

    def _with(self, status: str) -> list[str]:
        return [step.name for step in self.steps if step.status == status]


def shown(secret: str) -> str:
    """What may be shown of a secret: how long it is, and its end, when it is long enough."""
    length = "%d character%s" % (len(secret), "" if len(secret) == 1 else "s")
    return "****%s, %s" % (secret[-SHOWN_CHARS:], length) if len(secret) >= SHORTEST_SHOWN else "****, " + length


def _clean(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    if len(text) > MAX_CHARS:
        text = text[: MAX_CHARS - 3] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
