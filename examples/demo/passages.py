"""The library: passages of this repository's text files, found again by the words of a question.

No tracing in here: plain code that the assistant calls from inside its spans. The ranking is BM25, the usual formula of
full-text search (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).
"""

from __future__ import annotations

import ast
import collections
import math
import re
from pathlib import Path
from typing import Iterator, NamedTuple

K1 = 1.2  # how soon more occurrences of a word stop to count
B = 0.75  # how much long passages are put at a disadvantage
MIN_WORDS = 5  # shorter passages answer nothing

_WORD = re.compile(r"[A-Za-z0-9_]+")
_ENDINGS = re.compile(r"(ing|ed|es|s)$")
STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be by do does for from goes has have how i if in is it its of on or that the there to was "
        "what when where which who why with"
    )
)


class Passage(NamedTuple):
    """A piece of a file: its id names the file and where in it the text stands."""

    id: str
    text: str


class Hit(NamedTuple):
    """A passage that was found, and how well it fits."""

    passage: Passage
    score: float


class Library:
    """An index over passages, which are kept in the order given: equal scores come out in that order."""

    def __init__(self, passages: list[Passage]) -> None:
        self._by_id = {passage.id: passage for passage in passages}
        self._counts = {passage.id: collections.Counter(words(passage.text)) for passage in passages}
        self._lengths = {id: sum(counts.values()) for id, counts in self._counts.items()}
        self._average = sum(self._lengths.values()) / max(1, len(self._lengths))
        self._holders = collections.Counter(word for counts in self._counts.values() for word in counts)

    def __len__(self) -> int:
        return len(self._by_id)

    def text(self, passage_id: str) -> str:
        """The text of one passage. Raises KeyError when there is none of this id."""
        return self._by_id[passage_id].text

    def search(self, query: str, limit: int = 5) -> list[Hit]:
        """The best passages, the best one first."""
        asked = sorted(set(words(query)))
        hits = [Hit(passage, self._score(passage.id, asked)) for passage in self._by_id.values()]
        hits = [hit for hit in hits if hit.score > 0]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    def _score(self, passage_id: str, asked: list[str]) -> float:
        counts = self._counts[passage_id]
        length = K1 * (1 - B + B * self._lengths[passage_id] / self._average)
        return sum(self._rarity(word) * counts[word] * (K1 + 1) / (counts[word] + length) for word in asked)

    def _rarity(self, word: str) -> float:
        holders = self._holders[word]
        return math.log(1 + (len(self._by_id) - holders + 0.5) / (holders + 0.5))


def words(text: str) -> list[str]:
    """The words that matter, in lower case and without their commonest endings."""
    found = (word.lower() for word in _WORD.findall(text))
    return [_ENDINGS.sub("", word) if len(word) > 4 else word for word in found if word not in STOP_WORDS]


def read_repository(root: Path) -> list[Passage]:
    """What README.md and LICENSE say, and the docstrings of the package."""
    passages = [*_paragraphs(root, "README.md"), *_paragraphs(root, "LICENSE")]
    for path in sorted(root.glob("cozeloop_lite/**/*.py")):
        passages.extend(_docstrings(root, path))
    return [passage for passage in passages if len(words(passage.text)) >= MIN_WORDS]


def _paragraphs(root: Path, name: str) -> Iterator[Passage]:
    """The paragraphs and table rows of a text, under their headings; what stands between ``` is code and left out."""
    text = re.sub(r"^```.*?^```$", "", (root / name).read_text(encoding="utf-8"), flags=re.S | re.M)
    heading = "top"
    for number, block in enumerate(re.split(r"\n\s*\n|\n(?=\|)", text), start=1):
        if block.startswith("#"):
            heading = block.lstrip("# ").splitlines()[0]
        elif block.strip():
            yield Passage("%s, %s (%d)" % (name, heading, number), _plain(block.strip("| \n")))


def _docstrings(root: Path, path: Path) -> Iterator[Passage]:
    name = path.relative_to(root).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node)
            label = name if isinstance(node, ast.Module) else "%s, %s" % (name, node.name)
            if text and label not in seen:
                seen.add(label)
                yield Passage(label, _plain(text))


def _plain(text: str) -> str:
    """``text`` on one line, without the marks of Markdown and reStructuredText."""
    text = re.sub(r":[a-z]+:`~?([^`]*)`", r"\1", text.replace("|", "-"))
    return re.sub(r"\s+", " ", re.sub(r"[`*]+", "", text)).strip()
