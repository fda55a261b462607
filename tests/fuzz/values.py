"""JSON values out of bytes: any bytes are one, and each value is some bytes, so that examples can be mutated.

A byte is an atom, a bracket, the beginning of a text or a number, or a word: a key or value that the reader knows.
What is nested too deeply is cut off, for what reads JSON text does not come to see it.
"""

from __future__ import annotations

import json

LIST, DICT, CLOSE, TEXT, NUMBER, END = range(6)
ATOMS = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**25, 0.5, -0.0, 1e308, 1.0),
    *(float("nan"), float("inf"), "", "0", "1.5", "-1", "true", "null", "\ud800", "\x00", "é", "😀"),
    *("x" * 300, "9" * 30),
]
_FIRST_ATOM = 8
_FIRST_WORD = _FIRST_ATOM + len(ATOMS)
_WORDS = 256 - _FIRST_WORD
MAX_DEPTH = 800  # below what json can write
MAX_DIGITS = 400
MAX_WORD_CHARS = 40
# For mutations: each atom and bracket, and what is nested deeper than anything reasonable.
WORDS = (
    *(bytes([byte]) for byte in (*range(6), *range(_FIRST_ATOM, _FIRST_WORD))),
    *(bytes([LIST]) * 150, bytes([LIST]) * 790, bytes([DICT, _FIRST_WORD]) * 150),
)


def decode(data, words):
    """The value that ``data`` is; ``words`` are texts."""
    root = []
    path = [root]  # the open containers
    keys = [None]  # of each of them: the key whose value comes next
    position, end = 0, len(data)
    while position < end:
        byte = data[position]
        position += 1
        if byte == CLOSE:
            if len(path) > 1:
                path.pop()
                keys.pop()
            continue
        if byte in (TEXT, NUMBER):
            stop = data.find(END, position)
            stop = end if stop < 0 else stop
            value = (_text if byte == TEXT else _number)(data[position:stop])
            position = stop + 1
        elif byte in (LIST, DICT):
            value = [] if byte == LIST else {}
        elif byte >= _FIRST_WORD:
            value = words[(byte - _FIRST_WORD) % len(words)]
        else:
            value = ATOMS[(byte - _FIRST_ATOM) % len(ATOMS)]
        opens = byte in (LIST, DICT) and len(path) < MAX_DEPTH
        container = path[-1]
        if type(container) is list:
            container.append(value)
        elif keys[-1] is None:
            if opens:  # a key was to come
                container[""] = value
            else:
                keys[-1] = value if type(value) is str else repr(value)
        else:
            container[keys[-1]] = value
            keys[-1] = None
        if opens:
            path.append(value)
            keys.append(None)
    return root[0] if root else None


def decoded_dict(data, words):
    """As :func:`decode`; what is no dict becomes a value in one."""
    value = decode(data, words)
    return value if type(value) is dict else {words[0]: value}


def encode(value, words):
    """Bytes that :func:`decode` makes ``value`` of, with the same ``words``."""
    if isinstance(value, (list, tuple)):
        return bytes([LIST]) + b"".join(encode(item, words) for item in value) + bytes([CLOSE])
    if isinstance(value, dict):
        items = b"".join(encode(key, words) + encode(item, words) for key, item in value.items())
        return bytes([DICT]) + items + bytes([CLOSE])
    for number, atom in enumerate(ATOMS):
        if repr(atom) == repr(value):
            return bytes([_FIRST_ATOM + number])
    if isinstance(value, str):
        if value in words and words.index(value) < _WORDS:
            return bytes([_FIRST_WORD + words.index(value)])
        return bytes([TEXT]) + value.encode("utf-8", "surrogateescape") + bytes([END])
    return bytes([NUMBER]) + json.dumps(value).encode("ascii") + bytes([END])


def words_in(examples):
    """The keys and short texts in JSON values."""
    found, waiting = set(), list(examples)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += (*value.keys(), *value.values())
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and len(value) <= MAX_WORD_CHARS:
            found.add(value)
    return tuple(sorted(found))


def same(one, other):
    """Whether two JSON values are the same; NaN is what it is."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _text(data):
    return data.decode("utf-8", "surrogateescape")


def _number(data):
    text = data[:MAX_DIGITS].decode("latin-1")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return 0
