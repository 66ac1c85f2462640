"""A call of an ATen operator, as its translation sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwquant.frontends.aten_types import Operand
from hwquant.frontends.call import Call
from hwquant.frontends.values import Float, Value


@dataclass(frozen=True)
class AtenCall(Call[str]):
    """One node of a program; its arguments are asked for by the schema's names.

    Attributes
    ----------
    arguments : mapping
        Values, arrays, numbers, strings, None, and lists of them, by name.
    names : mapping
        The module's names of those arguments that are tensors.
    operands : sequence of Operand
        Those arguments that are tensors, with their element types.
    dtype : str
        The element type of the result.
    FIRST : str
        The name of the argument that most operators compute with, "self".
    """

    arguments: Mapping[str, Any]
    names: Mapping[str, str]
    operands: Sequence[Operand]
    dtype: str

    FIRST: ClassVar[str] = "self"

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or its default."""
        found = self.arguments.get(name)
        return default if found is None else found

    def any(self, key: str) -> Any:
        """An argument, whatever it is; None where it is left out."""
        return self.get(key)

    def label(self, key: str) -> str:
        """An argument as messages name it."""
        return f"argument {key!r}"

    def tensor(self, key: str) -> str:
        """The name in the module of an argument that is a tensor."""
        return self.names.get(key, key)

    def optional(self, name: str) -> Float | None:
        """A constant in float64, or None where it is left out."""
        return None if self.get(name) is None else self.weights(name)

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """A list of integers; one number is a list of one."""
        found = self.get(name)
        if found is None:
            return list(default)
        if any(isinstance(item, Value) for item in np.atleast_1d(np.asarray(found, object))):
            raise self.build.refuse(
                f"its {self.label(name)} is computed from the network's input; it must be fixed"
            )
        return [int(item) for item in (found if isinstance(found, list) else [found])]

    def number(self, name: str, default: float = 0.0) -> float:
        """One real number; a tensor of one may not have more dimensions than ``self``, which it would give them."""
        found = self.get(name, default)
        if isinstance(found, Value) or np.size(found) != 1:
            raise self.build.refuse(f"its {self.label(name)} is not one fixed number")
        rank = len(self.value().shape) if np.ndim(found) else 0
        if np.ndim(found) > rank:
            raise self.build.refuse(f"its {self.label(name)} has more dimensions than what it applies to")
        return float(np.asarray(found).item())
