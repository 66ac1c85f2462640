"""Options as fields of a dataclass that say once what they may be: type, default, range, help, spelling.

The class checks its values against that (:func:`check`); the command line makes its options of it
(:func:`hwquant.cli.options.options_of`). Choices are a field's ``Literal`` type.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Real
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from hwquant.errors import HwquantError

Options = TypeVar("Options")
Value = TypeVar("Value")
_KEY = "option"

OTHERS = "*"
"""The key, in values by name, of what is not named."""


@dataclass(frozen=True)
class Range:
    """Numbers that an option may be, both ends included.

    Attributes
    ----------
    low : float
        The least number.
    high : float, optional
        The greatest number; None where there is none.
    above : bool, default False
        Whether ``low`` itself is left out.
    noun : {"", "an integer", "a number"}
        What the message calls a value; with "an integer" real numbers that are no integers are refused.
    unit : str, default ""
        What the numbers count, for people.
    largest : float, optional
        The greatest number that the command line takes where the class has no limit, as what is computed from it has.
    """

    low: float
    high: float | None = None
    above: bool = False
    noun: Literal["", "an integer", "a number"] = ""
    unit: str = ""
    largest: float | None = None

    def __contains__(self, value: object) -> bool:
        kind = int if self.noun == "an integer" else Real
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number: Any = value  # what an abstract number can be compared with is not declared
        enough = number > self.low if self.above else number >= self.low
        return enough and (number < math.inf if self.high is None else number <= self.high)

    def __str__(self) -> str:
        if self.high is None:
            text = f"above {self.low}" if self.above else f"at least {self.low}"
            return f"{self.noun} of {text}" if self.noun else text
        ends = f"above {self.low} and at most" if self.above else f"from {self.low} to"
        return " ".join(part for part in (self.noun, f"{ends} {self.high}", self.unit) if part)


@dataclass(frozen=True)
class Spelling:
    """How a value that is no single number or word is written on a command line.

    Attributes
    ----------
    parse : callable
        Function from a text to its value; it raises ValueError, which says what is wrong, or an error of hwquant's.
    show : callable
        Function from a value to its text.
    """

    parse: Callable[[str], Any]
    show: Callable[[Any], str]


def _numbers(text: str) -> tuple[int, ...]:
    items = [item.strip() for item in text.split(",")]
    if not all(item.isdigit() for item in items):
        raise ValueError(f"{text!r} is not a list of numbers such as 2,4,8")
    return tuple(int(item) for item in items)


NUMBERS = Spelling(_numbers, lambda values: ",".join(map(str, values)))
"""Integers with commas, such as ``2,4,8``."""
NAMES = Spelling(lambda text: tuple(item.strip() for item in text.split(",")), ",".join)
"""Names with commas, such as ``accuracy,cycles``."""


@dataclass(frozen=True)
class Option:
    """What a field says of itself besides its type.

    Attributes
    ----------
    help : str
        What the option does, in a sentence or two for people.
    range : Range, optional
        Numbers that the option may be; None where it is no number, or may be any.
    flag : str, default ""
        Name on the command line; empty where it is made of the field's.
    metavar : str, optional
        What stands for a value in the help.
    spelling : Spelling, optional
        How a value is written, where it is no single number or word.
    """

    help: str
    range: Range | None = None
    flag: str = ""
    metavar: str | None = None
    spelling: Spelling | None = None


@dataclass(frozen=True)
class Declared:
    """An option as a class declares it.

    Attributes
    ----------
    name : str
        Name of the field.
    default : object
        Default of the field.
    kind : type
        Type of a single value.
    choices : tuple of str
        All values, where the type is a ``Literal``; else empty.
    optional : bool
        Whether None is a value.
    by_name : bool
        Whether values by name, such as one for each layer, may stand in place of a single one.
    option : Option
        What else the field says.
    """

    name: str
    default: Any
    kind: type
    choices: tuple[str, ...]
    optional: bool
    by_name: bool
    option: Option

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return self.option.flag or f"--{self.name.replace('_', '-')}"


def option(
    default: Any,
    help: str,
    *,
    range: Range | None = None,
    flag: str = "",
    metavar: str | None = None,
    spelling: Spelling | None = None,
) -> Any:
    """Declare a field of an options class; besides its default, the arguments are the attributes of :class:`Option`."""
    return dataclasses.field(default=default, metadata={_KEY: Option(help, range, flag, metavar, spelling)})


@cache
def declared(options: type) -> tuple[Declared, ...]:
    """List the options of a class, in order; fields that are made without :func:`option` are none.

    Raises
    ------
    TypeError
        A field has several types.
    """
    types = get_type_hints(options)
    return tuple(
        _declared(field, types[field.name]) for field in dataclasses.fields(options) if _KEY in field.metadata
    )


def _declared(field: dataclasses.Field[Any], hint: Any) -> Declared:
    parts = (hint,) if get_origin(hint) in (None, Literal, tuple) else get_args(hint)
    single = [part for part in parts if part is not NoneType and get_origin(part) is not Mapping]
    if len(single) != 1:
        raise TypeError(f"option {field.name} has several types: {hint}")
    (kind,) = single
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if get_origin(kind) is not None:
        kind = str if choices else tuple
    by_name = any(get_origin(part) is Mapping for part in parts)
    return Declared(
        field.name, field.default, kind, choices, NoneType in parts, by_name, field.metadata[_KEY]
    )


def of_name(given: Value | Mapping[str, Value], name: str, default: Value) -> Value:
    """Find the value of one name in an option that is a single value, or values by name.

    Parameters
    ----------
    given : object or mapping of str to object
        The option. In a mapping, what is not named has the value of :data:`OTHERS`.
    name : str
        Name of a layer, or of what else the option is given for.
    default : object
        The value where the mapping has neither.
    """
    return given.get(name, given.get(OTHERS, default)) if isinstance(given, Mapping) else given


def check(options: Any) -> None:
    """Raise for a value that an options object's class does not declare.

    Raises
    ------
    HwquantError
        The message names the option (and the layer, where values are by name), and what it may be.
    """
    for item in declared(options.__class__):
        given = getattr(options, item.name)
        limits = item.option.range
        if item.optional and given is None:
            continue
        for owner, value in given.items() if isinstance(given, Mapping) else [("", given)]:
            where = f"{item.name} of {owner!r}" if owner else item.name
            if item.choices and value not in item.choices:
                raise HwquantError(f"{where} must be one of {', '.join(item.choices)}, not {value!r}")
            if limits is not None and value not in limits:
                raise HwquantError(f"{where} must be {limits}, not {value!r}")


def chosen(kind: type[Options], options: Options | None, changes: Mapping[str, Any]) -> Options:
    """Make the options of a function, which come all at once or single ones by name.

    Parameters
    ----------
    kind : type
        Class of the options.
    options : object or None
        All options at once.
    changes : mapping
        Single options by name; those that are not named have their defaults.

    Raises
    ------
    TypeError
        There are both, or an option has an unknown name.
    """
    if options is None:
        return kind(**changes)
    if changes:
        raise TypeError("give options, or single options by name, not both")
    return options
