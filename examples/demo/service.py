"""The second service: a reranker, which puts passages in a better order. ``python -m examples.demo.service URL``

It runs in a process of its own and knows nothing but ids: for the texts it calls back the service at ``URL``. It says
its address in the first line on stdout, works until its stdin is closed, and says in the last line what became of its
spans.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cozeloop_lite

from .passages import words
from .web import Service, call

NAME = "reranker"


def rank(question: str, texts: dict[str, str]) -> list[str]:
    """The ids of ``texts``, best first: whose first 60 words have most words of the question."""
    asked = set(words(question))
    with cozeloop_lite.start_span("score", "custom") as span:
        scores = {id: len(asked & set(words(text)[:60])) for id, text in texts.items()}
        span.set_tags({"passages": len(texts), "best_score": max(scores.values(), default=0)})
        span.set_output(scores)
        return sorted(scores, key=lambda id: -scores[id])  # stable: equals stay in the order they came in


def main(library_url: str) -> int:
    def rerank(request: dict[str, Any]) -> dict[str, Any]:
        texts = call(library_url + "/passages", {"ids": request["ids"]})["texts"]
        return {"ids": rank(request["question"], texts)}

    with Service(NAME, {"/rerank": rerank}) as service:
        print(service.url, flush=True)
        sys.stdin.read()  # until the parent closes it, or is gone
    cozeloop_lite.close()
    print(json.dumps(cozeloop_lite.stats()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
