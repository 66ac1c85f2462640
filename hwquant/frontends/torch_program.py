"""Programs that were read as plain data, as torch's own again: only then can torch write them as ONNX models.

Operators are found by name among those of ATen that take tensors or numbers, and those of other libraries that are
declared, and traced: no kernel runs, and nothing else that a file could name is reached.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import Unsupported, first_line
from hwquant.frontends.aten_declared import DECLARED
from hwquant.frontends.aten_numbers import NUMBERS
from hwquant.frontends.aten_program import AtenNode, AtenProgram, Reference
from hwquant.frontends.batch import Shapes
from hwquant.frontends.torch_onnx import further
from hwquant.frontends.values import Array
from hwquant.packages import load_package

if TYPE_CHECKING:
    import torch

_LEFT_OUT = ("Device", "Layout", "MemoryFormat")
"""Kinds of arguments that change no number."""
_OPEN_BATCH = 2
"""Samples to trace an open batch with: torch takes one sample for a batch that is never another."""


def as_exported(program: AtenProgram, shapes: Shapes, refusal: Unsupported) -> torch.export.ExportedProgram:
    """Build torch's own program of a plain one.

    Parameters
    ----------
    program : AtenProgram
        The program.
    shapes : mapping of sequence of int
        Whole shapes of inputs with open dimensions, by name.
    refusal : Unsupported
        Why the array cannot do all of it.

    Returns
    -------
    torch.export.ExportedProgram
        The program, with a batch that is open where it was.

    Raises
    ------
    Unsupported
        It calls something else than operators of ATen, or torch cannot trace it: the refusal, with that.
    """
    load_package("torch", "torch", "torch", "leaving a part of a program to the host")
    import torch

    try:
        module = as_module(program)
        examples, dynamic = {}, {}
        for item in program.inputs:
            sizes = list(shapes.get(item.name, item.shape))
            dynamic[item.name] = {0: torch.export.Dim.AUTO} if sizes[:1] == [None] else None
            sizes[:1] = [_OPEN_BATCH if size is None else size for size in sizes[:1]]
            examples[item.name] = torch.zeros(sizes, dtype=getattr(torch, item.dtype))
        with torch.no_grad():
            return torch.export.export(module, (), examples, dynamic_shapes=dynamic, strict=False)
    except Exception as error:  # torch raises anything at a program that a file made up
        raise further(
            refusal, f"torch cannot trace the program again for the host: {first_line(error)}"
        ) from error


def as_module(program: AtenProgram) -> torch.nn.Module:
    """Build a module of torch that computes a plain program, operator by operator.

    Raises
    ------
    Unsupported
        The program calls something else than operators that are known here.
    """
    return _Building(program).module()


class _Building:
    """A module of torch's on its way.

    Parameters
    ----------
    program : AtenProgram
        The program.
    """

    def __init__(self, program: AtenProgram) -> None:
        import torch

        self._torch, self._program = torch, program
        self._graph = torch.fx.Graph()
        self._known: dict[str, torch.fx.Node] = {}

    def module(self) -> torch.fx.GraphModule:
        """Build the module."""
        root = self._torch.nn.Module()
        for item in self._program.inputs:
            self._known[item.name] = self._graph.placeholder(item.name)
        for number, (name, array) in enumerate(self._program.constants.items()):
            root.register_buffer(f"constant_{number}", self._tensor(array, self._program.types.get(name)))
            self._known[name] = self._graph.get_attr(f"constant_{number}")
        for node in self._program.nodes:
            self._add(node)
        self._graph.output(tuple(self._known[name] for name in self._program.outputs))
        return self._torch.fx.GraphModule(root, self._graph)

    def _tensor(self, array: Array, dtype: str | None) -> torch.Tensor:
        tensor = self._torch.from_numpy(np.array(array))
        return tensor if dtype is None else tensor.to(getattr(self._torch, dtype))

    def _add(self, node: AtenNode) -> None:
        """Add a call, and the reads of its results where there are several."""
        target, several = self._target(node)
        arguments, named = self._arguments(target, node)
        made = self._graph.create_node("call_function", target, arguments, named, name=node.name)
        if not several:
            self._known |= {name: made for name in node.outputs if name is not None}
            return
        for number, name in enumerate(node.outputs):
            if name is not None:
                self._known[name] = self._graph.call_function(operator.getitem, (made, number))

    def _target(self, node: AtenNode) -> tuple[Any, bool]:
        """The function of a node, and whether it has several results."""
        namespace, _, name = node.operator.rpartition(".")
        if node.operator in NUMBERS:
            return getattr(operator, name), False
        packet = None
        if namespace == "":
            packet = getattr(self._torch.ops.aten, name, None)
        elif node.operator in DECLARED:
            from torch.ao.quantization.fx import _decomposed  # noqa: F401  (it makes the operators)

            packet = getattr(getattr(self._torch.ops, namespace), name)
        target = getattr(packet, node.overload, None) if node.overload in _overloads(packet) else None
        schema = getattr(target, "_schema", None)
        kinds = [str(item.type) for item in schema.arguments] if schema else []
        if schema is None or (
            "str" in kinds and not any("Tensor" in kind for kind in kinds)
        ):  # a file's name
            raise Unsupported(
                f"node {node.name!r} ({node.operator}) of the program calls no operator of ATen; leave custom "
                "operators out of forward()"
            )
        return target, len(schema.returns) > 1 or any(
            str(item.type) == "List[Tensor]" for item in schema.returns
        )

    def _arguments(self, target: Any, node: AtenNode) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call by position and by name."""
        given = node.arguments
        if not hasattr(target, "_schema"):
            return tuple(self._argument(item) for item in given.values()), {}
        positional: list[Any] = []
        named = {}
        known = {item.name: item for item in target._schema.arguments}
        if unknown := sorted(set(given) - set(known)):
            raise Unsupported(f"node {node.name!r} ({node.operator}) has no argument {unknown[0]!r}")
        for place, (name, item) in enumerate(known.items()):
            kind = str(item.real_type)
            if name not in given or any(word in kind for word in _LEFT_OUT):
                if kind == "Device":
                    named[name] = "cpu"
                continue
            value = self._argument(given[name])
            if "ScalarType" in kind and isinstance(value, str):
                value = getattr(self._torch, value)
            if item.kwarg_only or len(positional) < place:
                named[name] = value
            else:
                positional.append(value)
        return tuple(positional), named

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, Reference):
            return self._known[argument.name]
        if isinstance(argument, list | tuple):
            return [self._argument(item) for item in argument]
        return argument


def _overloads(packet: Any) -> tuple[str, ...]:
    return tuple(packet.overloads()) if hasattr(packet, "overloads") else ()
