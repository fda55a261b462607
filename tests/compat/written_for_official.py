"""A program as users of the official package write them. It knows nothing of this library, and prints one line of JSON.

Run with COZELOOP_API_BASE_URL, COZELOOP_API_TOKEN and COZELOOP_WORKSPACE_ID set.
"""

import asyncio
import json
import logging
import time
from datetime import datetime

import cozeloop
from cozeloop import Client, Message, Prompt, Span, SpanContext, set_log_level
from cozeloop._client import APIBasePath
from cozeloop.decorator import coze_loop_decorator, observe
from cozeloop.entities.prompt import ContentPart, ContentType, ExecuteResult, Role, TokenUsage
from cozeloop.entities.stream import StreamReader
from cozeloop.internal import consts
from cozeloop.internal.consts import LoopError
from cozeloop.internal.trace.model.model import FinishEventInfo, QueueConf, TagTruncateConf
from cozeloop.logger import add_log_handler
from cozeloop.prompt import PromptClient
from cozeloop.spec.tracespec import CALL_OPTIONS, V_ROLE_USER, ModelCallOption, ModelInput, ModelMessage, ModelOutput
from cozeloop.spec.tracespec.model import ModelChoice, ModelMessagePart, ModelMessagePartType
from cozeloop.spec.tracespec.span_value import V_MODEL_SPAN_TYPE

events = []
result = {}


def note(info: FinishEventInfo) -> None:
    events.append((info.event_type, info.is_event_fail, info.item_num, info.detail_msg, info.extra_params.latency_ms))


@observe(name="work", span_type="tool", tags={"step": 1}, process_outputs=lambda output: {"value": output})
def work(number: int) -> int:
    return number * 2


@observe(process_iterator_outputs=lambda items: "".join(items))
def letters(text: str):
    return iter(text)


@observe(name="awaited", baggage={"kind": "async"})
async def awaited(number: int) -> int:
    return number + 1


class Searcher:
    @coze_loop_decorator.observe(name="search", span_type="retriever", process_inputs=lambda given: given["args"][-1])
    def search(self, query: str) -> list:
        return ["found", query]


def call_model(client: Client) -> None:
    span: Span = client.start_span("call", V_MODEL_SPAN_TYPE, start_time=datetime.now())
    span.set_input(ModelInput(messages=[ModelMessage(role=V_ROLE_USER, content="hi")]))
    span.set_output(ModelOutput(choices=[{"index": 0, "message": {"role": "assistant", "content": "hello"}}]))
    span.set_model_provider("openai")
    span.set_model_name("gpt-4o")
    span.set_model_call_options(ModelCallOption(temperature=0.5, max_tokens=100))
    span.set_input_tokens(12)
    span.set_output_tokens(30)
    span.set_start_time_first_resp(int(time.time() * 1_000_000))
    span.set_tags({CALL_OPTIONS: {"temperature": 0.5}, "ok": True})
    span.finish()


def handle_request(client: Client) -> None:
    root = client.start_span("answer", "custom")
    root.set_user_id_baggage("user-1")
    root.set_baggage({"product": "loop"})
    result["baggage"] = root.baggage()
    result["baggage items"] = sorted(root.baggage().items())
    call_model(client)
    result["work"] = work(21)
    result["letters"] = "".join(letters("abc"))
    result["awaited"] = asyncio.run(awaited(1))
    result["search"] = Searcher().search("x")
    header = root.to_header()
    assert set(header) == {consts.TRACE_CONTEXT_HEADER_PARENT, consts.TRACE_CONTEXT_HEADER_BAGGAGE}
    parent: SpanContext = client.get_span_from_header(header)
    with client.start_span("remote", "custom", child_of=parent) as remote:
        remote.set_error(ValueError("it went wrong"))
    assert client.get_span_from_context().span_id == root.span_id
    root.finish()


def use_prompt(client: PromptClient) -> None:
    prompt: Prompt = client.get_prompt(prompt_key="guide", version="0.0.1")
    assert prompt.prompt_template.messages[0].content == "You know {{city}}."
    assert prompt.prompt_template.messages[0].role == Role.SYSTEM == "system"
    assert prompt.llm_config.model_dump(exclude_none=True) == {"temperature": 0.5, "max_tokens": 100}
    history = [Message(role=Role.USER, content="Hello!")]
    variables = {"city": "Paris", "question": "Where to?", "history": history}
    messages = client.prompt_format(prompt, variables)
    result["formatted"] = [message.content for message in messages]
    for_openai = [message.model_dump(mode="json", exclude_none=True) for message in messages]
    assert for_openai[0] == {"role": "system", "content": "You know Paris."}
    assert dict(messages[1])["content"] == "Hello!"
    copied = prompt.copy(deep=True)
    copied.prompt_template.messages[0].content = "changed"
    assert prompt.prompt_template.messages[0].content != "changed"
    assert Prompt.model_validate(prompt.model_dump()) == prompt
    assert Prompt.model_validate_json(prompt.model_dump_json()).prompt_key == "guide"
    assert json.loads(prompt.json())["prompt_template"]["messages"][2]["role"] == "user"
    assert prompt.dict()["version"] == "0.0.1"


def execute_prompt(client: PromptClient) -> None:
    given = {"variable_vals": {"city": "Paris", "question": "Where to?", "history": []}, "timeout": 30}
    whole: ExecuteResult = client.execute_prompt("guide", **given)
    assert whole.message.role == Role.ASSISTANT and whole.message.content and whole.usage.input_tokens > 0
    pieces: StreamReader[ExecuteResult] = client.execute_prompt("guide", stream=True, **given)
    text, tokens = "", 0
    for piece in pieces:
        if piece.message:
            text += piece.message.content or ""
        if piece.usage:
            tokens += piece.usage.output_tokens
    assert tokens > 0
    result["streamed"] = text == whole.message.content


def make_objects() -> None:
    part = ContentPart(type=ContentType.IMAGE_URL, image_url="https://example.com/a.png")
    assert Message(role="user", parts=[part]).parts[0].type is ContentType.IMAGE_URL
    answer = ExecuteResult(message={"role": "assistant", "content": "x"}, usage=TokenUsage(input_tokens=1))
    assert (answer.message.content, answer.usage.output_tokens) == ("x", 0)
    assert answer.model_copy(update={"finish_reason": "stop"}).finish_reason == "stop"
    choice = ModelChoice(message={"role": "user", "parts": [{"type": "text", "text": "t"}]})
    assert choice.message.parts[0] == ModelMessagePart(type=ModelMessagePartType.TEXT, text="t")
    assert choice.model_dump(exclude_none=True)["message"]["parts"] == [{"type": "text", "text": "t"}]
    assert callable(StreamReader.close)


def main() -> None:
    set_log_level(logging.ERROR)
    add_log_handler(logging.NullHandler())
    client = cozeloop.new_client(
        timeout=consts.DEFAULT_TIMEOUT,
        upload_timeout=consts.DEFAULT_UPLOAD_TIMEOUT,
        prompt_cache_max_count=consts.DEFAULT_PROMPT_CACHE_MAX_COUNT,
        trace_finish_event_processor=note,
        tag_truncate_conf=TagTruncateConf(normal_field_max_byte=1024, input_output_field_max_byte=1024 * 1024),
        trace_queue_conf=QueueConf(span_queue_length=1000, span_max_export_batch_length=50),
        api_base_path=APIBasePath(trace_span_upload_path="/v1/loop/traces/ingest"),
    )
    cozeloop.set_default_client(client)
    result["workspace"] = client.workspace_id()
    assert cozeloop.ENV_WORKSPACE_ID == "COZELOOP_WORKSPACE_ID" and cozeloop.CN_BASE_URL.startswith("https://")
    assert cozeloop.spec.tracespec.ModelInput is ModelInput and cozeloop.entities.prompt.Message is Message
    handle_request(client)
    use_prompt(client)
    execute_prompt(client)
    make_objects()
    try:
        raise cozeloop.RemoteServiceError(404, 600, "no such prompt", "log-1")
    except LoopError as error:
        assert (error.http_code, error.error_code, error.log_id) == (404, 600, "log-1")
    cozeloop.flush()
    cozeloop.close()
    result["events"] = len(events)
    print(json.dumps(result))


if __name__ in ("__main__", "<run_path>"):
    main()
