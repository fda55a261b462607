"""The forms of what is said about prompts: of requests, and of the prompts in files. Names and types of the platform.

Contract backend.md 5 to 6 and the schemas ``mget_*`` and ``execute_*``. What executing does not need (tools and models
that a caller brings along) is not read.
"""

from __future__ import annotations

from .binding import boolean, double, i32, i64, list_of, map_of, string, struct

PART = struct(
    {
        "type": string,
        "text": string,
        "image_url": string,
        "base64_data": string,
        "video_url": string,
        "config": struct({"fps": double, "image_resolution": string}),
        "signature": string,
        "image_uri": string,
        "video_uri": string,
    }
)
TOOL_CALL = struct(
    {
        "index": i32,
        "id": string,
        "type": string,
        "function_call": struct({"name": string, "arguments": string}),
        "signature": string,
    }
)
MESSAGE = struct(
    {
        "role": string,
        "content": string,
        "parts": list_of(PART),
        "reasoning_content": string,
        "tool_call_id": string,
        "tool_calls": list_of(TOOL_CALL),
        "skip_render": boolean,
        "signature": string,
        "metadata": map_of(string),
    }
)

# --- requests ---------------------------------------------------------------------------------------------------------

QUERY = struct({"prompt_key": string, "version": string, "label": string})
MGET = struct({"workspace_id": i64, "queries": list_of(QUERY)})
VARIABLE_VAL = struct(
    {"key": string, "value": string, "placeholder_messages": list_of(MESSAGE), "multi_part_values": list_of(PART)}
)
EXECUTE = struct(
    {
        "workspace_id": i64,
        "prompt_identifier": QUERY,
        "variable_vals": list_of(VARIABLE_VAL),
        "messages": list_of(MESSAGE),
        "release_label": string,
    }
)

# --- prompts ----------------------------------------------------------------------------------------------------------

PROMPT = struct(
    {
        "prompt_template": struct(
            {
                "template_type": string,
                "messages": list_of(MESSAGE),
                "variable_defs": list_of(struct({"key": string, "desc": string, "type": string})),
                "metadata": map_of(string),
            }
        ),
        "tools": list_of(
            struct(
                {
                    "type": string,
                    "function": struct({"name": string, "description": string, "parameters": string}),
                    "disable": boolean,
                }
            )
        ),
        "tool_call_config": struct(
            {"tool_choice": string, "tool_choice_specification": struct({"type": string, "name": string})}
        ),
        "llm_config": struct(
            {
                "temperature": double,
                "max_tokens": i32,
                "top_k": i32,
                "top_p": double,
                "presence_penalty": double,
                "frequency_penalty": double,
                "json_mode": boolean,
                "thinking": struct({"budget_tokens": i64, "thinking_option": string, "reasoning_effort": string}),
                "extra": string,
            }
        ),
    }
)
