"""A call of an ATen operator, as its translation sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwquant.frontends.aten_types import Operand
from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array, Float, Value


@dataclass(frozen=True)
class Call:
    """One node of a program, its arguments resolved and accounted for.

    Attributes
    ----------
    build : where its nodes go
    name : name for them
    arguments : values, arrays, numbers, strings, None, and lists of them, by the schema's names
    names : the module's names of those arguments that are tensors
    operands : those arguments that are tensors, with their element types
    dtype : the element type of the result
    """

    build: Builder
    name: str
    arguments: Mapping[str, Any]
    names: Mapping[str, str]
    operands: Sequence[Operand]
    dtype: str

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or its default."""
        found = self.arguments.get(name)
        return default if found is None else found

    def value(self, name: str = "self") -> Value:
        """An activation."""
        found = self.get(name)
        if not isinstance(found, Value):
            raise self.build.refuse(f"its argument {name!r} is a constant where an activation is expected")
        return found

    def weights(self, name: str) -> Float:
        """A constant in float64, all of it finite."""
        found = self.get(name)
        if isinstance(found, Value):
            raise self.build.refuse(
                f"its argument {name!r} is computed from the network's input; it must be a constant"
            )
        return self.build.weights(found, self.names.get(name, name))

    def optional(self, name: str) -> Float | None:
        """A constant in float64, or None where it is left out."""
        return None if self.get(name) is None else self.weights(name)

    def operand(self, name: str) -> Value | Array:
        """An activation as it is, a constant in float64."""
        found = self.get(name)
        return found if isinstance(found, Value) else self.weights(name)

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """Integers; one number is a list of one."""
        found = self.get(name)
        if found is None:
            return list(default)
        if any(isinstance(item, Value) for item in np.atleast_1d(np.asarray(found, object))):
            raise self.build.refuse(
                f"its argument {name!r} is computed from the network's input; it must be fixed"
            )
        return [int(item) for item in (found if isinstance(found, list) else [found])]

    def number(self, name: str, default: float = 0.0) -> float:
        """One real number; a tensor of one may not have more dimensions than ``self``, which it would give them."""
        found = self.get(name, default)
        if isinstance(found, Value) or np.size(found) != 1:
            raise self.build.refuse(f"its argument {name!r} is not one fixed number")
        rank = len(self.value().shape) if np.ndim(found) else 0
        if np.ndim(found) > rank:
            raise self.build.refuse(f"its argument {name!r} has more dimensions than what it applies to")
        return float(np.asarray(found).item())
