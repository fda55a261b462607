"""``python -m examples.demo [QUESTION ...]``: runs the assistant and shows the trace of every question.

Without options nothing leaves this machine: the spans go to a stand-in server that is started for the purpose. In a
terminal it goes on until Enter is pressed, so that the traces can be looked at in a browser; elsewhere one of them is
written to a file that a browser opens. With ``--send`` they go to the platform that the environment names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Iterator, Sequence

import cozeloop_lite
from cozeloop_lite.local import StandInServer
from cozeloop_lite.local.tree import render

from .assistant import Answer, Assistant
from .passages import Library, read_repository
from .web import Service

ROOT = Path(__file__).resolve().parent.parent.parent
QUESTIONS = (
    "What happens to new spans when the queue is full?",
    "Does a new thread continue the trace?",
    "I saw this picture of a trace. How many lines has docs/manual.txt?",  # there is no such file: the tool fails
)
PICTURE = ROOT / "docs" / "screenshots" / "trace.png"  # comes with the last of them
USER_ID = "user-1"
WIDTH = 92


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 when every span arrived and the server had nothing to object."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="A traced question-answering program.")
    parser.add_argument("questions", metavar="QUESTION", nargs="*", help="what to ask (default: three questions)")
    parser.add_argument("--send", action="store_true", help="send the spans to the platform set in the environment")
    arguments = parser.parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without box characters shows "?" instead of failing
    questions = arguments.questions or QUESTIONS
    if arguments.send:
        return _send(questions)
    with StandInServer() as server:
        # What a program needs to know of the platform. The second process inherits it.
        os.environ["COZELOOP_API_BASE_URL"] = server.url
        os.environ["COZELOOP_WORKSPACE_ID"] = "1"
        os.environ["COZELOOP_API_TOKEN"] = "any-token-will-do"
        _say(
            "A small program answers questions about the files of this repository, and every step of it is traced. "
            "It finds passages (retriever), has them put in order by a second service in another process, and asks a "
            'model for the answer. The "model" is a small deterministic function, no LLM is called; the platform is '
            "a stand-in server at %s. All the rest is real: two processes, HTTP between them, the library." % server.url
        )
        answers, accounts = _run(questions)
        code = _report(server, accounts)
        _show(server.url, answers[-1].trace_id)
        return code


def _send(questions: Sequence[str]) -> int:
    """Run against a real platform."""
    try:
        client = cozeloop_lite.new_client()
    except cozeloop_lite.InvalidParamError as problem:
        print(problem, file=sys.stderr)  # names the setting that is missing
        return 2
    answers, accounts = _run(questions)
    print("\nSent to workspace %s. Look there for these traces:" % client.workspace_id)
    for answer in answers:
        print("  " + answer.trace_id)
    return 0 if _print_accounts(accounts) else 1


# -- running ----------------------------------------------------------------------------------------------------------


def _run(questions: Sequence[str]) -> tuple[list[Answer], dict[str, Any]]:
    """Ask each question; returns the answers, and by process what became of its spans."""
    library = Library(read_repository(ROOT))
    routes: dict[str, Any] = {}
    answers = []
    with Service("assistant", routes) as service, _Reranker(service.url) as reranker:
        assistant = Assistant(ROOT, library, reranker.url)
        routes["/passages"] = assistant.passages
        print("\n%d passages are indexed; the reranker runs as process %d.\n" % (len(library), reranker.pid))
        for question in questions:
            answer = assistant.answer(question, USER_ID, PICTURE if question == QUESTIONS[-1] else None)
            answers.append(answer)
            print("Q  " + question)
            _say(answer.text, "A  ")
            print("   (%s)\n" % answer.source)
    cozeloop_lite.flush()
    return answers, {"assistant": cozeloop_lite.stats(), "reranker": reranker.account}


class _Reranker:
    """The second service, as a child process."""

    def __init__(self, library_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.demo.service", library_url],
            cwd=str(ROOT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.url = self._process.stdout.readline().strip()
        self.account: dict[str, Any] = {}
        if not self.url:
            raise RuntimeError("the reranker ended at once, with exit code %d" % self._process.wait())

    def __enter__(self) -> _Reranker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        output, _ = self._process.communicate(timeout=10)  # closes its stdin, which ends it
        self.account = json.loads(output)


# -- showing ----------------------------------------------------------------------------------------------------------


def _report(server: StandInServer, accounts: dict[str, Any]) -> int:
    store = server.store
    spans = store.spans()
    _heading("What arrived: one trace for each question")
    _say(
        "Each line is a span, a step with a beginning and an end: its name, its type, how long it took, how it ended. "
        "Further in means: called by the line above. What stands below `call /rerank` happened in the other process; "
        "what stands below `call /passages` happened back in this one. They are one trace because the headers of the "
        "requests said so."
    )
    if any(span["status_code"] for span in spans):
        _say("A step with an error is one that raised an exception; the program caught it and went on.")
    print()
    for trace in reversed(store.traces()):
        for line in render(store.spans(trace["trace_id"]), color=sys.stdout.isatty()):
            print(line)
        print()
    _heading("Inside two of these spans")
    for span_type in ("retriever", "model"):
        for line in _details(next(span for span in spans if span["span_type"] == span_type)):
            print(line)
    _heading("The account")
    complete = _print_accounts(accounts)
    stats = store.stats()
    print("platform   %(spans)d spans in %(requests)d requests, %(traces)d traces; refused requests: " % stats, end="")
    print("%d, dropped spans: %d, warnings: %d" % (sum(stats["refused"].values()), stats["dropped"], stats["warnings"]))
    for warning in store.warnings():
        _say(warning, "  ! ")
    with_user = sum(span["tags_string"].get("user_id") == USER_ID for span in spans)
    print("baggage    user_id was set once a question, on the root: %d of %d spans have it" % (with_user, len(spans)))
    _heading("The same on a real platform")
    print("  export COZELOOP_API_BASE_URL=https://api.coze.cn   # self-hosted: http://localhost:8888")
    print("  export COZELOOP_WORKSPACE_ID=...                   # the number in the address of the workspace")
    print("  export COZELOOP_API_TOKEN=...                      # an access token")
    print("  %s -m examples.demo --send" % _python())
    print("\nA stand-in for programs of your own:")
    print("  %s -m cozeloop_lite serve --tree" % _python())
    return 0 if complete and not stats["warnings"] and not stats["refused"] else 1


def _show(url: str, trace_id: str) -> None:
    """Let the traces be looked at in a browser."""
    _heading("Now look at it in a browser")
    if sys.stdin.isatty() and sys.stdout.isatty():
        print("  all traces     %s/" % url)
        print("  the last one   %s/#/trace/%s" % (url, trace_id))
        try:
            input("\nThe server goes on until you press Enter. ")
        except (EOFError, KeyboardInterrupt):
            print()
        return
    path = os.path.join(tempfile.mkdtemp(prefix="cozeloop_lite_demo_"), "trace.html")
    command = ["-m", "cozeloop_lite", "traces", trace_id, "--url", url, "--html", path]
    subprocess.run([sys.executable, *command], cwd=str(ROOT), check=True)
    _say("The last trace is in this file. In a terminal, the server would go on and show them all.")
    print("  " + Path(path).as_uri())


def _details(span: dict[str, Any]) -> Iterator[str]:
    yield "%s (%s)" % (span["span_name"], span["span_type"])
    for field in ("input", "output"):
        for number, line in enumerate(textwrap.wrap(span[field], WIDTH - 11, max_lines=3, placeholder=" ...")):
            yield "  %-8s %s" % ("" if number else field, line)
    tags = {**span["tags_string"], **span["tags_long"], **span["tags_double"]}
    for number, name in enumerate(sorted(set(tags) - {"start_time_first_resp"})):
        unit = " µs, the time to the first token" if name == "latency_first_resp" else ""
        yield "  %-8s %s = %s%s" % ("" if number else "tags", name, tags[name], unit)


def _print_accounts(accounts: dict[str, Any]) -> bool:
    """Whether every span of every process was delivered."""
    complete = True
    for name, stats in accounts.items():
        print("%-10s %d spans finished, %d delivered" % (name, stats["finished"], stats["delivered"]), end="")
        print(", %d waiting, dropped: %s" % (stats["queued"], stats["dropped"] or "none"))
        complete = complete and stats["finished"] == stats["delivered"]
    return complete


def _heading(text: str) -> None:
    print("\n%s\n%s" % (text, "-" * len(text)))


def _say(text: str, prefix: str = "") -> None:
    print(textwrap.fill(text, WIDTH, initial_indent=prefix, subsequent_indent=" " * len(prefix)))


def _python() -> str:
    """The interpreter as a person would type it here."""
    path = os.path.relpath(sys.executable)
    return "python" if path.startswith("..") else path


if __name__ == "__main__":
    sys.exit(main())
