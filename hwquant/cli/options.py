"""Options that several commands have, and those that an options class declares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from hwquant.cli.bits_from import bits_from_option
from hwquant.cli.common import Command
from hwquant.cli.outputs import check_ignored
from hwquant.cli.types import ByName, Spelled
from hwquant.options import Declared, declared
from hwquant.quantize.options import QuantizeOptions


def options_of(
    cls: type, name: str, *, only: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that a class declares to a command, which gets an object of the class.

    Parameters
    ----------
    cls : type
        A dataclass whose fields are made by :func:`hwquant.options.option`.
    name : str
        The command's parameter that gets the object.
    only : collection of str
        Fields that become options; all where none is named. The others keep their defaults.
    without : collection of str
        Fields that do not, and keep their defaults.

    Returns
    -------
    callable
        A decorator of the command.
    """
    chosen = [item for item in declared(cls) if (not only or item.name in only) and item.name not in without]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_object(*arguments: Any, **values: Any) -> Any:
            given = {item.name: values.pop(item.name) for item in chosen}
            return command(*arguments, **{name: cls(**given)}, **values)

        decorated: Callable[..., Any] = with_object
        for item in reversed(chosen):
            decorated = _option(item)(decorated)
        return decorated

    return decorate


def quantizer_options(
    name: str, *, without: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add all options of the quantizer to a command, which gets a :class:`~hwquant.quantize.QuantizeOptions`.

    With the bits among them, ``--bits-from`` takes these from a file. An option that would do nothing beside the others
    is refused.

    Parameters
    ----------
    name : str
        The command's parameter that gets the object.
    without : collection of str
        Fields that the command itself decides.

    Returns
    -------
    callable
        A decorator of the command.
    """
    add = options_of(QuantizeOptions, name, without=without)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def checked(*arguments: Any, **values: Any) -> Any:
            context, options = click.get_current_context(), values[name]
            if options.calibration_method != "percentile":
                reason = "is for --calibration percentile: give that as well, or leave it out"
                check_ignored(context, "percentile", reason=reason)
            if options.symmetric:
                reason = "is for integer offsets, which --symmetric leaves out: choose one of the two"
                check_ignored(context, "rounding", reason=reason)
            return command(*arguments, **values)

        added = add(checked)
        return added if "bits" in without else bits_from_option(added)

    return decorate


def _option(item: Declared) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The click option of one field."""
    flag, default, spelling = item.flag, item.default, item.option.spelling
    settings: dict[str, Any] = {"help": item.option.help, "metavar": item.option.metavar}
    if item.kind is bool:
        if default:
            return click.option(
                f"{flag}/--no-{flag[2:]}", item.name, default=True, show_default=True, **settings
            )
        return click.option(flag, item.name, is_flag=True, **settings)
    if default is not None or spelling is not None:
        settings |= {"default": default if spelling is None else spelling.show(default), "show_default": True}
    kind = _type(item)
    if item.by_name:
        kind = ByName(kind)
        settings["metavar"] = f"{item.option.metavar or 'N'}[,NAME=...]"
        settings["help"] = (
            f"{item.option.help} {_allowed(item)}, or by name: conv1=3,fc=4; one alone is for the others."
        )
    return click.option(flag, item.name, type=kind, **settings)


def _allowed(item: Declared) -> str:
    """What a value may be, as the beginning of a sentence."""
    if item.option.range is None:
        return "One for all"
    text = str(item.option.range)
    return f"{text[0].upper()}{text[1:]}"


def _type(item: Declared) -> Any:
    """The type that click checks a single value against; the class checks it too."""
    limits = item.option.range
    if item.option.spelling is not None:
        return Spelled(item.option.spelling)
    if item.choices:
        return click.Choice(item.choices)
    if limits is None:
        return item.kind
    high = limits.largest if limits.high is None else limits.high
    if item.kind is int:
        return click.IntRange(int(limits.low), None if high is None else int(high), min_open=limits.above)
    return click.FloatRange(limits.low, high, min_open=limits.above)


def path_option(
    *names: str, metavar: str, help: str | None = None, required: bool = False
) -> Callable[[Command], Command]:
    """A decorator that adds an option whose value is a file or a folder."""
    return click.option(
        *names, type=click.Path(path_type=Path), metavar=metavar, help=help, required=required
    )


def calibration_option(command: Command) -> Command:
    """Add the option ``-c CALIB.npz``."""
    return path_option(
        "-c",
        "--calibration-data",
        required=True,
        metavar="CALIB.npz",
        help="Typical inputs x (N, then the input's shape), such as a few hundred training samples. With several "
        "inputs, an array for each by its name in place of x.",
    )(command)


def output_option(command: Command) -> Command:
    """Add the option ``-o NET.hwq``."""
    return path_option("-o", "--output", required=True, metavar="NET.hwq")(command)


def cut_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what may stay with the host: keywords of ``load_model``, as ``cut``."""

    @functools.wraps(command)
    def collected(*args: Any, inputs: str, outputs: str, host: bool, **keywords: Any) -> Any:
        cut = {"inputs": _names(inputs), "outputs": _names(outputs), "host": host}
        return command(*args, cut=cut, **keywords)

    begin = click.option(
        "--inputs",
        default="",
        metavar="NAMES",
        help="Tensors of MODEL that the array begins with, as A,B; the host computes them.  [default: what leaves "
        "most to the array]",
    )
    end = click.option(
        "--outputs",
        default="",
        metavar="NAMES",
        help="Tensors that the array ends with; the host goes on.  [default: likewise]",
    )
    host = click.option(
        "--host/--no-host",
        default=True,
        help="Whether the host may do what the array cannot, at the beginning and the end; else it is refused.  "
        "[default: --host]",
    )
    return begin(end(host(collected)))


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def checkpoint_options(command: Command) -> Command:
    """Add the options ``--checkpoint`` and ``--resume``."""
    file = path_option(
        "--checkpoint",
        metavar="FILE",
        help="Written after every epoch; by default OUTPUT.checkpoint, removed in the end.",
    )
    resume = click.option("--resume", is_flag=True, help="Go on from the checkpoint.")
    return file(resume(command))
