"""``--config FILE.toml``: options of commands from a file.

A table for each command, named like it; its keys are the command's long options without the dashes, values by name are
tables::

    [prune]
    max-drop = 0.5
    group-size = { conv1 = 4, "*" = 8 }

    [progressive]
    bits = { "*" = 4, fc = 8 }
    bias-correction = false

One file serves all commands, each of which takes its own table. What is on the command line goes before the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from hwquant.cli.types import ByName, Spelled
from hwquant.errors import Damaged, HwquantError
from hwquant.files import parse_toml, read_bytes

Function = TypeVar("Function", bound=Callable[..., Any])

LARGEST = 1 << 20
"""Bytes that such a file may have."""


def config_option(command: Function) -> Function:
    """Add the option ``--config FILE.toml``."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE.toml",
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="Options from a file: a table for each command, such as [quantize], with long options as keys "
        '(bits = 4, or bits = { fc = 8, "*" = 4 }). The command line goes before it.',
    )(command)


def _read(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Make a file's values the defaults of the command."""
    if path is None:
        return
    from hwquant.cli import COMMANDS

    try:
        content = parse_toml(read_bytes(path, LARGEST).decode())
    except ValueError as error:
        raise Damaged(f"{path} is no TOML file: {error}", path=str(path)) from None
    for name, table in content.items():
        if name not in COMMANDS or not isinstance(table, Mapping):
            raise HwquantError(
                f"{path} has {name!r} at its top, which is no table of a command; write options below the name of "
                "theirs, such as [quantize]"
            )
    own = content.get(str(context.info_name), {})
    context.default_map = {**(context.default_map or {}), **_values(context.command, own, path)}


def _values(command: click.Command, table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The values of a command's table by parameter."""
    options = {
        flag[2:]: option
        for option in command.params
        if isinstance(option, click.Option) and not option.is_eager
        for flag in option.opts
        if flag.startswith("--")
    }
    values = {}
    for key, value in table.items():
        if key not in options:
            raise HwquantError(
                f"{path} gives {command.name} the option {key!r}, which it does not have; it has "
                f"{', '.join(sorted(options))}"
            )
        option = options[key]
        if not _suits(option, value):
            expected = "true or false" if option.is_flag else "a value as on the command line"
            raise HwquantError(f"{path} gives {key!r} of {command.name} as {value!r}, not {expected}")
        values[str(option.name)] = value if isinstance(value, bool | list | Mapping) else str(value)
    return values


def _suits(option: click.Option, value: Any) -> bool:
    """Whether a value of TOML is of a kind that an option can have; its type reads it later."""
    match value:
        case bool():
            return option.is_flag
        case Mapping():
            return isinstance(option.type, ByName) and all(_is_single(item) for item in value.values())
        case list():
            return (option.multiple or isinstance(option.type, Spelled)) and all(map(_is_single, value))
        case _:
            return not option.is_flag and _is_single(value)


def _is_single(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)
