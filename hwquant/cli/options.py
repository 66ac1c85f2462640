"""Options that several commands have, and those that an options class declares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import click

from hwquant.cli.common import Command
from hwquant.cli.outputs import check_ignored
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

    An option that would do nothing beside the others is refused.

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

        return add(checked)

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
    if spelling is not None:
        return click.option(flag, item.name, callback=_parsed(spelling.parse), **settings)
    return click.option(flag, item.name, type=_type(item), **settings)


def _type(item: Declared) -> Any:
    """The type that click checks a value against; the class checks it too."""
    limits = item.option.range
    if item.choices:
        return click.Choice(item.choices)
    if limits is None:
        return item.kind
    high = limits.largest if limits.high is None else limits.high
    if item.kind is int:
        return click.IntRange(int(limits.low), None if high is None else int(high), min_open=limits.above)
    return click.FloatRange(limits.low, high, min_open=limits.above)


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str], Any]:
    """A callback that reads a text as its option's class writes it."""

    def read(context: click.Context, parameter: click.Parameter, text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return read


class LateChoice(click.ParamType):
    """A choice among what a registry holds that is too heavy to be loaded before it is asked for."""

    name = "choice"

    def __init__(self, load: Callable[[], Iterable[str]]) -> None:
        self._load = load

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """All choices, as the help shows them."""
        return click.Choice(list(self._load())).get_metavar(param, ctx)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that a value is one of the choices."""
        return click.Choice(list(self._load())).convert(value, param, ctx)


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


def checkpoint_options(command: Command) -> Command:
    """Add the options ``--checkpoint`` and ``--resume``."""
    file = path_option(
        "--checkpoint",
        metavar="FILE",
        help="Written after every epoch; by default OUTPUT.checkpoint, removed in the end.",
    )
    resume = click.option("--resume", is_flag=True, help="Go on from the checkpoint.")
    return file(resume(command))
