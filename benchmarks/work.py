"""The work that every client is given: what a typical span carries, and the prompts that are formatted."""

from __future__ import annotations

WORKSPACE = "7000000000000000001"
TOKEN = "pat_benchmark"

# A typical span: the call of a model, with three tags and two token counts.
MESSAGES = {
    "messages": [
        {"role": "system", "content": "You answer questions about the weather, shortly, with the help of tools."},
        {"role": "user", "content": "上海明天的天气怎么样？ Do I need an umbrella on my way to work?"},
    ]
}
QUESTION = "上海明天的天气怎么样？ Do I need an umbrella on my way to work? " * 3  # as long as MESSAGES are in JSON
ANSWER = "Tomorrow Shanghai is cloudy, 18 to 24 °C, with showers from 15:00 on: take an umbrella for the way back. " * 2
TAGS = {"feature": "weather", "attempt": 1, "temperature": 0.7}
INPUT_TOKENS = 132
OUTPUT_TOKENS = 48

INPUTS = (("text", QUESTION), ("messages", MESSAGES))  # two kinds of typical span

SHORT_TEXT = "Good day! "
LONG_TEXT = SHORT_TEXT * 10_000  # 100 kB

# Prompts of three messages with five variables, in both languages of the platform; they say the same.
VARIABLES = {"name": "Ada", "city": "上海", "date": "2025-06-01", "tone": "brief", "question": "Shall I go by bike?"}
_TEXTS = [
    "You are the assistant of {{name}}, who lives in {{city}}. Today is {{date}}. Your answers are {{tone}}, and say "
    "so when you do not know. Use the tools for what happens in {{city}} now, and never guess.",
    "I am {{name}}. Please keep it {{tone}}.",
    "{{question}} I am in {{city}} on {{date}}.",
]
_ROLES = ["system", "assistant", "user"]


def _prompt(key: str, kind: str) -> dict[str, object]:
    messages = [{"role": role, "content": text} for role, text in zip(_ROLES, _TEXTS)]
    variables = [{"key": name, "desc": "the %s" % name, "type": "string"} for name in VARIABLES]
    return {
        "workspace_id": WORKSPACE,
        "prompt_key": key,
        "version": "0.0.1",
        "prompt_template": {"template_type": kind, "messages": messages, "variable_defs": variables},
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "of a city", "parameters": '{"type":"object"}'},
            }
        ],
        "tool_call_config": {"tool_choice": "auto"},
        "llm_config": {"temperature": 0.7, "max_tokens": 4096, "top_p": 1.0, "json_mode": False},
    }


PROMPTS = {kind: _prompt(kind, kind) for kind in ("normal", "jinja2")}


def filled_in() -> list[str]:
    """The texts that formatting must lead to, by plain replacement."""
    texts = []
    for text in _TEXTS:
        for name, value in VARIABLES.items():
            text = text.replace("{{%s}}" % name, value)
        texts.append(text)
    return texts
