"""What is fuzzed: one function for each thing that reads bytes from outside."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence


class Reader(NamedTuple):
    """Something that reads what comes from outside.

    Attributes:
        name: of the reader.
        fuzz_one: takes bytes; raises if the library raised what it does not document, or what it said cannot be right.
            Does the same each time.
        examples: valid inputs, of which the others are mutations.
        words: what is put in here and there.
        grows: whether the time has to be linear in the length of the input. If not, what bounds it is a budget.
        seconds: of CPU that an input of a few kilobytes may take at most.
    """

    name: str
    fuzz_one: Callable[[bytes], Any]
    examples: Sequence[bytes]
    words: Sequence[bytes] = ()
    grows: bool = True
    seconds: float = 0.5
