"""A program's traces as the pages show them best: an agent with tools, an image, reasoning, a failure and its stack."""

from __future__ import annotations

import base64
import struct
import time
import zlib

from cozeloop_lite import new_client

PROMPT = {
    "prompt_key": "travel.planner",
    "versions": {
        "1.0.0": {
            "prompt_template": {
                "template_type": "normal",
                "messages": [
                    {"role": "system", "content": "You plan journeys.\nAnswer in {{language}}.\nBe brief."},
                    {"role": "user", "content": "Two days in {{city}}."},
                ],
                "variable_defs": [
                    {"key": "language", "desc": "of the answer", "type": "string"},
                    {"key": "city", "desc": "", "type": "string"},
                ],
            },
            "llm_config": {"temperature": 0.7},
        },
        "1.1.0": {
            "prompt_template": {
                "template_type": "normal",
                "messages": [
                    {"role": "system", "content": "You plan journeys by train.\nAnswer in {{language}}.\nName prices."},
                    {"role": "user", "content": "Two days in {{city}}."},
                ],
                "variable_defs": [
                    {"key": "language", "desc": "of the answer", "type": "string"},
                    {"key": "city", "desc": "", "type": "string"},
                ],
            },
            "llm_config": {"temperature": 0.2},
        },
    },
    "labels": {"production": "1.0.0", "beta": "1.1.0"},
}


def picture(width=240, height=120):
    """A PNG: a sun over the sea."""
    rows = []
    for y in range(height):
        row = bytearray(b"\0")
        for x in range(width):
            sun = (x - 170) ** 2 + (y - 42) ** 2 < 22**2
            sky = (255, 214, 110) if sun else (250 - y, 170 + y // 3, 120 + y)
            row += bytes(sky if y < 75 else (30, 70 + (x + 3 * y) % 17, 140 - y // 3))
        rows.append(bytes(row))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


TOOL = {
    "type": "function",
    "function": {"name": "find_trains", "description": "Trains of a day", "parameters": {"type": "object"}},
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find_trains", "arguments": '{"to": "Lisboa", "day": 2}'},
}
ANSWER = """This is Praia da Adraga, near Sintra.

Day 1: Lisboa to Sintra (40 min, 2.40 €), bus 441 to the beach.
Day 2: Sintra's palaces, and back in the evening."""
STACK = """TimeoutError: no answer from rail.example within 0.4 s

Traceback (most recent call last):
  File "planner/trains.py", line 42, in find_trains
    return session.get(url, timeout=0.4).json()
  File "planner/http.py", line 17, in get
    raise TimeoutError(f"no answer from {host} within {timeout} s")
TimeoutError: no answer from rail.example within 0.4 s"""


class _Program:
    """Reports spans whose times are made up: ``span(name, type, parent, begins, takes)`` in ms after ``start``."""

    def __init__(self, server, start):
        self.client = new_client(api_base_url=server.url, workspace_id="7", api_token="any")
        self.start = start

    def span(self, name, kind, parent, begins, takes, **what):
        start = int((self.start + begins / 1000) * 1e6)
        span = self.client.start_span(name, kind, start_time=start, child_of=parent, start_new_trace=parent is None)
        for setter, value in what.items():
            getattr(span, setter)(value)
        span.set_finish_time(start + int(takes * 1000))
        return span


def plan_a_journey(server, started=None):
    """Send the trace; returns its id."""
    program = _Program(server, time.time() - 5 if started is None else started)
    image = "data:image/png;base64," + base64.b64encode(picture()).decode()
    question = [
        {"type": "text", "text": "Where was this taken? Plan two days there, by train."},
        {"type": "image_url", "image_url": {"name": "beach.png", "url": image}},
    ]
    system = {"role": "system", "content": "You plan journeys by train.\nAnswer in English.\nName prices."}
    root = program.span(
        "plan_journey",
        "agent",
        None,
        0,
        3420,
        set_user_id_baggage="ada",
        set_service_name="planner",
        set_input={
            "question": "Two days at the sea",
            "travellers": [{"name": "Ada", "age": 36}, {"name": "Grace", "age": 41}],
        },
        set_tags={"feature": "journeys", "experiment": {"name": "trains-first", "arm": "b"}},
    )
    prompt = program.span("prompt travel.planner", "prompt", root, 4, 9)
    prompt.set_input({"templates": [system], "arguments": [{"key": "language", "value": "English"}]})
    prompt.set_output({"prompts": [system]})
    prompt.finish()
    search = program.span(
        "search_places", "retriever", root, 20, 310, set_input={"query": "beach, evening sun, cliffs"}
    )
    search.set_output({"documents": [{"id": "pt-17", "content": "Praia da Adraga, near Lisboa", "score": 0.93}]})
    program.span(
        "embed", "embedding", search, 22, 80, set_input="beach, evening sun, cliffs", set_output="[1536 numbers]"
    ).finish()
    program.span("vector_store.query", "vector_store", search, 104, 220).finish()
    search.finish()
    for turn, begins in enumerate((340, 1990)):
        model = program.span("chat_model", "model", root, begins, 980 if turn == 0 else 1390)
        model.set_model_name("atlas-large")
        model.set_start_time_first_resp(int((program.start + begins / 1000 + 0.24) * 1e6))
        messages = [system, {"role": "user", "content": question}]
        answer = {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Cliffs and a low sun over the sea: the coast west of Lisboa. I need the trains.",
            "tool_calls": [CALL],
        }
        if turn:
            messages += [{**answer}, {"role": "tool", "tool_call_id": "call_1", "content": '{"trains": []}'}]
            answer = {
                "role": "assistant",
                "content": ANSWER,
            }
        model.set_input({"messages": messages, "tools": [TOOL]})
        model.set_output(
            {"choices": [{"index": 0, "finish_reason": "stop" if turn else "tool_calls", "message": answer}]}
        )
        model.set_input_tokens(812 + 240 * turn)
        model.set_output_tokens(61 + 90 * turn)
        model.set_tags({"note": "x" * 1500} if turn else {})
        model.finish()
    tool = program.span("find_trains", "tool", root, 1330, 640, set_input=CALL["function"]["arguments"])
    tool.set_service_name("timetables")
    for attempt in range(3):
        failing = program.span(f"GET rail.example (attempt {attempt + 1})", "http", tool, 1335 + 210 * attempt, 200)
        failing.set_error(STACK)
        failing.finish()
    tool.set_error(STACK)
    tool.finish()
    program.span("save_plan", "db", root, 3385, 30, set_input="INSERT INTO plans …").finish()
    root.set_output("This is Praia da Adraga, near Sintra.")
    root.finish()
    assert program.client.flush()
    return root.trace_id


def everyday(server, count=40):
    """Short traces of a shop, for a list."""
    names = ["answer_ticket", "summarise_call", "rank_products", "translate", "classify_mail"]
    for n in range(count):
        program = _Program(server, time.time() - 7 * (count - n) - 8)
        root = program.span(names[n * 7 % 5], "agent", None, 0, 180 + n * 137 % 2900, set_service_name="shop")
        model = program.span("chat_model", "model", root, 12, 150 + n * 97 % 900)
        model.set_input_tokens(200 + n * 31 % 900)
        model.set_output_tokens(40 + n * 17 % 300)
        if n % 9 == 4:
            model.set_error("RateLimitError: too many requests, wait 2 s")
        model.finish()
        root.finish()
    assert program.client.flush()
