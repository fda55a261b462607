"""What a program written for the official package does with prompts: each thing in a trace of its own.

It knows nothing of this library. Run with COZELOOP_API_BASE_URL, COZELOOP_API_TOKEN and COZELOOP_WORKSPACE_ID set, at a
server that has the prompts of record_spans.py. The root span of each trace has the name of the case.
"""

import cozeloop
from cozeloop.entities.prompt import ContentPart, ContentType, Message, Role
from cozeloop.spec.tracespec import ModelInput, ModelMessage, ModelOutput

CASES = []


def case(run):
    CASES.append(run)
    return run


@case
def a_version(client):
    client.get_prompt(prompt_key="guide", version="0.0.1")


@case
def a_label(client):
    client.get_prompt(prompt_key="guide", label="production")


@case
def the_latest_version(client):
    client.get_prompt(prompt_key="guide")


@case
def a_prompt_that_is_kept(client):
    client.get_prompt(prompt_key="guide", version="0.0.1")


@case
def variables_and_placeholders(client):
    prompt = client.get_prompt(prompt_key="guide", version="0.0.1")
    history = [Message(role=Role.USER, content="Hello!"), Message(role=Role.ASSISTANT, content="Hi.")]
    client.prompt_format(prompt, {"city": "Paris", "question": "Where to?", "history": history})


@case
def a_variable_that_is_missing(client):
    prompt = client.get_prompt(prompt_key="guide", version="0.0.1")
    client.prompt_format(prompt, {"city": "Paris"})


@case
def jinja2(client):
    prompt = client.get_prompt(prompt_key="jinja", version="0.0.1")
    client.prompt_format(prompt, {"names": ["a", "b"], "polite": True, "count": 2})


@case
def pictures(client):
    prompt = client.get_prompt(prompt_key="pictures", version="0.0.1")
    picture = ContentPart(type=ContentType.IMAGE_URL, image_url="https://example.com/a.png")
    client.prompt_format(prompt, {"count": "1", "shown": [ContentPart(type=ContentType.TEXT, text="This:"), picture]})


@case
def a_model_call_with_it(client):
    prompt = client.get_prompt(prompt_key="guide", version="0.0.1")
    messages = client.prompt_format(prompt, {"city": "Paris", "question": "Where to?"})
    span = client.start_span("call", "model")
    span.set_prompt(prompt)
    span.set_input(ModelInput(messages=[ModelMessage(role=str(m.role.value), content=m.content) for m in messages]))
    span.set_output(ModelOutput(choices=[{"index": 0, "message": {"role": "assistant", "content": "There."}}]))
    span.finish()


@case
def prompt_as_a_service(client):
    client.execute_prompt("guide", version="0.0.1", variable_vals={"city": "Paris", "question": "Where to?"})
    for _ in client.execute_prompt("guide", variable_vals={"city": "Paris", "question": "Where?"}, stream=True):
        pass


def main():
    client = cozeloop.new_client(prompt_trace=True)
    cozeloop.set_default_client(client)
    for run in CASES:
        with client.start_span(run.__name__, "custom", start_new_trace=True):
            run(client)
        cozeloop.flush()
    cozeloop.close()


if __name__ == "__main__":
    main()
