"""Custom spans: any step can be one. Spans inside a span become its children, in whichever of three ways they are made.

``traceable`` runs a function in a span now, ``observe`` makes every call of a function a span, and ``with`` makes a
span of some lines.
"""

from __future__ import annotations

import cozeloop_lite


# 1. observe: input is the arguments, output is the result; the function stays as it is.
@cozeloop_lite.observe(name="do_something", span_type="MyCustomType", tags={"custom-tag": "xxx"})
def do_something(number: int, unit: str = "km") -> str:
    return "%d %s" % (number, unit)


@cozeloop_lite.observe(span_type="tool")
def weather(city: str) -> str:
    raise LookupError("no such city: " + city)  # recorded on the span; whoever called gets it as if nothing was there


def parent(span: cozeloop_lite.Span) -> str:
    print("trace", span.trace_id)
    span.set_input("xxx")
    result = do_something(3)

    try:
        weather("Atlantis")
    except LookupError:
        # The program copes with it. Whether this step counts as failed, too, is for you to say:
        span.set_error("custom error message")

    # 2. with: the span ends with the block, also by an exception.
    with cozeloop_lite.start_span("TestCustomChildSpan", "MyCustomType") as child:
        # Text, numbers and truth values can be searched for on the platform; anything else becomes JSON.
        child.set_tags({"custom-tag": "xxx", "attempt": 2, "seconds": 0.25, "cached": False, "ids": [1, 2]})
        do_something(4, unit="m")

    return result  # becomes the output of the span, since nobody called span.set_output()


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment

    # 3. traceable: runs parent(span) now, and returns what it returns.
    cozeloop_lite.traceable(parent, name="TestCustomParentSpan", span_type="MyCustomType")

    cozeloop_lite.flush()  # wait until all of it was sent


if __name__ == "__main__":
    main()
