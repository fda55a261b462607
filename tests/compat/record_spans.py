"""The spans that observed.py and prompted.py make with the official package, as JSON: without ids, times and versions.

With the project's interpreter (the official package gets one of its own, see official.py)

    python tests/compat/record_spans.py

writes the files of official_spans/ that test_official_spans.py compares this library with.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [os.path.dirname(here), os.path.dirname(os.path.dirname(here))]

from compat import official
from cozeloop_lite.local import StandInServer

PROGRAMS = ("observed", "prompted")
LEFT_OUT = (
    *("span_id", "trace_id", "started_at_micros", "duration_micros", "system_tags_string"),  # by chance
    *("method", "call_type", "warnings", "dropped", "tags_bytes", "workspace_id"),  # what the server says itself
)
TIMES = ("start_time_first_resp", "latency_first_resp")


def variable(key: str, kind: str = "string") -> dict[str, str]:
    return {"key": key, "desc": "", "type": kind}


PROMPTS: list[dict[str, Any]] = [
    {
        "prompt_key": "guide",
        "version": "0.0.1",
        "labels": {"production": "0.0.1"},
        "prompt_template": {
            "template_type": "normal",
            "messages": [
                {"role": "system", "content": "You know {{city}}."},
                {"role": "placeholder", "content": "history"},
                {"role": "user", "content": "{{question}}"},
            ],
            "variable_defs": [variable("city"), variable("question"), variable("history", "placeholder")],
        },
        "llm_config": {"temperature": 0.5, "max_tokens": 100},
    },
    {
        "prompt_key": "jinja",
        "version": "0.0.1",
        "prompt_template": {
            "template_type": "jinja2",
            "messages": [
                {
                    "role": "user",
                    "content": "{% for one in names %}{{ one }};{% endfor %}{{ count }}{% if polite %} ok{% endif %}",
                }
            ],
            "variable_defs": [
                variable("names", "array<string>"),
                variable("count", "integer"),
                variable("polite", "boolean"),
            ],
        },
    },
    {
        "prompt_key": "pictures",
        "version": "0.0.1",
        "prompt_template": {
            "template_type": "normal",
            "messages": [
                {"role": "system", "content": "There are {{count}} pictures."},
                {
                    "role": "user",
                    "parts": [
                        {"type": "text", "text": "Here, {{count}}:"},
                        {"type": "multi_part_variable", "text": "shown"},
                    ],
                },
            ],
            "variable_defs": [variable("count"), variable("shown", "multi_part")],
        },
    },
]


def spans_of(program: str, interpreter: str, *command: str, **variables: str) -> dict[str, dict[str, Any]]:
    """The spans that the program sends, by ``case / name / number``, each flat and without what is left out."""
    with tempfile.TemporaryDirectory() as folder, StandInServer(prompts=folder) as server:
        for prompt in PROMPTS:
            server.prompts.put(prompt)
        settings = {
            "COZELOOP_API_BASE_URL": server.url,
            "COZELOOP_API_TOKEN": "token-of-the-program",
            "COZELOOP_WORKSPACE_ID": "7",
        }
        path = os.path.join(official.HERE, program + ".py")
        done = official.run(interpreter, *command, path, **settings, **variables)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-4000:]
        return named(server.store.spans())


def named(spans: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    roots = {span["trace_id"]: span["span_name"] for span in spans if span["parent_id"] == "0"}
    names = {span["span_id"]: span["span_name"] for span in spans}
    found: dict[str, dict[str, Any]] = {}
    for span in sorted(spans, key=lambda span: span["started_at_micros"]):
        path = "%s / %s" % (roots[span["trace_id"]], span["span_name"])
        number = sum(1 for other in found if other.rpartition(" / ")[0] == path) + 1
        found["%s / %d" % (path, number)] = flat(span, names)
    return found


def flat(span: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field, value in span.items():
        if field == "parent_id":
            fields[field] = names.get(value, value)
        elif isinstance(value, dict) and field not in LEFT_OUT:
            fields.update({"%s.%s" % (field, key): "a time" if key in TIMES else value[key] for key in value})
        elif field not in LEFT_OUT:
            fields[field] = value
    return fields


def recorded(program: str) -> str:
    """The path of the file with what the official package makes of it."""
    return os.path.join(official.HERE, "official_spans", program + ".json")


def main() -> None:
    interpreter = official.python()
    if interpreter is None:
        raise SystemExit("the official package needs CPython {}.{} or later".format(*official.NEEDS))
    for program in PROGRAMS:
        spans = sorted(spans_of(program, interpreter).items())
        lines = ["%s: %s" % (json.dumps(name), json.dumps(span)) for name, span in spans]
        with open(recorded(program), "w", encoding="utf-8", newline="\n") as file:
            file.write("{\n%s\n}\n" % ",\n".join(lines))


if __name__ == "__main__":
    main()
