"""Labels: which version is in production is decided on the platform, and the program asks for the label."""

from __future__ import annotations

import cozeloop_lite

KEY = "guide"


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment

    for label in ("production", "beta"):
        prompt = cozeloop_lite.get_prompt(KEY, label=label)
        print("%s is version %s" % (label, prompt.version))

    # A version is stronger than a label.
    prompt = cozeloop_lite.get_prompt(KEY, "0.0.1", label="beta")
    print("0.0.1 is version %s, whatever the label" % prompt.version)

    # A label that no version has is an error, like a prompt that does not exist.
    try:
        cozeloop_lite.get_prompt(KEY, label="nobody-has-this-label")
    except cozeloop_lite.NotFoundError as problem:
        print("not found:", problem)

    # When the server cannot be asked, the last good copy is used. A fallback is for a first start without a server.
    fallback = {
        "prompt_key": KEY,
        "version": "built-in",
        "prompt_template": {"template_type": "normal", "messages": [{"role": "user", "content": "{{question}}"}]},
    }
    prompt = cozeloop_lite.get_prompt(KEY, label="production", fallback=fallback)
    print("in use: version %s" % prompt.version)


if __name__ == "__main__":
    main()
