"""The prompts of a platform, and what it answers when it is asked for them: all or nothing (contract backend.md 5).

Takes the place of an ``ApiClient``, without a network: ``PromptHub(platform, "7")``. Behind a real server it gives the
answers: ``server.default = platform.serve``.
"""

from __future__ import annotations

import json

from cozeloop_lite.api import answers

from .recording import json_answer


class Platform:
    """Prompts by key and version; the last version published is the latest.

    ``asked`` has the queries of each request so far, as ``(key, version, label)``. ``trouble`` is called with them
    before there is an answer: what it raises is what the request fails with, what it returns is answered instead.
    """

    def __init__(self, **texts):
        self.timeout = 3.0
        self.asked = []
        self.sent = []  # (data, timeout, headers) of each request
        self.trouble = lambda queries: None
        self.versions = {}  # key -> {version: text}
        self.labels = {}  # (key, label) -> version
        for key, text in texts.items():
            self.publish(key, text)

    def publish(self, key, text="hello {{name}}", version="0.0.1", label=""):
        self.versions.setdefault(key, {})[version] = text
        if label:
            self.labels[key, label] = version

    def delete(self, key):
        del self.versions[key]

    # -- in the place of an ApiClient -------------------------------------------------------------------------------

    base_url = "http://platform"

    def request(self, method, path, data=None, *, timeout=None, headers=None):
        assert (method, path) == ("POST", "/v1/loop/prompts/mget")
        self.sent.append((data, timeout, headers))
        answer = self.answer(json.loads(json.dumps(data)))
        return answers.read(200, {}, json.dumps(answer).encode("utf-8"))

    # -- behind a server --------------------------------------------------------------------------------------------

    def serve(self, request):
        answer = self.answer(request.json())
        return json_answer(answer) if isinstance(answer, dict) else answer

    # -- the answers ------------------------------------------------------------------------------------------------

    def answer(self, body):
        queries = [(query["prompt_key"], query["version"], query.get("label", "")) for query in body["queries"]]
        self.asked.append(queries)
        answer = self.trouble(queries)
        if answer is not None:
            return answer
        items = []
        for echo, query in zip(body["queries"], queries):
            found = self.find(*query)
            if isinstance(found, int):
                return refusal(found)
            items.append({"query": echo, "prompt": prompt(query[0], *found)})
        return {"code": 0, "msg": "", "data": {"items": items}}

    def find(self, key, version, label):
        versions = self.versions.get(key)
        if versions is None:
            return 600501001
        if label and not version:
            version = self.labels.get((key, label), "")
            if not version:
                return 600501007
        version = version or list(versions)[-1]
        return (version, versions[version]) if version in versions else 600501002


def refusal(code, msg="resource not found"):
    return {"code": code, "msg": msg}


def prompt(key, version, text):
    """The JSON of a prompt."""
    return {
        "workspace_id": "7",
        "prompt_key": key,
        "version": version,
        "prompt_template": {
            "template_type": "normal",
            "messages": [{"role": "system", "content": text}],
            "variable_defs": [{"key": "name", "desc": "", "type": "string"}],
        },
        "llm_config": {"temperature": 0.7, "max_tokens": 4096},
        "id": None,
    }


def text_of(prompt):
    """The text of a prompt made by :func:`prompt`."""
    return prompt.prompt_template.messages[0].content
