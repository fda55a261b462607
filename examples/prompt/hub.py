"""Get a prompt and put variables into it: a certain version, the latest one, and a hub of your own.

On the platform, the key and the versions are found on the page where the prompt is developed; only what was submitted
can be got. The stand-in server has those of examples/prompts.
"""

from __future__ import annotations

import sys

import cozeloop_lite
from cozeloop_lite.entities.prompt import Message, Role

KEY = "guide"
VARIABLES = {"city": "Shanghai", "question": "Where is the best view?"}


def show(messages: list[Message]) -> None:
    """What you would give to a model."""
    for message in messages:
        print("%s: %s" % (message.role.value, message.content))


def two_versions() -> None:
    first = cozeloop_lite.get_prompt(KEY, "0.0.1")  # this version, for ever
    latest = cozeloop_lite.get_prompt(KEY)  # whatever was submitted last; kept, and fetched again every minute
    if first is None or latest is None:
        sys.exit("no prompt " + KEY)
    show(cozeloop_lite.prompt_format(first, VARIABLES))

    # The second version has a placeholder, which takes messages. The prompt itself is not changed by formatting it.
    history = [Message(role=Role.USER, content="Hello!"), Message(role=Role.ASSISTANT, content="Hello. Ask me.")]
    print("version", latest.version)
    show(cozeloop_lite.prompt_format(latest, {**VARIABLES, "history": history}))


def hub_of_your_own(workspace_id: str) -> None:
    """What the functions above use is a PromptHub. It needs no more than an ApiClient."""
    hub = cozeloop_lite.PromptHub(cozeloop_lite.ApiClient(), workspace_id, traceable=True)
    show(hub.format_prompt(hub.get(KEY, "0.0.1"), {"city": "Beijing", "question": "Where is it quiet?"}))
    hub.close()


def main() -> None:
    # With prompt_trace, getting and formatting are spans of the trace.
    client = cozeloop_lite.new_client(prompt_trace=True)
    try:
        with cozeloop_lite.start_span("answer", "custom") as span:
            print("trace", span.trace_id)
            two_versions()
            hub_of_your_own(client.workspace_id)
    except cozeloop_lite.HttpError as problem:  # no such prompt, no permission, no network: str(problem) says which
        sys.exit(str(problem))

    cozeloop_lite.flush()  # wait until the spans were sent


if __name__ == "__main__":
    main()
