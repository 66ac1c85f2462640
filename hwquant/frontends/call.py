"""One node of a model as its translation sees it: what ONNX and ATen operators ask alike of their inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array, Float, Value

Key = TypeVar("Key", int, str)
"""How an input is asked for: by its position, or by its name in the operator's schema."""


@dataclass(frozen=True)
class Call(ABC, Generic[Key]):
    """One node of a model, its inputs resolved and accounted for.

    Attributes
    ----------
    build : Builder
        The network under construction, where the node's layers go.
    name : str
        Name for them.
    FIRST : int or str
        The key of the input that most operators compute with.
    """

    build: Builder
    name: str

    FIRST: ClassVar[Any]
    """The input that most operators compute with."""

    @abstractmethod
    def any(self, key: Key) -> Any:
        """An input, whatever it is."""

    @abstractmethod
    def label(self, key: Key) -> str:
        """An input as messages name it."""

    @abstractmethod
    def tensor(self, key: Key) -> str:
        """The name in the model of an input that is a tensor."""

    def value(self, key: Key | None = None) -> Value:
        """An activation, by default the first input."""
        key = self.FIRST if key is None else key
        found = self.any(key)
        if not isinstance(found, Value):
            raise self.build.refuse(
                f"its {self.label(key)} is a constant where an activation is expected; make it an input of the network"
            )
        return found

    def constant(self, key: Key) -> Array:
        """A constant as it is in the model."""
        found = self.any(key)
        if isinstance(found, Value):
            raise self.build.refuse(
                f"its {self.label(key)} is computed from the network's input; it must be a constant"
            )
        return found

    def weights(self, key: Key) -> Float:
        """A constant in float64, all of it finite."""
        return self.build.weights(self.constant(key), self.tensor(key))

    def operand(self, key: Key) -> Value | Array:
        """An activation as it is, a constant in float64."""
        found = self.any(key)
        return found if isinstance(found, Value) else self.weights(key)
