"""Programs of ATen operators, what ``torch.export`` makes of a module, as plain data; and their translation.

`torch_export` gets such a program from torch, `pt2` from a file without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwquant.errors import HwquantError
from hwquant.frontends.aten_call import Call
from hwquant.frontends.aten_operators import ALIASING, IGNORED, OPERATORS
from hwquant.frontends.builder import ANY_BATCH, Builder
from hwquant.frontends.values import Array, Value
from hwquant.graph import Graph


@dataclass(frozen=True)
class Reference:
    """An argument that is a tensor or a symbolic number of the program."""

    name: str


@dataclass(frozen=True)
class AtenInput:
    """An input: ``shape`` with None for an open dimension, and numpy's name of its type."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class AtenNode:
    """One operator call.

    Attributes
    ----------
    name : the node's name in the program
    operator : "conv2d", without namespace ("aten") and overload; with its namespace for any other
    arguments : by the names of the operator's schema; numbers, strings, `Reference`, None, and lists of them
    outputs : names of its results; None for one that nobody reads
    path : name of the module's part that it came from, such as "features.0"; "" for the module itself
    part : the class of that part, "torch.nn.modules.conv.Conv2d"
    """

    name: str
    operator: str
    arguments: Mapping[str, Any]
    outputs: tuple[str | None, ...]
    path: str = ""
    part: str = ""

    @property
    def label(self) -> str:
        """The name for the graph's node: a layer's own name, else the operator's with its place before it."""
        if self.part.startswith("torch.nn.modules.") and self.path:
            return self.path
        return f"{self.path}.{self.name}" if self.path else self.name


@dataclass(frozen=True, eq=False)
class AtenProgram:
    """A whole program.

    Attributes
    ----------
    constants : every parameter, buffer and constant by its name in the program
    labels : the names of those in the module, such as "features.0.weight"
    outputs : names of the results
    """

    name: str
    inputs: tuple[AtenInput, ...]
    constants: Mapping[str, Array]
    nodes: tuple[AtenNode, ...]
    outputs: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


def translate(program: AtenProgram) -> Graph:
    """A float network from a program.

    Raises
    ------
    HwquantError
        for what is not supported; the node, its place in the module and the operator are named
    """
    build = Builder(program.name, _batch(program.inputs))
    values: dict[str, Any] = dict(program.constants)
    storage = _Storage(program)
    for item in program.inputs:
        sizes = [size for size in item.shape[1:] if size is not None]
        values[item.name] = build.input(item.name, sizes, integer=np.dtype(item.dtype).kind in "iub")
    for position, node in enumerate(program.nodes):
        where = f" in {node.path!r}" if node.path else ""
        build.where = f"node {node.name!r} ({node.operator}{where})"
        operator, in_place = node.operator, False
        if operator not in OPERATORS and operator.endswith("_"):
            operator, in_place = operator[:-1], True
        if operator in IGNORED:
            continue
        if operator not in OPERATORS:
            raise build.refuse_operator(operator)
        arguments = {name: _resolved(build, values, argument) for name, argument in node.arguments.items()}
        names = {
            name: program.labels.get(argument.name, argument.name)
            for name, argument in node.arguments.items()
            if isinstance(argument, Reference)
        }
        try:
            result = OPERATORS[operator](Call(build, node.label, arguments, names))
        except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            # A program from a file may have anything as an argument; torch is not here to check it.
            raise build.refuse(f"its arguments make no sense ({error}); export the module again") from error
        source = next((item.name for item in node.arguments.values() if isinstance(item, Reference)), None)
        if in_place and source is not None:
            for name in storage.written(build, position, source):
                values[name] = result
        for output in node.outputs[:1]:
            if output is not None:
                values[output] = result
                storage.add(output, source if in_place or operator in ALIASING else None, same=in_place)
    for name in program.outputs:
        value = values.get(name)
        if not isinstance(value, Value):
            raise HwquantError(f"output {name!r} does not depend on the network's input")
        build.output(name, value)
    return build.graph()


def _batch(inputs: Sequence[AtenInput]) -> int:
    """The batch size that all inputs share; ANY_BATCH where it is open."""
    batches = set()
    for item in inputs:
        if not item.shape:
            raise HwquantError(
                f"input {item.name!r} has no batch dimension; give every input one, as the first"
            )
        for axis, size in enumerate(item.shape[1:], start=1):
            if size is None:
                raise HwquantError(
                    f"dimension {axis} of input {item.name!r} is not fixed, only the batch may be open; "
                    "export the module with fixed shapes"
                )
        if item.shape[0] is not None:
            batches.add(item.shape[0])
    if len(batches) > 1:
        raise HwquantError(
            f"the inputs have different batch sizes {sorted(batches)}; the first dimension is the batch"
        )
    return batches.pop() if batches else ANY_BATCH


def _resolved(build: Builder, values: Mapping[str, Any], argument: Any) -> Any:
    if isinstance(argument, Reference):
        if argument.name not in values:
            raise build.refuse(f"it reads {argument.name!r}, which nothing supported before it produces")
        return values[argument.name]
    if isinstance(argument, list | tuple):
        return [_resolved(build, values, item) for item in argument]
    return argument


class _Storage:
    """Which names are one tensor, or views of one storage, for operators that write in place."""

    def __init__(self, program: AtenProgram) -> None:
        self._storage: dict[str, int] = {}
        self._tensor: dict[str, int] = {}
        self._last_use = {name: len(program.nodes) for name in program.outputs}
        for position, node in enumerate(program.nodes):
            for argument in node.arguments.values():
                for item in argument if isinstance(argument, list | tuple) else [argument]:
                    if isinstance(item, Reference):
                        self._last_use[item.name] = max(position, self._last_use.get(item.name, 0))
        for name in (*(item.name for item in program.inputs), *program.constants):
            self.add(name, None, same=False)

    def add(self, name: str, source: str | None, same: bool) -> None:
        """A new tensor, or one that shares the storage of ``source``, or with ``same`` is that tensor."""
        fresh = len(self._tensor)
        self._tensor[name] = self._tensor[source] if same and source is not None else fresh
        self._storage[name] = fresh if source is None else self._storage[source]

    def written(self, build: Builder, position: int, source: str) -> list[str]:
        """The names whose value an in-place operator on ``source`` replaces."""
        views = [name for name, storage in self._storage.items() if storage == self._storage[source]]
        names = [name for name in views if self._tensor[name] == self._tensor[source]]
        for name in views:
            if name not in names and self._last_use.get(name, -1) > position:
                raise build.refuse(
                    f"it overwrites {source!r} in place while {name!r}, which may share its memory, is read "
                    "later; use the operator that is not in place, or save program.run_decompositions()"
                )
        return names
