"""README.md is true: its code runs, its commands exist, its tables agree with the code; translations say the same."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cozeloop_lite
from cozeloop_lite import __main__ as command_line
from cozeloop_lite import config, propagation
from cozeloop_lite.local import StandInServer
from cozeloop_lite.local.tree import render
from cozeloop_lite.prompt.hub import PromptHub
from cozeloop_lite.spec import tracespec
from cozeloop_lite.trace import account, box, encoding, exporter, media, tags, uploads, verdicts

ROOT = Path(__file__).resolve().parent.parent.parent


class Readme:
    """One of the files, taken apart."""

    def __init__(self, path):
        self.name = path.name
        self.folder = path.parent
        self.text = path.read_text(encoding="utf-8")
        self.blocks = re.findall(r"^```(\w*)\n(.*?)^```$", self.text, flags=re.S | re.M)
        self.prose = re.sub(r"^```.*?^```$", "", self.text, flags=re.S | re.M)
        self.titles = re.findall(r"^(#+) (.*)$", self.prose, flags=re.M)
        self.sections = re.split(r"^#+ .*$", self.prose, flags=re.M)


ENGLISH = Readme(ROOT / "README.md")
PATHS = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
ALL = [Readme(path) for path in sorted(PATHS)]
TRANSLATIONS = [  # name.zh_CN.md, and name.md
    pytest.param(readme, Readme(readme.folder / (readme.name.partition(".")[0] + ".md")), id=readme.name)
    for readme in ALL
    if readme.name.count(".") == 2
]
README, BLOCKS, PROSE = ENGLISH.text, ENGLISH.blocks, ENGLISH.prose
PYTHON = [
    pytest.param(readme, number, id="%s-%d" % (readme.name, number))
    for readme in ALL
    for number, (kind, _) in enumerate(readme.blocks)
    if kind == "python"
]
SHELL_LINES = [line.partition("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def section(title):
    """The text under a heading, as far as the next one."""
    return re.search(r"^#+ %s\n(.*?)(?=^#|\Z)" % re.escape(title), PROSE, flags=re.S | re.M).group(1)


NODE = section("Coming from the Node.js SDK")  # half of its names are not ours
INLINE_CODE = set(re.findall(r"`([^`\n]+)`", PROSE.replace(NODE, "")))


def rows(title):
    """The rows of the table under a heading, each a list of cells."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def run_python(code, folder, url):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    settings = {"COZELOOP_API_BASE_URL": url, "COZELOOP_WORKSPACE_ID": "1", "COZELOOP_API_TOKEN": "t"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=str(folder),
        env={**plain, **settings, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def shape(lines):
    """A drawn tree without times and outcomes: branches, names and types."""
    return [re.match(r"[│├└─ ]*\S.*?  \S+", line).group(0) for line in lines]


@pytest.mark.parametrize("readme, number", PYTHON)
def test_python_block_runs_and_what_it_records_arrives(readme, number, tmp_path):
    code = readme.blocks[number][1]
    for library in set(re.findall(r"^(?:import|from) (openai|langchain_core)", code, flags=re.M)):
        pytest.importorskip(library)
    with StandInServer(prompts=str(ROOT / "examples" / "prompts")) as server:
        result = run_python(code, tmp_path, server.url)
        assert (result.returncode, result.stderr) == (0, "")
        spans = server.store.spans()
        assert server.store.warnings() == []
        assert server.store.stats()["refused"] == {}
    if re.search("start_span|observe|traceable", code) and "StandInServer" not in code:
        assert spans
    following = readme.blocks[number + 1] if number + 1 < len(readme.blocks) else ("", "")
    if following[0] == "text":
        assert shape(render(spans))[1:] == shape(following[1].splitlines())
    for printed in re.findall(r"^# (True .*(?:\n#  .*)*)", code, flags=re.M):
        assert printed.replace("\n# ", "") in result.stdout


def test_there_are_trees_and_printed_lines_to_compare():
    assert sum(kind == "text" for kind, _ in BLOCKS) == 2
    assert any("\n# True {" in text for _, text in BLOCKS)


def test_make_commands_are_the_targets_of_the_makefile():
    targets = set(re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    named = {line.split()[1] for line in SHELL_LINES if line.startswith("make ")}
    assert named == targets - {"help"}


@pytest.mark.parametrize("line", [line for line in SHELL_LINES if line.startswith("python -m cozeloop_lite")])
def test_command_has_the_options_shown(line, capsys):
    command, *arguments = line.split()[3:]
    with pytest.raises(SystemExit) as end:
        command_line.main([command, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(argument in shown for argument in arguments if argument.startswith("--"))


def test_settings_are_the_arguments_of_new_client():
    named = [name for row in rows("Settings") for name in re.findall(r"`(\w+)`", row[0])]
    assert named and sorted(named) == sorted(inspect.signature(cozeloop_lite.new_client).parameters)


def test_environment_variables_are_read():
    read = {value for name, value in vars(config).items() if name.startswith("ENV_")}
    named = set(re.findall(r"COZELOOP_[A-Z_]+", README.replace(NODE, "")))
    assert named and named <= read


def test_defaults_are_those_of_the_code():
    default = {row[0].strip("`"): row[2].strip("`") for row in rows("Settings")}
    assert default["api_base_url"] == config.CN_BASE_URL
    assert default["timeout"] == "%g s" % config.TIMEOUT
    assert default["upload_timeout"] == "%g s" % config.UPLOAD_TIMEOUT
    assert default["shutdown_timeout"] == "%g s" % config.SHUTDOWN_TIMEOUT
    assert default["trace_queue_conf"] == f"{config.QUEUE_COUNT:,} and {config.BATCH_COUNT}"
    assert default["queue_max_bytes"] == "%d MiB" % (config.QUEUE_BYTES >> 20)
    assert default["tag_truncate_conf"] == "%d B and %d MiB" % (encoding.VALUE_BYTES, encoding.TEXT_BYTES >> 20)
    assert default["prompt_cache_max_count"] == str(config.PROMPT_COUNT)
    assert default["prompt_cache_refresh_interval"] == "%g s" % config.PROMPT_INTERVAL
    assert default["spool_max_bytes"] == "%d MiB" % (config.SPOOL_BYTES >> 20)
    assert default["sample_rate"] == str(config.TraceConfig().sample_rate)


def test_limits_are_those_of_the_code():
    limit = {row[0]: row[1] for row in rows("Limits")}
    assert limit["name, type, log id and service name of a span"] == "%d bytes each" % encoding.NAME_BYTES
    assert limit["key of a tag"] == "%d bytes" % encoding.KEY_BYTES
    assert limit["value of a tag"] == "%d bytes" % encoding.VALUE_BYTES
    assert limit["tags of a span"].startswith("%d;" % tags.MAX_TAGS)
    file_mib = -(-media.MAX_FILE_BYTES >> 20)
    text_mib = (encoding.TEXT_BYTES >> 20, file_mib)
    assert limit["input, output"] == "%d MiB each; with `ultra_large_report` %d MiB each" % text_mib
    assert limit["images and files"].startswith("%d MiB each, %d in an input or output" % (file_mib, media.MAX_LIFTED))
    assert limit["a span as JSON"].startswith("%d MiB;" % -(-encoding.MAX_SPAN_BYTES >> 20))
    assert limit["a request"] == "%d spans, %d MiB" % (config.BATCH_COUNT, box.BATCH_BYTES >> 20)
    item = propagation.MAX_ITEM_BYTES
    assert limit["a baggage item"] == "%d bytes for the key, %d for the value" % (item, item)
    header = (propagation.MAX_ITEMS, propagation.MAX_BAGGAGE_CHARS)
    assert limit["baggage in a header"] == "%d items, %d characters" % header
    waiting = (config.QUEUE_COUNT, config.QUEUE_BYTES >> 20)
    assert limit["spans that wait"] == "{:,}, and {} MiB of memory".format(*waiting)


def test_every_reason_for_a_loss_is_explained():
    named = set(re.findall(r'dropped\["(\w+)"\]', section("When things fail")))
    in_queue = {account.QUEUE_FULL, account.CLOSED, account.SHUTDOWN, account.INTERNAL, account.NEVER_FINISHED}
    in_queue.add(account.UNANSWERED)
    assert named == in_queue | {exporter.TOO_OLD, exporter.UNENCODABLE, exporter.REFUSED}


def test_times_of_retrying_are_those_of_the_code():
    text = section("When things fail")
    assert "up to %g s" % verdicts.LONGEST_PAUSE in text
    assert "%d h old" % (exporter.MAX_AGE_SECONDS // 3600) in text
    assert exporter.DOUBTFUL_ATTEMPTS == 3 and "Tried three times" in text
    assert "up to %d times" % uploads.MAX_ATTEMPTS in text


def test_names_in_the_text_exist():
    setters = {name for name in INLINE_CODE if re.match(r"set_\w+$", name)}
    classes = {name for name in INLINE_CODE if re.match(r"[A-Z][a-z]+[A-Z]\w+$", name)}
    assert setters and all(hasattr(cozeloop_lite.Span, name) for name in setters)
    assert classes and all(hasattr(cozeloop_lite, name) for name in classes)


def test_what_takes_the_place_of_nodes_names_exists():
    ours = " ".join(row[1] for row in rows("Coming from the Node.js SDK"))
    calls = re.findall(r"`(\w+)\(([^`]*)\)", ours)
    assert len(calls) > 4
    for name, given in calls:
        wanted = set(re.findall(r"(\w+)=", given))
        assert wanted <= set(inspect.signature(getattr(cozeloop_lite, name)).parameters), name
    constants = re.findall(r"spec\.tracespec\.(\w+)", ours)
    assert constants and all(hasattr(tracespec, name) for name in constants)
    assert "SpanKind.MODEL" in ours and cozeloop_lite.SpanKind.MODEL == "model"
    assert all(hasattr(PromptHub, name) for name in re.findall(r"`hub\.(\w+)", ours))


def test_files_in_the_drawing_of_the_house_exist():
    drawing = next(text for kind, text in BLOCKS if kind == "" and text.startswith("cozeloop_lite/\n"))
    folder, found = ROOT / "cozeloop_lite", 0
    for line in drawing.splitlines()[1:]:
        first = re.match(r"  (\w+)/", line)
        if first:
            folder = ROOT / "cozeloop_lite" / first.group(1)
            assert folder.is_dir()
        elif re.match(r"  \w", line):
            folder = ROOT / "cozeloop_lite"
        for name in re.findall(r"\w+\.py", line):
            assert (folder / name).is_file()
            found += 1
    assert found > 15


def anchor_of(title):
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("readme", ALL, ids=[readme.name for readme in ALL])
def test_links_lead_somewhere(readme):
    anchors = {anchor_of(title) for _, title in readme.titles}
    for target in re.findall(r"\]\(([^)]+)\)", readme.prose):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            assert (readme.folder / path).is_file()
            titles = Readme(readme.folder / path).titles if anchor else ()
            assert not anchor or anchor in {anchor_of(title) for _, title in titles}


# -- translations: other words, the same content ----------------------------------------------------------------------


def meaning(kind, text):
    """What of a block is the same in every language: all of it but the comments, and the prose of the drawing."""
    if kind == "python":
        return ast.dump(ast.parse(text))
    if kind == "sh":
        return [line.partition("#")[0].split() for line in text.splitlines() if line.partition("#")[0].strip()]
    return shape(text.splitlines()) if kind == "text" else re.findall(r"\w+(?:\.py|/)", text)


def code_of(section):
    return sorted(set(re.findall(r"`([^`]+)`", section)))


@pytest.mark.parametrize("readme, english", TRANSLATIONS)
def test_a_translation_has_the_same_headings_and_blocks(readme, english):
    assert [level for level, _ in readme.titles] == [level for level, _ in english.titles]
    assert [kind for kind, _ in readme.blocks] == [kind for kind, _ in english.blocks]
    for (kind, text), (_, original) in zip(readme.blocks, english.blocks):
        assert meaning(kind, text) == meaning(kind, original)


@pytest.mark.parametrize("readme, english", TRANSLATIONS)
def test_a_translation_names_the_same_things_and_numbers_in_each_section(readme, english):
    for (_, title), section, original in zip(readme.titles, readme.sections[1:], english.sections[1:]):
        assert (title, code_of(section)) == (title, code_of(original))
        numbers = set(re.findall(r"\d[\d.,]*\d|\d", original)) - set(re.findall(r"\d[\d.,]*\d|\d", section))
        assert (title, numbers) == (title, set())
        assert (title, section.count("\n|")) == (title, original.count("\n|"))  # rows of tables


@pytest.mark.parametrize("kind, text, same, other", [
    ("python", "f(1)  # one\n", "f(1)  # 一\n", "f(2)  # one\n"),
    ("sh", "make test  # tests\n", "make test    # 测试\n", "make demo  # tests\n"),
    ("text", "└─ a  b\n", "└─ a  b\n", "└─ a  c\n"),
    ("", "a/\n  b.py  this\n", "a/\n  b.py  那\n", "a/\n  c.py  this\n"),
])  # fmt: skip
def test_what_a_translation_may_change(kind, text, same, other):
    assert meaning(kind, text) == meaning(kind, same)
    assert meaning(kind, text) != meaning(kind, other)
