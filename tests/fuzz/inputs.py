"""The inputs: valid examples, mutated. They come in blocks, and each block is the same in each run."""

from __future__ import annotations

import random
import zlib

from .feed import HALVES, SEPARATOR

BLOCK = 1000  # inputs
MAX_BYTES = 2048  # of one
MAX_MUTATIONS = 8
RANDOM_ONES = 20  # one input in so many is not made of an example
PUMPED = 64  # times that a piece is repeated at most

WORDS = (
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", "é".encode(), "文".encode()),
    *(b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"%00", b"%0d%0a", b"%", b"+", b"=", b",", b";", b":", b"-", b"--"),
    *(b'"', b"\\", b"'", b"{", b"}", b"[", b"]", b"<", b"/", b"../", b"0", b"-1", b"9" * 20, b"1e999", b"null"),
    *(SEPARATOR, HALVES),
)


def block(reader, number, seed=0):
    """The inputs of block ``number``."""
    chance = random.Random(zlib.crc32(("%s %d %d" % (reader.name, seed, number)).encode()))
    examples = reader.examples
    words = (*WORDS, *reader.words, *reader.words)
    for _ in range(BLOCK):
        if chance.random() * RANDOM_ONES < 1:
            yield _noise(chance, chance.randrange(1, 64))
        else:
            data = examples[int(chance.random() * len(examples))]
            for _ in range(int(chance.random() ** 2 * MAX_MUTATIONS) + 1):
                data = _MUTATIONS[int(chance.random() * len(_MUTATIONS))](data, chance, words, examples)
            yield data[:MAX_BYTES]


def _noise(chance, size):
    return chance.getrandbits(8 * size).to_bytes(size, "big")


def _place(data, chance):
    return int(chance.random() * (len(data) + 1))


def _span(data, chance):
    """A piece of ``data``: more often a short one than a long one."""
    start = _place(data, chance)
    return start, min(len(data), start + 1 + int(chance.random() ** 4 * 64))


def _insert_word(data, chance, words, examples):
    start = _place(data, chance)
    return data[:start] + words[int(chance.random() * len(words))] + data[start:]


def _replace_by_word(data, chance, words, examples):
    start, stop = _span(data, chance)
    return data[:start] + words[int(chance.random() * len(words))] + data[stop:]


def _change_byte(data, chance, words, examples):
    start = _place(data, chance)
    return data[:start] + bytes([int(chance.random() * 256)]) + data[start + 1 :]


def _insert_noise(data, chance, words, examples):
    start = _place(data, chance)
    return data[:start] + _noise(chance, 1 + int(chance.random() * 8)) + data[start:]


def _delete(data, chance, words, examples):
    start, stop = _span(data, chance)
    return data[:start] + data[stop:]


def _cut_off(data, chance, words, examples):
    return data[: _place(data, chance)]


def _repeat(data, chance, words, examples):
    start, stop = _span(data, chance)
    times = 1 + int(chance.random() ** 3 * PUMPED)
    return data[:stop] + data[start:stop] * times + data[stop:]


def _move(data, chance, words, examples):
    start, stop = _span(data, chance)
    rest = data[:start] + data[stop:]
    place = _place(rest, chance)
    return rest[:place] + data[start:stop] + rest[place:]


def _cross(data, chance, words, examples):
    """The front of the one, the end of the other."""
    other = examples[int(chance.random() * len(examples))]
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _put_in_another(data, chance, words, examples):
    other = examples[int(chance.random() * len(examples))]
    start, stop = _place(other, chance), _place(other, chance)
    place = _place(data, chance)
    return data[:place] + other[min(start, stop) : max(start, stop)] + data[place:]


_MUTATIONS = (
    *(_insert_word, _replace_by_word, _change_byte, _insert_noise, _delete, _cut_off),
    *(_repeat, _move, _cross, _put_in_another, _insert_word, _change_byte),
)
