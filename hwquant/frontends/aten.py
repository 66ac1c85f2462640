"""Translation of programs of ATen operators, what ``torch.export`` makes of a module, to a `Graph`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.aten_declared import account, declared
from hwquant.frontends.aten_numbers import NUMBERS
from hwquant.frontends.aten_operators import ALIASING, IGNORED, OPERATORS
from hwquant.frontends.aten_program import AtenInput, AtenNode, AtenProgram, Reference, references
from hwquant.frontends.aten_quantized import Integers
from hwquant.frontends.aten_schema import BatchSize, Schema, Unaccounted
from hwquant.frontends.aten_storage import Storage
from hwquant.frontends.aten_types import NAMES, REAL, Operand, category, moved, settled
from hwquant.frontends.batch import NO_BATCH, BatchAxis, Dimensions, Shapes, check_fixed, fixed, shared_batch
from hwquant.frontends.builder import Builder
from hwquant.frontends.layouts import Layout, with_layouts
from hwquant.frontends.tensors import ANY_BATCH
from hwquant.frontends.values import Value
from hwquant.graph import Graph

PROMOTING = ("other", "min", "max", "exponent")
"""Arguments that take part in the promotion of types when they are numbers too."""


def translate(program: AtenProgram, shapes: Shapes | None = None, batch_axis: BatchAxis = 0) -> Graph:
    """Translate a program to a float network.

    Parameters
    ----------
    program : AtenProgram
        The program.
    shapes : mapping of sequence of int, optional
        Whole shapes of inputs with open dimensions, by name.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        For what is not supported; the node, its place in the module and the operator are named.
    """
    sizes = fixed([Dimensions(item.name, item.shape) for item in program.inputs], shapes or {})
    program = replace(program, inputs=tuple(replace(item, shape=sizes[item.name]) for item in program.inputs))
    batch = _batch(program.inputs, batch_axis)

    def translation(layouts: Mapping[str, Layout]) -> Graph:
        build = Builder(program.name, batch, layouts, single=batch == 1, bare=batch_axis is None)
        return _Translation(program, build).graph()

    return with_layouts(translation)


class _Translation:
    """A program on its way to a network.

    Attributes
    ----------
    values : dict[str, Any]
        Activations, arrays and numbers so far, by name.
    types : dict[str, str]
        The element types of those that are tensors.
    """

    def __init__(self, program: AtenProgram, build: Builder) -> None:
        self.program = program
        self.build = build
        self.values: dict[str, Any] = dict(program.constants)
        self.types = {name: array.dtype.name for name, array in program.constants.items()}
        self.types |= program.types
        self.storage = Storage(program)
        self.integers = Integers(build, self.values)

    def graph(self) -> Graph:
        """Translate the inputs, every node and the outputs."""
        for item in self.program.inputs:
            if item.dtype not in NAMES:
                raise Unsupported(f"input {item.name!r} is {item.dtype}; only real numbers can be computed")
            sizes = [size for size in item.shape[0 if self.build.bare else 1 :] if size is not None]
            self.values[item.name] = self.build.input(item.name, sizes, integer=category(item.dtype) < 2)
            self.types[item.name] = item.dtype
        if node := _product_of_activations(self.program):
            self._at(node)
            raise self.build.refuse(
                "it multiplies activations with each other, as attention does, which the array cannot; use "
                "convolutions"
            )
        for position, node in enumerate(self.program.nodes):
            self._at(node)
            if node.operator in IGNORED:
                continue
            try:
                self._translate(position, node)
            except Unaccounted as error:
                raise self.build.refuse(str(error)) from None
            except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
                # A program from a file may have anything as an argument; torch is not here to check it.
                raise self.build.refuse(
                    f"its arguments make no sense ({error}); export the module again"
                ) from error
        for name in self.program.outputs:
            self._output(name)
        return self.build.graph()

    def _at(self, node: AtenNode) -> None:
        """Name the node at hand in messages."""
        where = f" in {node.path!r}" if node.path else ""
        self.build.where = f"node {node.name!r} ({node.operator}{where})"
        self.build.operator = node.operator

    def _translate(self, position: int, node: AtenNode) -> None:
        read = list(references(node.arguments))
        inside = any(isinstance(self.values.get(name), Value) for name in read)
        given = {name: self._resolved(argument, inside) for name, argument in node.arguments.items()}
        if node.operator in NUMBERS:
            results = NUMBERS[node.operator](given)
            self.values |= {name: results for name in node.outputs if name is not None}
            return
        schema = declared(node.operator, node.overload)
        if schema is None:
            raise self.build.refuse_operator(node.operator)
        if set(node.positional) != {item.name for item in schema.arguments[: len(node.positional)]}:
            raise Unaccounted(f"its arguments by position {list(node.positional)} have a gap")
        operator = node.operator if node.operator in OPERATORS else node.operator[:-1]
        in_place = operator != node.operator
        operands = self._operands(schema, node, given)
        arguments = account(operator, schema, given)
        dtype = OPERATORS[operator].rule(operands, arguments)
        if dtype and dtype not in NAMES:
            raise self.build.refuse(f"it computes in {dtype}, which is not supported")
        if in_place:
            dtype = self._kept(operands[0], dtype)
        names = {
            name: self.program.labels.get(argument.name, argument.name)
            for name, argument in node.arguments.items()
            if isinstance(argument, Reference)
        }
        call = AtenCall(self.build, node.label, arguments, names, operands, dtype)
        importer, moves = OPERATORS[operator].importer, OPERATORS[operator].rule is moved
        result = self.integers.follow(call, importer, moves, read, node.outputs)
        if isinstance(result, list):
            self._store_parts(node, schema, result, dtype)
            return
        if isinstance(result, np.ndarray):
            result = settled(result, dtype)
        self._store(position, node, schema, operator, result, dtype)

    def _store_parts(self, node: AtenNode, schema: Schema, results: Sequence[Any], dtype: str) -> None:
        """Store the results of an operator that returns a list of tensors, which share its memory."""
        source = next(references([node.arguments.get(item.name) for item in schema.arguments]), None)
        if len(node.outputs) > len(results):
            raise self.build.refuse(f"its part {len(node.outputs) - 1} is read, and there are {len(results)}")
        for name, result in zip(node.outputs, results):
            if name is not None:
                self.values[name] = settled(result, dtype) if isinstance(result, np.ndarray) else result
                self.types[name] = dtype
                self.storage.add(name, source, same=False)

    def _store(
        self, position: int, node: AtenNode, schema: Schema, operator: str, result: Any, dtype: str
    ) -> None:
        in_place = operator != node.operator
        source = next(references([node.arguments.get(item.name) for item in schema.arguments]), None)
        if in_place and source is not None:
            for name in self.storage.written(self.build, position, source):
                self.values[name], self.types[name] = result, dtype
                self.integers.overwritten(name)
        first, *others = node.outputs or (None,)
        for number, other in enumerate(others, start=1):
            if other is not None and other in self.storage.last_use:
                raise self.build.refuse(
                    f"its result number {number}, {other!r}, is read; only the first of its results is computed"
                )
        if first is not None:
            self.values[first], self.types[first] = result, dtype
            aliases = schema.aliases or operator in ALIASING
            self.storage.add(first, source if in_place or aliases else None, same=in_place)

    def _resolved(self, argument: Any, exact: bool) -> Any:
        """An argument, with the values of what it refers to; ``exact`` where these meet activations."""
        if isinstance(argument, Reference):
            if argument.name not in self.values:
                raise self.build.refuse(
                    f"it reads {argument.name!r}, which nothing supported before it produces"
                )
            return self.integers.exact(argument.name) if exact else self.values[argument.name]
        if isinstance(argument, list | tuple):
            return [self._resolved(item, exact) for item in argument]
        return argument

    def _operands(self, schema: Schema, node: AtenNode, given: Mapping[str, Any]) -> Sequence[Operand]:
        """The tensors that an operator reads, and the numbers that take part in promotion."""
        operands = []
        for argument in schema.arguments:
            if not argument.kind.startswith("Tensor") and argument.name not in PROMOTING:
                continue
            value, reference = given.get(argument.name), node.arguments.get(argument.name)
            pairs: list[tuple[Any, Any]] = [(value, reference)]
            if isinstance(value, list) and isinstance(reference, list):
                pairs = list(zip(value, reference, strict=True))
            for part, name in pairs:
                if part is not None:
                    dtype = self.types.get(name.name, "") if isinstance(name, Reference) else ""
                    operands.append(Operand(argument.name, dtype, part))
        return operands

    def _kept(self, target: Operand, dtype: str) -> str:
        """The type of what is overwritten stays as it is, where torch can cast to it."""
        if category(dtype) > category(target.dtype):
            raise self.build.refuse(f"it writes {dtype} into {target.dtype} in place, which torch refuses")
        return target.dtype

    def _output(self, name: str) -> None:
        value = self.values.get(name)
        if not isinstance(value, Value):
            raise Unsupported(f"output {name!r} does not depend on the network's input")
        given = value.quantized is not None or value.host[-1:] == ("argmax",)
        if self.types[name] not in REAL and not given:
            raise Unsupported(
                f"output {name!r} is {self.types[name]}; only real numbers can be computed, and the result of argmax"
            )
        self.build.output(name, value)


def _product_of_activations(program: AtenProgram) -> AtenNode | None:
    """The first node that is attention, or a product of matrices that both depend on the input."""
    dependent = {item.name for item in program.inputs}
    for node in program.nodes:
        read = [name for name in references(node.arguments) if name in dependent]
        if "attention" in node.operator:
            return node
        if node.operator in ("matmul", "bmm", "baddbmm", "einsum") and len(read) > 1:
            return node
        if read and not node.operator.startswith("sym_size"):
            dependent.update(name for name in node.outputs if name is not None)
    return None


def _batch(inputs: Sequence[AtenInput], batch_axis: BatchAxis) -> int:
    """The batch size that all inputs share, ANY_BATCH where it is open; of one sample without a batch dimension 1."""
    for item in inputs:
        if not item.shape and batch_axis == 0:
            raise Unsupported(
                f"input {item.name!r} has no batch dimension; give every input one, as the first{NO_BATCH}"
            )
        if 0 in item.shape:
            raise Unsupported(
                f"input {item.name!r} is exported for no sample, shape {item.shape}; export the module with one at "
                "least"
            )
    check_fixed([Dimensions(item.name, item.shape) for item in inputs], batch_axis)
    if batch_axis is None:
        return 1
    batch = shared_batch(item.shape[0] for item in inputs)
    return BatchSize(ANY_BATCH) if batch is None else batch
