"""A torch module of calls of ATen operators, one after another, and the program that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hwquant.frontends.aten_program import AtenInput, AtenNode, AtenProgram, Reference


@dataclass(frozen=True)
class Place:
    """An argument that is an earlier value of the network."""

    number: int


@dataclass(frozen=True)
class Constant:
    """An argument that is a buffer of the network."""

    name: str


@dataclass(frozen=True)
class Step:
    """One call: an overload of `torch.ops.aten` and its arguments by name."""

    operator: str
    overload: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.operator}.{self.overload}({self.arguments})"


class Network(nn.Module):
    """Steps one after another; the last value is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def forward(self, *inputs: torch.Tensor) -> Any:
        values: list[Any] = list(inputs)
        for step in self.steps:
            values.append(self.run(step, values))
        return values[-1]

    def run(self, step: Step, values: list[Any]) -> Any:
        """The first result of one step; values may be written in place."""
        arguments = {name: self._resolved(values, item) for name, item in step.arguments.items()}
        result = getattr(getattr(torch.ops.aten, step.operator), step.overload)(**arguments)
        return result[0] if isinstance(result, tuple | list) else result

    def _resolved(self, values: list[Any], item: Any) -> Any:
        if isinstance(item, Place):
            return values[item.number]
        if isinstance(item, Constant):
            return getattr(self, item.name)
        return [self._resolved(values, part) for part in item] if isinstance(item, list) else item

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def program(network: Network, inputs: Sequence[torch.Tensor]) -> AtenProgram:
    """What ``torch.export`` makes of a network, in a thousandth of the time."""

    def plain(item: Any) -> Any:
        if isinstance(item, Place):
            return Reference(names[item.number])
        if isinstance(item, Constant):
            return Reference(item.name)
        if isinstance(item, list):
            return [plain(part) for part in item]
        known = item is None or isinstance(item, bool | int | float | str)
        return item if known else str(item).removeprefix("torch.")

    names = [f"x{number}" for number in range(len(inputs))]
    nodes = []
    for number, step in enumerate(network.steps):
        arguments = {name: plain(item) for name, item in step.arguments.items()}
        names.append(f"v{number}")
        nodes.append(AtenNode(names[-1], step.operator, arguments, (names[-1],), step.overload))
    given = tuple(AtenInput(name, tuple(item.shape), _dtype(item)) for name, item in zip(names, inputs))
    buffers = dict(network.named_buffers())
    constants = {
        name: (item.float() if item.dtype == torch.bfloat16 else item).numpy()
        for name, item in buffers.items()
    }
    types = {name: "bfloat16" for name, item in buffers.items() if item.dtype == torch.bfloat16}
    return AtenProgram("net", given, constants, tuple(nodes), (names[-1],), {}, types)


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
