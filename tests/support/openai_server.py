"""What a server with the API of OpenAI answers; the name of the model says what it shall be.

    with RecordingServer() as server:
        server.default = openai_server.answer
        client = openai.OpenAI(api_key="sk-...", base_url=server.url + "/v1", max_retries=0)
        client.chat.completions.create(model="words", messages=[...])

``words`` answers ``A timed step.``, ``tools`` calls two functions, ``thinks`` shows its reasoning, ``json`` answers
JSON, ``short`` is cut at its limit of tokens, ``two`` gives two choices, ``failed`` is a response that failed.
``refused`` and ``busy`` are errors of HTTP, ``page`` is a web page. As streams, ``broken`` ends in an error, ``cut`` in
the middle of an item, ``endless`` never.
"""

from __future__ import annotations

import json
from typing import Any

from .recording import Answer, Live, Request, json_answer, text_answer

ID = "chatcmpl-1"
RESPONSE_ID = "resp_1"
PIECES = ["A timed", " step", "."]
REASONING = ["Let me", " see."]
CALLS = [("call_1", "weather", ['{"city":', '"Paris"}']), ("call_2", "time", ["{}"])]
ANSWER_JSON = '{"answer":42}'
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
RESPONSE_USAGE = {
    "input_tokens": 11,
    "output_tokens": 7,
    "total_tokens": 18,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 3},
}


def answer(request: Request) -> Answer:
    """The answer to any request."""
    body = request.json() if request.body else {}
    model = body.get("model")
    headers = {"x-request-id": "req_1"}
    if model == "refused":
        return json_answer({"error": {"message": "no such model", "type": "invalid", "code": "x"}}, 404, headers)
    if model == "busy":
        return json_answer({"error": {"message": "too many requests"}}, 429, headers)
    if model == "page":
        return text_answer("<html>maintenance</html>", content_type="text/html")
    path = request.path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return _stream(model, _chunks(body)) if body.get("stream") else json_answer(_completion(body), headers=headers)
    if path.endswith("/responses"):
        return _stream(model, _events(body)) if body.get("stream") else json_answer(_response(body), headers=headers)
    return json_answer({"object": "list", "data": [], "model": model, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


def _stream(model: str, items: list[dict[str, Any]]) -> Answer:
    lines = ["%sdata: %s\n\n" % (_event_line(item), json.dumps(item)) for item in items]
    half = len(lines) // 2 + 1
    if model == "endless":
        live = Live()
        for line in lines[:half]:
            live.say(line.encode())
        return live
    if model == "cut":
        return Live().say("".join(lines[: half - 1]).encode()).say(lines[half][:20].encode()).hang_up()
    if model == "broken":
        lines[half:] = ["data: %s\n\n" % json.dumps({"error": {"message": "the model broke"}})]
    return text_answer("".join(lines) + "data: [DONE]\n\n", content_type="text/event-stream")


def _event_line(item: dict[str, Any]) -> str:
    return "event: %s\n" % item["type"] if "type" in item else ""


# -- chat completions -----------------------------------------------------------------------------------------------


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(PIECES), "refusal": None}
    reason = "stop"
    if body["model"] == "tools":
        functions = [(key, {"name": name, "arguments": "".join(parts)}) for key, name, parts in CALLS]
        message["tool_calls"] = [{"id": key, "type": "function", "function": function} for key, function in functions]
        message["content"], reason = None, "tool_calls"
    elif body["model"] == "thinks":
        message["reasoning_content"] = "".join(REASONING)
    elif body["model"] == "json":
        message["content"] = ANSWER_JSON
    elif body["model"] == "short":
        reason = "length"
    choices = [
        {"index": index, "message": message, "finish_reason": reason, "logprobs": None}
        for index in range(2 if body["model"] == "two" else 1)
    ]
    head = {"id": ID, "object": "chat.completion", "created": 1, "model": body["model"] + "-2026"}
    return {**head, "choices": choices, "usage": USAGE}


def _chunks(body: dict[str, Any]) -> list[dict[str, Any]]:
    deltas: list[tuple[int, dict[str, Any]]] = [(0, {"role": "assistant", "content": ""})]
    reason = "stop"
    if body["model"] == "tools":
        reason = "tool_calls"
        for index, (key, name, parts) in enumerate(CALLS):
            call = {"index": index, "id": key, "type": "function", "function": {"name": name, "arguments": ""}}
            deltas.append((0, {"tool_calls": [call]}))
            for part in parts:
                deltas.append((0, {"tool_calls": [{"index": index, "function": {"arguments": part}}]}))
    else:
        texts = [ANSWER_JSON[:5], ANSWER_JSON[5:]] if body["model"] == "json" else PIECES
        if body["model"] == "thinks":
            deltas += [(0, {"reasoning_content": part}) for part in REASONING]
        deltas += [(index, {"content": part}) for part in texts for index in range(2 if body["model"] == "two" else 1)]
    head = {"id": ID, "object": "chat.completion.chunk", "created": 1, "model": body["model"] + "-2026"}
    ends = [(index, {}) for index in sorted({index for index, _ in deltas})]
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None if delta else reason}]}
        for index, delta in deltas + ends
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": USAGE})
    return chunks


# -- responses ------------------------------------------------------------------------------------------------------


def _response(body: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    head = {"id": RESPONSE_ID, "object": "response", "created_at": 1, "model": body.get("model", "stored") + "-2026"}
    rest = {"status": status, "error": None, "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    output = [] if status == "in_progress" else _output(body)
    usage = None if status == "in_progress" else RESPONSE_USAGE
    if body.get("model") == "failed" and status == "completed":
        rest.update(status="failed", error={"code": "server_error", "message": "the model failed"})
    return {**head, **rest, "output": output, "usage": usage}


def _output(body: dict[str, Any]) -> list[dict[str, Any]]:
    if body.get("model") == "failed":
        return []
    if body.get("model") == "tools":
        call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "status": "completed"}
        return [{**call, "arguments": '{"city":"Paris"}'}]
    text = ANSWER_JSON if body.get("model") == "json" else "".join(PIECES)
    part = {"type": "output_text", "text": text, "annotations": []}
    return [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}]


def _events(body: dict[str, Any]) -> list[dict[str, Any]]:
    begun = _response(body, "in_progress")
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(_output(body)):
        place = {"output_index": index, "item_id": item["id"]}
        bare = {**item, "arguments": ""} if "arguments" in item else {**item, "content": [], "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": index, "item": bare})
        if "arguments" in item:
            delta = {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]}
            events.append(delta)
        else:
            part = {**item["content"][0], "text": ""}
            events.append({"type": "response.content_part.added", **place, "content_index": 0, "part": part})
            text = item["content"][0]["text"]
            for piece in (text[:7], text[7:]):
                delta = {"type": "response.output_text.delta", **place, "content_index": 0, "delta": piece}
                events.append({**delta, "logprobs": []})
            done = {"type": "response.output_text.done", **place, "content_index": 0, "text": text, "logprobs": []}
            events.append(done)
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    whole = _response(body)
    events.append({"type": "response." + whole["status"], "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]
