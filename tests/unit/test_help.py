"""``python -m cozeloop_lite --help`` tells the whole; colours and progress are for people at a terminal only."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from cozeloop_lite import __main__ as command_line
from cozeloop_lite import config, replay, terminal
from cozeloop_lite.check import command as check_command

PARSER = command_line._parser()
COMMANDS = ["check", "replay", "serve", "traces"]
PREFIX = "  python -m cozeloop_lite "


def help_of(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        command_line.main([*arguments, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def examples(text):
    """The arguments of each example line."""
    lines = [line[len(PREFIX) :] for line in text.splitlines() if line.startswith(PREFIX)]
    return [shlex.split(re.split(r"  +|\||\(", line)[0]) for line in lines]


# -- help -----------------------------------------------------------------------------------------------------------


def test_every_command_has_a_line_and_an_example(capsys):
    text = help_of(capsys)
    assert sorted(re.findall(r"^    (\w+) {2,}\S", text, flags=re.M)) == COMMANDS
    assert sorted(arguments[0] for arguments in examples(text)) == COMMANDS


def test_every_environment_variable_is_named_with_its_default(capsys):
    text = help_of(capsys)
    read = {value for name, value in vars(config).items() if name.startswith("ENV_")}
    assert set(re.findall(r"^  (COZELOOP_\w+) ", text, flags=re.M)) == read
    assert "(default: %s)" % config.CN_BASE_URL in text
    assert "(default: %d)" % (config.TIMEOUT * 1000) in text
    assert {"NO_COLOR", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"} <= set(re.findall(r"[A-Z_]+", text))


def test_every_exit_code_is_explained(capsys):
    codes = re.search(r"^exit codes:\n((?:  .*\n)+)", help_of(capsys), flags=re.M).group(1)
    assert re.findall(r"^  (\d+)  ", codes, flags=re.M) == ["0", "1", "2", str(command_line._INTERRUPTED)]


@pytest.mark.parametrize("arguments", [[]] + [[name] for name in COMMANDS], ids=["all", *COMMANDS])
def test_every_example_is_accepted(capsys, monkeypatch, arguments):
    monkeypatch.setattr(os.path, "isdir", lambda path: True)
    found = examples(help_of(capsys, *arguments))
    assert found
    for example in found:
        PARSER.parse_args([argument for argument in example if argument != "\\"])


@pytest.mark.parametrize("arguments", [[]] + [[name] for name in COMMANDS], ids=["all", *COMMANDS])
def test_help_has_no_long_lines(capsys, monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, help_of(capsys, *arguments).splitlines())) <= 120


def test_what_is_interrupted_ends_as_shells_expect(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line.traces_command, "_File", interrupted)
    assert command_line.main(["traces"]) == 130


# -- colours and progress ---------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    def __init__(self, tty=True):
        super().__init__()
        self._tty = tty

    def isatty(self):
        return self._tty


def look(monkeypatch, tty=True, term="xterm"):
    """Put a screen in the place of stdout and stderr."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen(tty)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_colours_are_asked_for_in_one_place_that_knows_no_color(monkeypatch):
    assert command_line.has_colors is check_command.has_colors is terminal.has_colors
    look(monkeypatch)
    assert terminal.has_colors()
    monkeypatch.setenv("NO_COLOR", "")  # as good as none: https://no-color.org
    assert terminal.has_colors()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.has_colors()


def test_progress_is_one_line_that_changes_and_goes_away(monkeypatch):
    screen = look(monkeypatch)
    monkeypatch.setattr(terminal, "EVERY_SECONDS", 0)
    progress = terminal.Progress()
    progress.show("one")
    progress.show("two")
    progress.clear()
    progress.clear()
    assert screen.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"


def test_progress_fits_the_terminal_and_is_not_drawn_all_the_time(monkeypatch):
    screen = look(monkeypatch)
    monkeypatch.setattr(terminal.time, "monotonic", lambda: 100.0)
    progress = terminal.Progress()
    progress.show("x" * 100)
    progress.show("y")
    assert screen.getvalue() == "\r\x1b[K" + "x" * 39


@pytest.mark.parametrize("tty, term", [(False, "xterm"), (True, "dumb")])
def test_where_nobody_looks_there_is_no_progress(monkeypatch, tty, term):
    screen = look(monkeypatch, tty, term)
    progress = terminal.Progress()
    progress.show("one")
    progress.clear()
    assert screen.getvalue() == ""


@pytest.mark.parametrize("text", ["", "x", "-1", "inf", "nan"])
def test_patience_is_a_number_of_seconds(text):
    with pytest.raises(replay.argparse.ArgumentTypeError):
        replay._seconds(text)


def test_the_installed_command_is_this_one():
    setup = (Path(__file__).resolve().parents[2] / "setup.py").read_text(encoding="utf-8")
    installed = re.findall(r'"cozeloop-lite = ([\w.]+):(\w+)"', setup)
    assert installed == [(command_line.__name__, command_line.main.__name__)]
