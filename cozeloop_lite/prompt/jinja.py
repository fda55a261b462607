"""Templates in the language of jinja2, from wherever they come: rendered in a sandbox, within bounds.

    render("Hello {{ name|upper }}!", {"name": "world"})

The result is that of jinja2's ``ImmutableSandboxedEnvironment`` with its usual settings: nothing is escaped, one line
break at the end is dropped, an undefined name is empty, an attribute of one is an error. Beyond that

* a template stands alone: ``include``, ``import``, ``from`` and ``extends`` are refused, and so is ``autoescape``;
* its work, its memory, its size and its result are limited (see ``jinja_budget``, ``jinja_compiler``), so that any
  template ends within a second; a limit never depends on the time;
* of built-in types, methods that nobody needs in a prompt are refused, and so is the filter ``urlize``.

Variables are used as they are, never copied. Objects that the program puts there, and functions, are its own affair:
the template may call them, and what they do is neither limited nor undone.
"""

from __future__ import annotations

import threading

from .. import process
from ..errors import TemplateError
from ..trace.values import error_text, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from .jinja_sandbox import Template

MAX_KEPT = 256  # templates that stay compiled
MAX_KEPT_BYTES = 16 * 1024 * 1024  # of all of them; one may have an eighth
MAX_MESSAGE = 300  # characters


def render(source: str, variables: Mapping[str, Any]) -> str:
    """The text that the template ``source`` becomes with ``variables``.

    Raises:
        TemplateError: it cannot be rendered. The message names what is wrong, and the line.
    """
    template = _templates.get(source)
    try:
        return template.render(variables)
    except Exception as problem:
        raise _error(problem, template.line_of(problem)) from problem


class _Templates:
    """Compiled templates by their text; the ones that were not used lately leave first.

    Finding one takes no lock, which would be a sixteenth of rendering a short template: a hit only leaves a mark, and
    who is to leave and has the mark gets another round. No lock is held while a template is compiled: threads that need
    a new one at once each compile it.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Template] = {}
        self._bytes = 0
        self._on_fork()
        process.on_fork(self)

    def _on_fork(self) -> None:
        self._lock = threading.RLock()  # reentrant, for a signal handler that renders in the middle of this

    def get(self, source: str) -> Template:
        template = self._kept.get(source)
        if template is not None:
            template.used = True
            return template
        template = _compiled(source)
        if template.size > MAX_KEPT_BYTES // 8:
            return template
        with self._lock:
            if source not in self._kept:
                self._kept[source] = template
                self._bytes += template.size
            while len(self._kept) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
                oldest = next(iter(self._kept))
                leaving = self._kept.pop(oldest)
                if leaving.used:
                    leaving.used = False
                    self._kept[oldest] = leaving
                else:
                    self._bytes -= leaving.size
        return template


_templates = _Templates()


def _compiled(source: str) -> Template:
    with process.loading():
        from . import jinja_sandbox as sandbox
    try:
        return sandbox.Template(source)
    except Exception as problem:
        raise _error(problem, None) from problem


def _error(problem: Exception, line: int | None) -> TemplateError:
    from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

    from .jinja_budget import OverBudget

    text = error_text(problem)
    if isinstance(problem, TemplateSyntaxError):
        kind = "syntax error"
        line = problem.lineno
        text = problem.message or text
    elif isinstance(problem, OverBudget):
        kind = "limit exceeded"
    elif isinstance(problem, (RecursionError, MemoryError)):
        kind = "limit exceeded"
        text = "it is nested too deeply or too large"
    elif isinstance(problem, SecurityError):
        kind = "not allowed"
    elif isinstance(problem, UndefinedError):
        kind = "undefined value"
    else:
        kind = type_name(problem)
    where = "" if line is None else " on line %d" % line
    return TemplateError("%s in the jinja2 template%s: %s" % (kind, where, text[:MAX_MESSAGE]), line=line)
