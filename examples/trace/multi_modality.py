"""Images and files in what a model is asked or answers: they are uploaded, and the platform shows them."""

from __future__ import annotations

import base64

import cozeloop_lite
from cozeloop_lite.spec import tracespec as spec

# A PNG image of one pixel, and a text, in base64
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
NOTE = base64.b64encode("A note: 你好".encode()).decode("ascii")
LINK = "https://www.coze.cn/favicon.ico"


def describe(span: cozeloop_lite.Span) -> None:
    print("trace", span.trace_id)
    parts = [
        spec.ModelMessagePart(type="text", text="What do you see?"),
        # As most APIs want them: data: URLs with base64. Only the name of the uploaded file stays in the span.
        spec.ModelMessagePart(
            type="image_url", image_url=spec.ModelImageURL(name="pixel.png", url="data:image/png;base64," + PIXEL)
        ),
        spec.ModelMessagePart(
            type="file_url", file_url=spec.ModelFileURL(name="note.txt", url="data:text/plain;base64," + NOTE)
        ),
        # The bytes themselves, as read from a file.
        spec.ModelMessagePart(type="file_url", file_url=spec.ModelFileURL(name="bytes.txt", url=b"just bytes")),
        # A link stays a link: the platform, or rather your browser, fetches it when the trace is looked at.
        spec.ModelMessagePart(type="image_url", image_url=spec.ModelImageURL(url=LINK)),
    ]
    span.set_input(spec.ModelInput(messages=[spec.ModelMessage(role="user", parts=parts)]))

    # Plain dicts work the same, also in the form of OpenAI, where "content" is the list of parts. No model is asked
    # here: the answer, an image drawn by nobody, is made up.
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "A pixel, like this:"}, image]}
    span.set_output({"choices": [{"index": 0, "message": message}]})


def main() -> None:
    client = cozeloop_lite.new_client()  # settings from the environment; nothing to be switched on

    cozeloop_lite.traceable(describe, name="TestMultiModalitySpan", span_type=cozeloop_lite.SpanKind.MODEL)

    client.flush(timeout=60)  # wait until all of it was sent, the files included


if __name__ == "__main__":
    main()
