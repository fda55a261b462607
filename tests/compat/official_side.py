"""A made-up program for two libraries: ``python official_side.py PACKAGE URL SEED SPANS TIME``.

The package is ``cozeloop`` or ``cozeloop_lite``, the time that of the last possible span in seconds. Both are called in
the same way, since each random choice follows from the seed alone. Not made up is what
costs the official client the whole batch that a span is in (NaN, lone surrogates, a service name that is no text), nor
more than the 50 tags of a span, nor None in the place of a value. Runs on CPython 3.7 and later.
"""

from __future__ import annotations

import datetime
import enum
import importlib
import random
import sys
from typing import Any

CHARS = "abcXYZ019 _-./:=,;%+&?#\"'\\{}[]<>\n\t\r\x01\x7f\u00e9\u00df\u4e2d\u6587\u2028\u0600\U0001f642"
PLAIN_CHARS = "abcdefghij0123456789_"
MAX_DEPTH = 5
MAX_TAGS = 40  # set by name; input, output, error and the derived ones come on top
FLUSH_EVERY = 100  # spans; the official client drops what its queue does not hold
SPAN_TYPES = ("custom", "model", "prompt", "tool", "retriever", "agent", "my type", "类型", "")


class Color(enum.Enum):
    RED = "red"
    TWO = 2


class Speaking:
    """An object that both libraries know nothing of but its text."""

    def __repr__(self) -> str:
        return "<an object>"


class Program:
    """Spans of all shapes, as the random numbers come."""

    def __init__(self, client: Any, package: str, seed: int, now: int) -> None:
        self.client = client
        self.now = datetime.datetime.fromtimestamp(now)
        self.spec = importlib.import_module(package + ".spec.tracespec")
        self.prompts = importlib.import_module(package + ".entities.prompt")
        self._random = random.Random(seed).random  # the one method that is the same in all versions of Python
        self.made = 0
        self.contexts: list[Any] = []  # of earlier spans: parents of later ones

    # -- chance -----------------------------------------------------------------------------------------------------

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def one_of(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    # -- spans ------------------------------------------------------------------------------------------------------

    def run(self, spans: int) -> None:
        while self.made < spans:
            self.span(0)
            if self.made % FLUSH_EVERY < MAX_DEPTH:
                self.client.flush()

    def span(self, depth: int) -> None:
        """A span and the spans inside; its name begins with its number, and says whether its times are chosen."""
        number, timed = self.made, self.chance(0.8)
        self.made += 1
        name = "%d%s %s" % (number, "t" if timed else "", self.text(30))
        options: dict[str, Any] = {}
        start = self.moment()
        if timed:
            options["start_time"] = start
        if depth == 0 or self.chance(0.05):
            options["start_new_trace"] = True
        elif self.contexts and self.chance(0.1):
            options["child_of"] = self.one_of(*self.contexts[-20:])
        span = self.client.start_span(name, self.one_of(*SPAN_TYPES), **options)
        in_block = self.chance(0.7)
        if in_block:
            with span:
                self.inside(span, depth, start if timed else None)
        else:
            self.inside(span, depth, start if timed else None)
            span.finish()
        if self.chance(0.2):
            self.contexts.append(self.client.get_span_from_header(span.to_header()) if self.chance(0.5) else span)

    def inside(self, span: Any, depth: int, start: datetime.datetime | None) -> None:
        tags: set[str] = set()
        for _ in range(self.below(7)):
            self.describe(span, tags, start)
        if depth < MAX_DEPTH:
            for _ in range(self.below(4 - min(depth, 3))):
                self.span(depth + 1)
        for _ in range(self.below(3)):
            self.describe(span, tags, start)
        if start is not None:
            span.set_finish_time(start + datetime.timedelta(microseconds=self.below(10 ** self.below(10))))

    def describe(self, span: Any, tags: set[str], start: datetime.datetime | None) -> None:
        """Call a setter."""
        setters = [
            *[lambda: self.set_tags(span, tags)] * 4,
            *[lambda: span.set_input(self.content(self.model_input))] * 3,
            *[lambda: span.set_output(self.content(self.model_output))] * 3,
            lambda: span.set_error(self.one_of(ValueError, KeyError, RuntimeError)(self.one_of("", self.text(50)))),
            lambda: span.set_error(self.text(50)),
            lambda: span.set_status_code(self.one_of(0, 1, -1, 200, 503)),
            lambda: span.set_user_id(self.text(20)),
            lambda: span.set_message_id(self.text(20)),
            lambda: span.set_thread_id(self.text(20)),
            lambda: span.set_user_id_baggage(self.text(20)),
            lambda: self.set_baggage(span, tags),
            lambda: span.set_model_provider(self.text(10)),
            lambda: span.set_model_name(self.text(20)),
            lambda: span.set_model_call_options(self.one_of({self.word(): self.json(2)}, self.call_options())),
            lambda: span.set_input_tokens(self.one_of(0, self.below(5000))),
            lambda: span.set_output_tokens(self.one_of(0, self.below(5000))),
            lambda: span.set_prompt(self.prompts.Prompt(prompt_key=self.text(20), version=self.one_of("", "0.0.1"))),
            lambda: span.set_runtime(self.spec.Runtime(library=self.word(), library_version=self.word())),
            lambda: span.set_system_tags(self.mapping(3, self.word, self.scalar)),
            lambda: span.set_deployment_env(self.word()),
            lambda: span.set_service_name(self.word()),
            lambda: span.set_log_id(self.word()),
        ]
        if start is not None:
            micros = round(start.replace(microsecond=0).timestamp()) * 1_000_000 + start.microsecond
            setters.append(lambda: span.set_start_time_first_resp(micros + self.below(10_000_000)))
        self.one_of(*setters)()

    def set_tags(self, span: Any, tags: set[str]) -> None:
        given = {}
        for _ in range(self.one_of(1, 2, 3, 10)):
            key = self.key()
            value = self.tag()
            if (value is not None if key in tags else len(tags) < MAX_TAGS):
                tags.add(key)
                given[key] = value
        span.set_tags(given)

    def set_baggage(self, span: Any, tags: set[str]) -> None:
        key = self.one_of("product", "user name", self.word(), "a=b", "c,d")
        if key in tags or len(tags) < MAX_TAGS:
            tags.add(key)
            span.set_baggage({key: self.text(20)})

    # -- values -----------------------------------------------------------------------------------------------------

    def moment(self) -> datetime.datetime:
        moment = self.now - datetime.timedelta(seconds=self.below(3600), microseconds=self.below(1_000_000))
        if self.chance(0.2):
            return moment.astimezone(datetime.timezone(datetime.timedelta(minutes=30 * self.below(20))))
        return moment

    def word(self) -> str:
        return "w" + "".join(PLAIN_CHARS[self.below(len(PLAIN_CHARS))] for _ in range(self.below(8)))

    def text(self, limit: int) -> str:
        return "".join(CHARS[self.below(len(CHARS))] for _ in range(self.below(limit)))

    def key(self) -> str:
        if self.chance(0.02):
            return self.word() * (20 + self.below(400))  # longer than a key may be
        return self.one_of(self.word(), self.word(), "key %d" % self.below(10), "键" + self.word())

    def scalar(self) -> Any:
        return self.one_of(self.text(20), self.below(100), -self.below(10**12), self._random() * 1000, True, False, "")

    def number(self) -> Any:
        return self.one_of(0, 1, -1, 2**53 + 1, -(2**63), 0.0, -0.0, 1.5, 1e21, 1e-7, 0.1, 123456789.125, 1e300)

    def json(self, depth: int) -> Any:
        """A value that JSON has."""
        kind = self.below(10 if depth else 6)
        if kind < 4:
            return self.scalar()
        if kind < 6:
            return self.one_of(None, self.number())
        if kind < 8:
            return [self.json(depth - 1) for _ in range(self.below(4))]
        return self.mapping(4, lambda: self.one_of(self.word(), self.text(8)), lambda: self.json(depth - 1))

    def mapping(self, limit: int, key: Any, value: Any) -> dict[str, Any]:
        """A dict. Not by a comprehension, which in Python 3.7 makes each value before its key."""
        made = {}
        for _ in range(self.below(limit)):
            name = key()
            made[name] = value()
        return made

    def tag(self) -> Any:
        kind = self.below(20)
        if kind < 10:
            return self.scalar()
        if kind < 13:
            return self.number()
        if kind < 17:
            return self.json(2)
        if kind == 17:
            return self.text(8) * (50 + self.below(1000))  # longer than a value may be
        day = datetime.date(2024, 5, 17)
        return self.one_of(None, (1, "two"), Color.RED, Color.TWO, Speaking(), day, b"bytes", {3})

    def content(self, model: Any) -> Any:
        kind = self.below(12)
        if kind < 4:
            return self.text(200)
        if kind < 8:
            return self.json(4) or {}
        if kind < 11:
            return model()
        if self.chance(0.1):
            return self.one_of("x", "中", "é🙂") * 600_000  # more than 1 MiB, but for the first
        return self.scalar()

    def call_options(self) -> Any:
        return self.spec.ModelCallOption(
            temperature=self._random(),
            max_tokens=self.one_of(None, self.below(100)),
            stop=self.one_of(None, ["\n", "停"]),
        )

    def message(self) -> Any:
        call = {"id": self.word(), "type": "function", "function": {"name": self.word(), "arguments": '{"a": 1}'}}
        return self.spec.ModelMessage(
            role=self.one_of("user", "assistant", "system", "tool"),
            content=self.one_of(None, self.text(60)),
            reasoning_content=self.one_of(None, self.text(20)),
            name=self.one_of(None, self.word()),
            tool_calls=self.one_of(None, None, [call]),
            tool_call_id=self.one_of(None, self.word()),
            metadata=self.one_of(None, {self.word(): self.text(8)}),
        )

    def model_input(self) -> Any:
        function = {"name": self.word(), "description": self.text(20), "parameters": {"type": "object"}}
        return self.spec.ModelInput(
            messages=[self.message() for _ in range(self.below(4))],
            tools=self.one_of(None, [{"type": "function", "function": function}]),
            tool_choice=self.one_of(None, {"type": "auto"}),
        )

    def model_output(self) -> Any:
        parts = [{"type": "text", "text": self.text(20)} for _ in range(self.below(3))]
        message = {"role": "assistant", "parts": parts, "reasoning_content": self.one_of(None, self.text(20))}
        return self.spec.ModelOutput(choices=[{"finish_reason": "stop", "index": 0, "message": message}])


def main(package: str, url: str, seed: int, spans: int, now: int) -> None:
    cozeloop = importlib.import_module(package)
    client = cozeloop.new_client(api_base_url=url, workspace_id="7", api_token="token-of-the-program", timeout=30)
    program = Program(client, package, seed, now)
    program.run(spans)
    client.flush()
    client.close()
    print("made:%d" % program.made)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
