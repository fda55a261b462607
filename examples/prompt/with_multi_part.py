"""A prompt with a multi-part variable: images and text go into one message, at the place that the prompt gives them."""

from __future__ import annotations

import cozeloop_lite
from cozeloop_lite.entities.prompt import ContentPart, ContentType

LINK = "https://www.coze.cn/favicon.ico"
# A PNG image of one pixel, in base64
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment
    prompt = cozeloop_lite.get_prompt("describe_pictures")

    pictures = [
        ContentPart(type=ContentType.IMAGE_URL, image_url=LINK),
        ContentPart(type=ContentType.TEXT, text="and, much smaller,"),
        ContentPart(type=ContentType.BASE64_DATA, base64_data="data:image/png;base64," + PIXEL),
    ]
    messages = cozeloop_lite.prompt_format(prompt, {"language": "English", "city": "Shanghai", "pictures": pictures})

    for message in messages:
        print("%s: %s" % (message.role.value, message.content or ""))
        for part in message.parts or []:
            content = part.text or part.image_url or part.base64_data or ""
            print("  %s: %.40s" % (part.type.value, content))

    # Without pictures their place stays empty.
    without = cozeloop_lite.prompt_format(prompt, {"language": "English", "city": "Shanghai"})
    print(len(without[1].parts or []), "parts without pictures")


if __name__ == "__main__":
    main()
