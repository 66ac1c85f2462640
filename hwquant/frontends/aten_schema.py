"""Signatures of ATen operators, in the notation of torch: parsed, and held against the calls of a program.

A program from a file may call an operator with anything; torch is not here to check it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hwquant.frontends.values import Value

REQUIRED = object()
"""The default of an argument that has none."""


class Unaccounted(ValueError):
    """What a call has and no importer reads, or what it lacks; the node at hand goes before the message."""


class BatchSize(int):
    """A size that was computed from the open batch: it may be part of a shape, never a number to compute with."""


@dataclass(frozen=True)
class Argument:
    """One argument of an operator.

    Attributes
    ----------
    name : str
        Its name.
    kind : str
        Its type in torch's notation, such as "Tensor?" or "int[2]".
    default : Any, optional
        Its default; `REQUIRED` where it has none.
    """

    name: str
    kind: str
    default: Any = REQUIRED

    def fits(self, value: Any) -> bool:
        """True if torch would take the value."""
        kind = self.kind
        if isinstance(value, BatchSize) and "[" not in kind:
            return False
        if kind.endswith("?"):
            if value is None:
                return True
            kind = kind[:-1]
        if kind == "Tensor" and self.name in ("self", "other") and _KINDS["Scalar"](value):
            return True  # torch makes a tensor of the number
        base, bracket, count = kind.removesuffix("]").partition("[")
        check = _KINDS[base]
        if not bracket:
            return check(value)
        # "int[2]" also takes one number for all
        return all(map(check, value)) if isinstance(value, list) else bool(count) and check(value)


def _tensor(value: Any) -> bool:
    return isinstance(value, Value | np.ndarray)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "Tensor": _tensor,
    "Tensor?": lambda value: value is None or _tensor(value),
    "int": _integer,
    "float": lambda value: isinstance(value, float) or _integer(value),
    "Scalar": lambda value: isinstance(value, float | bool) or _integer(value),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "ScalarType": lambda value: isinstance(value, str),
    "Device": lambda value: isinstance(value, str),
    "Layout": lambda value: isinstance(value, str),
    "MemoryFormat": lambda value: isinstance(value, str | int),
}


@dataclass(frozen=True)
class Schema:
    """One overload of an operator.

    Attributes
    ----------
    operator, overload : str
        Their names, such as "add" and "Tensor"; an overload without a name is "default".
    arguments : tuple of Argument
        The arguments, in order.
    results : int
        How many tensors it returns.
    aliases : bool
        The result may share memory with the first argument, as torch declares.
    """

    operator: str
    overload: str
    arguments: tuple[Argument, ...]
    results: int
    aliases: bool

    @property
    def name(self) -> str:
        """The overload's full name."""
        return f"{self.operator}.{self.overload}"

    def bound(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments of a call, the absent ones at their defaults.

        Parameters
        ----------
        given : mapping
            The arguments that the call has, by name.

        Returns
        -------
        dict
            All arguments by name.

        Raises
        ------
        Unaccounted
            For an argument that is unknown, missing or of the wrong kind.
        """
        known = {argument.name: argument for argument in self.arguments}
        for name in given:
            if name not in known:
                raise Unaccounted(f"{self.name} has no argument {name!r}")
        found = {}
        for name, argument in known.items():
            value = given.get(name, argument.default)
            if value is REQUIRED:
                raise Unaccounted(f"its argument {name!r} is missing")
            if name in given and not argument.fits(value):
                batch = isinstance(value, BatchSize)
                what = "the size of the open batch" if batch else f"no {argument.kind}"
                raise Unaccounted(f"its argument {name!r} is {what}")
            found[name] = value
        return found


_SCHEMA = re.compile(
    r"(?:aten::)?(?P<operator>(?:\w+::)?\w+)(?:\.(?P<overload>\w+))?\((?P<arguments>.*)\) -> (?P<results>.*)"
)
_ARGUMENT = re.compile(r"(?P<kind>\S+) (?P<name>\w+)(?:=(?P<default>\[[^]]*\]|[^,]+))?(?:, |$)")


@cache
def parsed(text: str) -> Schema:
    """Parse a schema in torch's notation.

    Symbolic integers are integers here, and annotations of memory are left out.
    """
    match = _SCHEMA.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no schema")
    listed = match["arguments"].replace("(a -> *)", "").replace("*, ", "")
    arguments = tuple(
        Argument(
            item["name"],
            re.sub(r"\(.*?\)", "", item["kind"]).replace("SymInt", "int"),
            REQUIRED if item["default"] is None else ast.literal_eval(item["default"]),
        )
        for item in _ARGUMENT.finditer(listed)
    )
    results = match["results"]
    count = results.count("Tensor") if "Tensor" in results else int(results != "()")
    return Schema(
        match["operator"].replace("::", "."),
        match["overload"] or "default",
        arguments,
        count,
        results.startswith("Tensor(a)"),
    )
