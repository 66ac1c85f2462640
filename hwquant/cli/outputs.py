"""What a command will write, and options that would do nothing: checked before any work is done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from hwquant.cli.common import check_output_file
from hwquant.errors import HwquantError

ANY: tuple[str, ...] = ()
NETWORK, ONNX, JSON, PLOT = (".hwq",), (".onnx",), (".json",), (".png",)
"""Suffixes of what is written; ANY allows all."""

Outputs = Mapping[str, tuple[Path | None, Sequence[str]]]
"""A file (None where it was not asked for) and the suffixes that it may have, by option."""


def check_outputs(outputs: Outputs, inputs: Sequence[Path | str | None]) -> None:
    """Check the files that a command is asked to write.

    Parameters
    ----------
    outputs : Outputs
        The files by option.
    inputs : sequence of Path, str or None
        Files that the command reads; None for those that were not asked for.

    Raises
    ------
    HwquantError
        A file cannot be written, has another suffix than what goes into it, or is an input or another output too.
    """
    read = {os.path.realpath(item) for item in inputs if item is not None}
    options: dict[str, str] = {}
    for option, (path, suffixes) in outputs.items():
        if path is None:
            continue
        check_output_file(path)
        if suffixes and path.suffix.lower() not in suffixes:
            kinds = " or ".join(suffixes)
            raise HwquantError(f"{option} writes a {kinds} file; name it so, not {path.name!r}")
        place = os.path.realpath(path)
        if place in read:
            raise HwquantError(f"{option} would replace {path}, which is read; name another file")
        if place in options:
            raise HwquantError(f"{options[place]} and {option} both write {path}; name two files")
        options[place] = option


def check_ignored(context: click.Context, *names: str, reason: str) -> None:
    """Raise where one of these parameters, which would do nothing, was given; ``reason`` says why."""
    for parameter in context.command.params:
        if parameter.name in names and was_given(context, parameter.name):
            raise HwquantError(f"{parameter.opts[-1]} {reason}")


def was_given(context: click.Context, name: str) -> bool:
    """Whether a parameter is on the command line, or in the file of ``--config``."""
    return context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
