"""Output and progress of the commands."""

import io

import numpy as np
import pytest
from rich.console import Console

from hwquant.cli import progress as module
from hwquant.cli.common import emit
from hwquant.cli.progress import progress


def test_without_a_terminal_each_step_is_one_line_on_stderr(capsys):
    with progress() as track:
        for done in range(3):
            track("calibrate", done, 3)
        track("compile", 0, 0)
        track("calibrate", 3, 3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.split("\n") == ["calibrate ...", "compile ...", ""]


def test_on_a_terminal_there_is_a_bar_and_nothing_stays(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(module, "Console", lambda **_: Console(file=file, force_terminal=True, width=100))
    with progress() as track:
        track("calibrate [1]", 1, 3)
        track("compile", 0, 0)
    text = file.getvalue()
    assert "calibrate [1]" in text
    assert "compile" in text
    assert text.endswith("\x1b[2K")  # the line is erased


def test_a_note_is_shown_beside_what_is_being_done(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(module, "Console", lambda **_: Console(file=file, force_terminal=True, width=100))
    with progress() as track:
        track("search", 1, 3, "best 91 %")
    assert "search: best 91 %" in file.getvalue()


def test_json_is_one_object_and_never_nan(capsys):
    emit(True, {"a": 1, "b": None}, "not this")
    assert capsys.readouterr().out == '{"a": 1, "b": null}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        emit(True, {"a": np.nan})


def test_lines_are_not_wrapped_and_markup_is_text(capsys):
    line = f"wrote {'x' * 300} [bold]:smile:"
    emit(False, {}, line)
    assert capsys.readouterr().out == line + "\n"
