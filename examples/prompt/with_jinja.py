"""A prompt with a Jinja2 template: conditions, loops and filters, and variables that are more than text."""

from __future__ import annotations

import cozeloop_lite


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment
    prompt = cozeloop_lite.get_prompt("itinerary")

    # Which type a variable has is declared with the prompt, and checked here; another one is an InvalidParamError.
    variables = {
        "city": "shanghai",  # string
        "days": 2,  # integer
        "children": True,  # boolean
        "places": [  # array<object>
            {"name": "Shanghai Museum", "closed": ["Monday"]},
            {"name": "Yu Garden"},
        ],
    }
    for message in cozeloop_lite.prompt_format(prompt, variables):
        print("%s: %s" % (message.role.value, message.content))

    # A variable without a value is left to the template: "if children" is then false.
    print(cozeloop_lite.prompt_format(prompt, {"city": "beijing", "days": 1})[0].content)

    # Templates come from elsewhere, so they are rendered in a sandbox: no access to the program, bounded time and size.
    try:
        cozeloop_lite.prompt_format(prompt, {"days": "two"})
    except cozeloop_lite.InvalidParamError as problem:
        print(problem)


if __name__ == "__main__":
    main()
