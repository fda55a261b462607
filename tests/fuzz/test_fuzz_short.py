"""Everything that reads bytes from outside, with a thousand hostile inputs each: nothing undocumented comes of it.

The same ones in each run, ten times as many in ``make test THOROUGH=1``. ``make fuzz`` tries a million of each; a bug
it finds is fixed with a test beside those of the module.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import tries

from . import inputs
from .readers import READERS

COUNT = tries(1000, thorough=10_000)  # mutated examples for each reader
SLOW_ONES = {  # of which fewer are enough here
    **dict.fromkeys(("answer stream", "prompt", "result", "span", "param"), COUNT // 2),
    **dict.fromkeys(("inject", "snapshot", "jinja2 template"), COUNT // 2),
    "request": COUNT // 5,
}
EXAMPLES = tries(30, thorough=300)  # of hypothesis, which makes what fails small


@pytest.fixture(autouse=True)
def no_secret_leaks():
    """Not looked for from one input to the next: they are made of the same pieces. The readers look for themselves."""


@pytest.mark.parametrize("name", list(READERS))
def test_valid_examples_are_read(name):
    for data in READERS[name].examples:
        READERS[name].fuzz_one(data)


@pytest.mark.parametrize("name", list(READERS))
def test_mutated_examples_harm_nobody(name):
    blocks = itertools.chain.from_iterable(inputs.block(READERS[name], number) for number in itertools.count())
    for data in itertools.islice(blocks, SLOW_ONES.get(name, COUNT)):
        READERS[name].fuzz_one(data)


@pytest.mark.parametrize("name", list(READERS))
def test_arbitrary_bytes_harm_nobody(name):
    reader = READERS[name]
    ends = st.sampled_from([example[-4:] for example in reader.examples])
    pieces = st.sampled_from([*reader.words, *inputs.WORDS]) | st.binary(max_size=8)

    @settings(max_examples=EXAMPLES)
    @given(st.lists(pieces, max_size=12), ends)
    def read(front, end):
        reader.fuzz_one(b"".join(front) + end)

    read()
