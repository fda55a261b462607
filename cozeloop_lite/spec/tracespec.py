"""What goes into model, prompt and retriever spans, so that the platform shows it as messages, images, documents.

Dataclasses with the JSON names of the platform (contract siblings.md 4, backend.md 2.7), and the keys and values of
tags. A plain dict of the same shape is treated the same everywhere. A field that is ``None`` is absent from the JSON.

    span.set_input(ModelInput(messages=[ModelMessage(role="user", content="hi")]))
    span.set_input({"messages": [{"role": "user", "content": "hi"}]})
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Spec:
    """The base of the dataclasses here: marks that absent fields are left out when they become JSON."""

    __leave_out_none__ = True


class SpanKind:
    """Span types that the platform knows (contract backend.md 2.5, siblings.md 4); any other text will do as well."""

    MODEL = "model"
    PROMPT = "prompt"
    PROMPT_HUB = "prompt_hub"
    PROMPT_EXECUTE = "prompt_execute"
    PROMPT_EXECUTE_STREAMING = "prompt_execute_streaming"
    RETRIEVER = "retriever"
    TOOL = "tool"
    AGENT = "agent"
    PARSER = "parser"
    EMBEDDING = "embedding"
    MEMORY = "memory"
    PLUGIN = "plugin"
    FUNCTION = "function"
    GRAPH = "graph"
    REMOTE = "remote"
    LOADER = "loader"
    TRANSFORMER = "transformer"
    VECTOR_STORE = "vector_store"
    VECTOR_RETRIEVER = "vector_retriever"
    CUSTOM = "custom"


# -- models -----------------------------------------------------------------------------------------------------------


class ModelMessagePartType(str, Enum):
    """What a part of a message is."""

    TEXT = "text"
    IMAGE = "image_url"
    FILE = "file_url"
    AUDIO = "audio_url"
    VIDEO = "video_url"
    MULTI_PART_VARIABLE = "multi_part_variable"


@dataclass
class ModelImageURL(Spec):
    """An image: a link, a ``data:`` URL, or ``bytes``; the latter two are uploaded and replaced by their key."""

    name: str | None = None
    url: str | bytes = ""
    detail: str | None = None


@dataclass
class ModelFileURL(Spec):
    """A file: a link, a ``data:`` URL, or ``bytes``."""

    name: str | None = None
    url: str | bytes = ""
    detail: str | None = None
    suffix: str | None = None


@dataclass
class ModelAudioURL(Spec):
    """A recording: a link, a ``data:`` URL, or ``bytes``."""

    name: str | None = None
    url: str | bytes = ""


@dataclass
class ModelVideoURL(Spec):
    """A film: a link, a ``data:`` URL, or ``bytes``."""

    name: str | None = None
    url: str | bytes = ""


@dataclass
class ModelMessagePart(Spec):
    """One part of a message that is more than text; the field that belongs to ``type`` is set."""

    type: ModelMessagePartType | str = ModelMessagePartType.TEXT
    text: str | None = None
    image_url: ModelImageURL | None = None
    file_url: ModelFileURL | None = None
    audio_url: ModelAudioURL | None = None
    video_url: ModelVideoURL | None = None
    signature: str | None = None


@dataclass
class ModelToolCallFunction(Spec):
    """The function that a model wants called; ``arguments`` is JSON text."""

    name: str = ""
    arguments: str | None = None


@dataclass
class ModelToolCall(Spec):
    """A call that a model asks for."""

    id: str | None = None
    type: str | None = None
    function: ModelToolCallFunction | None = None
    signature: str | None = None


@dataclass
class ModelMessage(Spec):
    """One message of a conversation: ``content`` when it is text, ``parts`` when it is more."""

    role: str = ""
    content: str | None = None
    reasoning_content: str | None = None
    parts: list[ModelMessagePart] | None = None
    name: str | None = None
    tool_calls: list[ModelToolCall] | None = None
    tool_call_id: str | None = None
    signature: str | None = None
    metadata: dict[str, str] | None = None


@dataclass
class ModelToolFunction(Spec):
    """A function that a model may call; ``parameters`` is a JSON schema, as a dict."""

    name: str = ""
    description: str = ""
    parameters: dict[str, Any] | None = None


@dataclass
class ModelTool(Spec):
    """A tool that a model may use."""

    type: str = "function"
    function: ModelToolFunction | None = None


@dataclass
class ModelToolChoice(Spec):
    """Which tool the model shall use: ``type`` is ``none``, ``auto``, ``required`` or ``function``."""

    type: str = ""
    function: ModelToolCallFunction | None = None


@dataclass
class ModelInput(Spec):
    """The input of a model span."""

    messages: list[ModelMessage] | None = None
    tools: list[ModelTool] | None = None
    tool_choice: ModelToolChoice | None = None
    previous_response_id: str | None = None


@dataclass
class ModelChoice(Spec):
    """One answer of a model."""

    finish_reason: str = ""
    index: int = 0
    message: ModelMessage | None = None


@dataclass
class ModelOutput(Spec):
    """The output of a model span."""

    id: str | None = None
    choices: list[ModelChoice] = field(default_factory=list)


@dataclass
class ModelCallOption(Spec):
    """How a model was called, for ``set_model_call_options``."""

    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    top_p: float | None = None
    n: int | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None


# -- prompts ----------------------------------------------------------------------------------------------------------


class PromptArgumentValueType(str, Enum):
    """What the value of a prompt's variable is."""

    TEXT = "text"
    MODEL_MESSAGE = "model_message"
    MODEL_MESSAGE_PART = "model_message_part"


@dataclass
class PromptArgument(Spec):
    """One variable of a prompt."""

    key: str = ""
    value: Any = None
    source: str | None = None
    value_type: PromptArgumentValueType | None = None


@dataclass
class PromptInput(Spec):
    """The input of a prompt span: the template and its variables."""

    templates: list[ModelMessage] | None = None
    arguments: list[PromptArgument] | None = None


@dataclass
class PromptOutput(Spec):
    """The output of a prompt span: the messages it became."""

    prompts: list[ModelMessage] | None = None


# -- retrievers -------------------------------------------------------------------------------------------------------


@dataclass
class RetrieverInput(Spec):
    """The input of a retriever span."""

    query: str | None = None


@dataclass
class RetrieverDocument(Spec):
    """A document that was found."""

    id: str | None = None
    index: str | None = None
    content: str = ""
    vector: list[float] | None = None
    score: float = 0.0


@dataclass
class RetrieverOutput(Spec):
    """The output of a retriever span."""

    documents: list[RetrieverDocument] | None = None


@dataclass
class RetrieverCallOption(Spec):
    """How a retriever was called."""

    top_k: int | None = None
    min_score: float | None = None
    filter: str | None = None


# -- the runtime ------------------------------------------------------------------------------------------------------


@dataclass
class Runtime(Spec):
    """The framework a span comes from, for ``set_runtime``. Language and SDK version are always this library's."""

    language: str | None = None
    library: str | None = None
    scene: str | None = None
    scene_version: str | None = None
    library_version: str | None = None
    loop_sdk_version: str | None = None
    extra: dict[str, Any] | None = None


# -- keys of tags -----------------------------------------------------------------------------------------------------

CALL_OPTIONS = "call_options"
STREAM = "stream"
REASONING_TOKENS = "reasoning_tokens"
REASONING_DURATION = "reasoning_duration"  # µs
TOOL_CALL_ID = "tool_call_id"
RETRIEVER_PROVIDER = "retriever_provider"
VIKINGDB_NAME = "vikingdb_name"
VIKINGDB_REGION = "vikingdb_region"
ES_NAME = "es_name"
ES_INDEX = "es_index"
ES_CLUSTER = "es_cluster"
PROMPT_PROVIDER = "prompt_provider"
PROMPT_KEY = "prompt_key"
PROMPT_VERSION = "prompt_version"
PROMPT_LABEL = "prompt_label"
SPAN_TYPE = "span_type"
INPUT = "input"
OUTPUT = "output"
ERROR = "error"
RUNTIME_ = "runtime"
MODEL_PROVIDER = "model_provider"
MODEL_NAME = "model_name"
INPUT_TOKENS = "input_tokens"
INPUT_CACHED_TOKENS = "input_cached_tokens"
OUTPUT_TOKENS = "output_tokens"
TOKENS = "tokens"
MODEL_PLATFORM = "model_platform"
MODEL_IDENTIFICATION = "model_identification"
TOKEN_USAGE_BACKUP = "token_usage_backup"
USER_ID = "user_id"
MESSAGE_ID = "message_id"
THREAD_ID = "thread_id"
START_TIME_FIRST_RESP = "start_time_first_resp"  # µs since the epoch
LATENCY_FIRST_RESP = "latency_first_resp"  # µs
DEPLOYMENT_ENV = "deployment_env"
CUT_OFF = "cut_off"
CALL_TYPE = "call_type"
LOG_ID = "log_id"
TRACE_ID = "trace_id"

# -- values of tags ---------------------------------------------------------------------------------------------------

V_PROMPT_HUB_SPAN_TYPE = "prompt_hub"
V_PROMPT_SPAN_TYPE = "prompt"
V_PROMPT_EXECUTE_SPAN_TYPE = "prompt_execute"
V_PROMPT_EXECUTE_STREAMING_SPAN_TYPE = "prompt_execute_streaming"
V_MODEL_SPAN_TYPE = "model"
V_RETRIEVER_SPAN_TYPE = "retriever"
V_TOOL_SPAN_TYPE = "tool"
V_ERR_DEFAULT = -1
V_ROLE_USER = "user"
V_ROLE_SYSTEM = "system"
V_ROLE_ASSISTANT = "assistant"
V_ROLE_TOOL = "tool"
V_TOOL_CHOICE_NONE = "none"
V_TOOL_CHOICE_AUTO = "auto"
V_TOOL_CHOICE_REQUIRED = "required"
V_TOOL_CHOICE_FUNCTION = "function"
V_LANG_GO = "go"
V_LANG_PYTHON = "python"
V_LANG_TYPESCRIPT = "ts"
V_LIB_EINO = "eino"
V_LIB_LANGCHAIN = "langchain"
V_LIB_OPENTELEMETRY = "opentelemetry"
V_SCENE_CUSTOM = "custom"
V_SCENE_PROMPT_HUB = "prompt_hub"
V_SCENE_PROMPT_TEMPLATE = "prompt_template"
V_SCENE_PROMPT_EXECUTE = "prompt_execute"
V_SCENE_PROMPT_EXECUTE_STREAMING = "prompt_execute_streaming"
V_SCENE_INTEGRATION = "integration"
V_PROMPT_ARG_SOURCE_INPUT = "input"
V_PROMPT_ARG_SOURCE_PARTIAL = "partial"
