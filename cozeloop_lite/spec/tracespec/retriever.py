"""What goes into the span of a retriever."""

from __future__ import annotations

from ...entities.entity import Entity, as_integer, as_is, as_number, as_text, dataclass, many, read_by

__all__ = ["RetrieverCallOption", "RetrieverDocument", "RetrieverInput", "RetrieverOutput"]


@dataclass
class RetrieverInput(Entity):
    """The input of a retriever span."""

    query: str | None = read_by(as_text)


@dataclass
class RetrieverDocument(Entity):
    """A document that was found."""

    id: str | None = read_by(as_text)
    index: str | None = read_by(as_text)
    content: str = read_by(as_text, "")
    vector: list[float] | None = read_by(as_is)
    score: float = read_by(as_number, 0.0)


@dataclass
class RetrieverOutput(Entity):
    """The output of a retriever span."""

    documents: list[RetrieverDocument] | None = read_by(many(RetrieverDocument))


@dataclass
class RetrieverCallOption(Entity):
    """How a retriever was called."""

    top_k: int | None = read_by(as_integer)
    min_score: float | None = read_by(as_number)
    filter: str | None = read_by(as_text)
