"""What ``observe`` records in a program that knows this library as ``cozeloop``: the spans of the official package.

Dashboards, evaluators and alerts were made for those, and are not changed by whoever changes an import. A span has the
plain name of its function, its input is ``{"args": [...], "kwargs": {...}}``, a failure is told by the tag ``error``
alone. What the official package gets wrong, such as an exception that it swallows, is not done here.
"""

from __future__ import annotations

from . import signatures
from .observer import Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..trace.span import Span

# Whether functions that are decorated from now on get such spans. Importing ``as_cozeloop`` sets it; a copy of the
# folder under the official name needs no such import.
wanted = __name__.startswith("cozeloop.")


class OfficialObserver(Observer):
    """One use of ``observe`` in such a program."""

    name_attribute = "__name__"

    def __init__(self, fn: Any, **options: Any) -> None:
        super().__init__(fn, **options)
        signed = signatures.of(fn, through_wrappers=False)
        if signed is not None and signed.flags & (signatures.GENERATOR | signatures.ASYNC_GENERATOR):
            self.process_items = None  # it is for the iterators that functions return
        self.times_first = self.times_first and self.process_items is not None

    def _for_hook(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self._signed is not None and self._signed.takes_self:
            args = args[1:]
        return super()._for_hook(args, kwargs)

    def _as_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._for_hook(args, kwargs)

    def _set_error(self, span: Span, error: BaseException) -> None:
        if isinstance(error, Exception):  # no interrupt, cancellation or early end
            span.set_error(error)

    def _finish(self, span: Span) -> None:
        if self.tags:
            span.set_tags(self.tags)  # they are stronger than what the function set
        super()._finish(span)
