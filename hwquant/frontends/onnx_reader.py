"""ONNX models: read, check, evaluate what is constant, and translate the rest node by node."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.export.embedded import is_embedded
from hwquant.files import parse_json
from hwquant.frontends.batch import BatchAxis, BatchMatters, Shapes
from hwquant.frontends.builder import Builder
from hwquant.frontends.layouts import with_layouts
from hwquant.frontends.onnx_call import OnnxCall, Result, admitted, attributes_of
from hwquant.frontends.onnx_check import checked, node_name, opset
from hwquant.frontends.onnx_constants import Constants
from hwquant.frontends.onnx_file import load
from hwquant.frontends.onnx_inputs import batch_of, dimensions, inputs_of, with_shapes
from hwquant.frontends.onnx_operators import OPERATORS
from hwquant.frontends.onnx_quantized import MOVES, constant_steps
from hwquant.frontends.onnx_types import INTEGERS, REAL, TRUTH, array_type, result_type, type_name
from hwquant.frontends.qonnx import is_quantizer, quantizer
from hwquant.frontends.qonnx_operators import constants_of, quantize_activation, steps_of_constant
from hwquant.frontends.quantized import Steps, moved, note_weights
from hwquant.frontends.refusals import Misfit
from hwquant.frontends.same import same_graph
from hwquant.frontends.tensors import ANY_BATCH
from hwquant.frontends.values import Array, Value
from hwquant.graph import Graph
from hwquant.history import METADATA, Step, of_json
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx


def read_onnx(
    source: str | Path | onnx.ModelProto,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
    read: Callable[[onnx.ModelProto, str], Graph] | None = None,
) -> Graph:
    """Read a float network from an ONNX file or model.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A path, beside which external data is looked for; or a model with its data inside.
    shapes : mapping of sequence of int, optional
        Whole shapes of inputs with open dimensions, by name.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.
    read : callable, optional
        A function from the model, its shapes fixed, and its name to the network; by default :func:`read_whole`.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        If it is no valid ONNX model, or has something unsupported; the node and the operator are named.
    """
    load_package("onnx", "onnx", "onnx", "reading ONNX models")
    import onnx

    if isinstance(source, onnx.ModelProto):
        name, model = source.graph.name or "onnx model", source
    else:
        name, model = Path(source).stem, load(Path(source))
    if is_embedded(model):
        raise HwquantError(
            f"{name!r} is an integer network that hwquant exported, and a float network is needed; "
            "hwquant.load_network reads it as it was, and `hwquant quantize` writes its .hwq file"
        )
    steps = _history(model, name)
    model = with_shapes(model, shapes or {})
    graph = read_whole(model, name, batch_axis) if read is None else read(model, name)
    return replace(graph, history=steps)


def read_whole(model: onnx.ModelProto, name: str, batch_axis: BatchAxis = 0) -> Graph:
    """Read a model that the array can do from end to end.

    Raises
    ------
    HwquantError
        It is no valid ONNX model, or has something unsupported; the node and the operator are named.
    """
    model = checked(model, name, batch_axis)
    batch = batch_of(model, batch_axis)
    if batch is None:
        return _of_any_batch(model, name)
    return _read(model, name, batch, bare=batch_axis is None)


def _history(model: onnx.ModelProto, name: str) -> tuple[Step, ...]:
    """What hwquant did to the network before it was written."""
    texts = [item.value for item in model.metadata_props if item.key == METADATA]
    try:
        steps = [parse_json(text.encode()) for text in texts]
    except ValueError as error:
        raise Damaged(f"the metadata {METADATA!r} of {name!r} are damaged: {error}; delete them") from None
    if len(steps) > 1:
        raise Damaged(f"network {name!r} has the metadata {METADATA!r} twice; delete one")
    return of_json(steps[0], f"network {name!r}") if steps else ()


def _of_any_batch(model: onnx.ModelProto, name: str) -> Graph:
    """The network of a model whose batch is open: `ANY_BATCH` stands for all sizes.

    A model that reads its own shapes, or fixes one, can be another network for another batch. One that takes a single
    sample only, although it is declared otherwise, is read for one.
    """
    try:
        graph = _read(model, name, ANY_BATCH)
    except Misfit:
        # No runtime computes two samples with such shapes.
        if not _importable(model, name, 1):
            raise
        return _read(model, name, 1)
    except Unsupported as error:
        if not _importable(model, name, 1):
            raise
        shapes = [(item.name, ",".join(map(str, (1, *item.sizes[1:])))) for item in dimensions(model)]
        flags = " ".join(f"--shape {item}={shape}" for item, shape in shapes)
        raise BatchMatters(
            f"{error}. The batch of its inputs is open and was taken to be {ANY_BATCH}, and the model only works "
            f"for 1; fix it with {flags} (in Python {{{shapes[0][0]!r}: ({shapes[0][1]})}} as shapes)",
            where=error.where,
            operator=error.operator,
        ) from None
    # A shape that is read, or a number that happens to be the batch that was taken.
    depends = any(node.op_type in ("Shape", "Size", "If", "Reshape") for node in model.graph.node)
    if depends and not same_graph(graph, _read(model, name, ANY_BATCH + 1)):
        raise BatchMatters(
            f"network {name!r} computes with the size of its batch, so that a sample's result depends on how many "
            "others there are; fix the batch at export"
        )
    return graph


def _importable(model: onnx.ModelProto, name: str, batch: int) -> bool:
    try:
        _read(model, name, batch)
    except Unsupported:
        return False
    return True


def _read(model: onnx.ModelProto, name: str, batch: int, *, bare: bool = False) -> Graph:
    with np.errstate(all="ignore"):  # what is not finite is refused by name
        return with_layouts(
            lambda layouts: Translation(
                model, Builder(name, batch, layouts, single=batch == 1, bare=bare)
            ).graph()
        )


class Translation:
    """One pass over the nodes of a model."""

    def __init__(self, model: onnx.ModelProto, build: Builder) -> None:
        self.model = model
        self.opset = opset(model)
        self.values: dict[str, Result] = {}
        self.steps: dict[str, Steps] = {}
        self.unkept: set[str] = set()  # constants made of integers that are not kept
        self.types: dict[str, str] = {}
        self._load(model.graph)
        stored = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
        self.constants = Constants(self.opset, stored)
        self.read = set(_tensors_read(model.graph))
        self.build = build

    def graph(self) -> Graph:
        """Translate the inputs, every node and the outputs."""
        for item in inputs_of(self.model):
            kind = str(type_name(item.type.tensor_type.elem_type))
            self.begin(item.name, kind, tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim))
        outputs = [item.name for item in self.model.graph.output]
        self._translate_all(self.model.graph.node, outputs)
        return self.finished(outputs)

    def _translate_all(self, nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> None:
        """Translate nodes in order; ``outputs`` are read after them."""
        last = {name: index for index, node in enumerate(nodes) for name in tensors_read_by(node)}
        last |= dict.fromkeys(outputs, len(nodes))
        for index, node in enumerate(nodes):
            self._translate(node)
            for name in (*tensors_read_by(node), *node.output):
                if last.get(name, index) == index:  # of large models not all values can be kept
                    self.values.pop(name, None)
                    self.steps.pop(name, None)

    def begin(self, tensor: str, kind: str, shape: tuple[int, ...]) -> None:
        """Make a tensor an input of the network: of element type ``kind``, its first axis the batch if it has one."""
        self.types[tensor] = kind
        sample = shape if self.build.bare else shape[1:]
        self.values[tensor] = self.build.input(tensor, sample, integer=kind in INTEGERS)

    def finished(self, outputs: Iterable[str]) -> Graph:
        """The network with these tensors as its outputs."""
        for name in outputs:
            value = self.values.get(name)
            if not isinstance(value, Value):
                raise Unsupported(f"output {name!r} does not depend on the network's input")
            if self.types[name] in TRUTH:
                raise Unsupported(
                    f"output {name!r} is a truth value; cast it to float", where=f"output {name!r}"
                )
            self.build.output(name, value)
        return self.build.graph()

    def _load(self, graph: onnx.GraphProto) -> None:
        """Take in the constants of a graph."""
        for tensor in graph.initializer:
            self._set(tensor.name, _array(tensor))

    def _set(self, name: str, value: Result, kind: str | None = None) -> None:
        """Set a tensor's value; ``kind`` is the element type of an activation, a constant has its own."""
        self.values[name] = value
        self.types[name] = str(kind) if isinstance(value, Value) else array_type(value)

    def _translate(self, node: onnx.NodeProto) -> None:
        build, name = self.build, node_name(node)
        build.where, build.operator = f"node {name!r} ({node.op_type})", node.op_type
        inputs: list[Result | None] = []
        for tensor in node.input:
            if tensor and tensor not in self.values:
                raise build.refuse(f"it reads tensor {tensor!r}, which nothing before it produces")
            inputs.append(self.values[tensor] if tensor else None)
        if is_quantizer(node):
            build.where = f"QONNX {build.where}"
            self._quantize(node, name, inputs)
            return
        if not any(isinstance(value, Value) for value in inputs):
            self._evaluate(node)
            return
        if node.op_type not in OPERATORS:
            raise build.refuse_operator(node.op_type)
        import onnx

        steps = [self.steps.get(tensor) for tensor in node.input]
        inputs = [value if known is None else known.real for value, known in zip(inputs, steps)]
        count = len(build.nodes)
        operator, schema = OPERATORS[node.op_type], onnx.defs.get_schema(node.op_type, self.opset, "")
        types = [self.types[tensor] if tensor else None for tensor in node.input]
        attributes = admitted(build, operator, schema, node, types, self.read)
        call = OnnxCall(
            build, name, self.opset, inputs, list(node.input), types, attributes, len(node.output)
        )
        result = operator.translate(call)
        factor = attributes["alpha"] if node.op_type == "Gemm" else 1.0
        made_of = (self.values[tensor] for tensor in node.input if tensor in self.unkept)
        unkept = any(isinstance(value, np.ndarray) and value.ndim > 1 for value in made_of)
        constants = [known for known in steps if known is not None]
        note_weights(build, build.nodes[count:], constants, factor, unkept)
        kind = result_type(schema, types, attributes)
        for output, value in zip(node.output, result if isinstance(result, tuple) else (result,)):
            if output:
                self._set(output, value, kind)
            if isinstance(value, Value) and value.quantized is not None:
                build.integers[output] = value

    def _quantize(self, node: onnx.NodeProto, name: str, inputs: Sequence[Result | None]) -> None:
        """Translate one of QONNX's quantizers, or compute it where it rounds a constant."""
        made, x, output = quantizer(self.build, node, constants_of(node, inputs)), inputs[0], node.output[0]
        kind = str(self.types.get(node.input[0]))
        if kind not in REAL:
            raise self.build.refuse(f"it rounds numbers of the type {kind}; cast them to float before")
        if others := {self.types[tensor] for tensor in node.input} & REAL - {kind}:
            raise self.build.invalid(
                f"its inputs have the element types {kind} and {others.pop()}, which must be equal; cast one of them"
            )
        if isinstance(x, Value):
            self._set(output, quantize_activation(self.build, name, x, made), kind)
            return
        constant = np.asarray(x)
        try:
            real = made.real(made.integers(constant), constant.dtype)
        except ValueError:
            raise self.build.refuse(
                f"its scale of shape {made.scale.shape} does not fit a constant of shape {constant.shape}"
            ) from None
        self._set(output, real)
        steps = steps_of_constant(made, np.broadcast_to(constant, real.shape))
        if steps is not None:
            self.steps[output] = steps
        else:
            self.unkept.add(output)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        """Compute a node whose inputs are all constant."""
        if node.op_type == "If":
            self._branch(node)
            return
        inputs = {name: np.asarray(self.values[name]) for name in node.input if name}
        for name, array in self.constants.evaluate(self.build, node, inputs).items():
            self._set(name, array)
        self._follow(node, inputs)

    def _follow(self, node: onnx.NodeProto, inputs: Mapping[str, Array]) -> None:
        """Keep the integers of a constant that a node dequantizes, or only moves."""
        if node.op_type == "DequantizeLinear":
            data = [inputs[name] for name in node.input if name]
            found = constant_steps(self.build, attributes_of(node), self.types[node.input[0]], data)
            if found is not None:
                self.steps[node.output[0]] = found
            else:
                self.unkept.add(node.output[0])
        elif node.op_type in MOVES and (known := self.steps.get(node.input[0])) is not None:

            def move(part: Array) -> Array:
                evaluated = self.constants.evaluate(self.build, node, {**inputs, node.input[0]: part})
                return evaluated[node.output[0]]

            self.steps[node.output[0]] = moved(known, move)
        elif any(name in self.steps or name in self.unkept for name in node.input):
            self.unkept.update(node.output)

    def _branch(self, node: onnx.NodeProto) -> None:
        """Translate an If whose condition is known: the nodes of one branch, which see what is around them."""
        condition = np.asarray(self.values[node.input[0]])
        if condition.size != 1:
            raise self.build.refuse(f"its condition has shape {condition.shape}, not one truth value")
        wanted = "then_branch" if condition.item() else "else_branch"
        (branch,) = (attribute.g for attribute in node.attribute if attribute.name == wanted)
        outside = dict(self.values), dict(self.types)
        self._load(branch)
        for inner in branch.node:
            self._translate(inner)
        results = [(self.values.get(item.name), self.types.get(item.name)) for item in branch.output]
        self.values, self.types = outside
        for name, (value, kind) in zip(node.output, results, strict=True):
            if value is None:
                raise self.build.refuse("its branch does not produce its result")
            if name:
                self._set(name, value, kind)


def _tensors_read(graph: onnx.GraphProto) -> list[str]:
    """Every tensor that a node reads or that is an output, inside of branches too."""
    return [item.name for item in graph.output] + [
        name for node in graph.node for name in tensors_read_by(node)
    ]


def tensors_read_by(node: onnx.NodeProto) -> list[str]:
    """Every tensor that a node reads, inside of its branches too."""
    inside = [_tensors_read(attribute.g) for attribute in node.attribute if attribute.HasField("g")]
    return [*node.input, *(name for names in inside for name in names)]


def _array(tensor: Any) -> Array:
    import onnx

    try:
        array: Array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, onnx.checker.ValidationError) as error:
        raise Damaged(f"tensor {tensor.name!r} cannot be read: {error}; export the model again") from None
    if len(tensor.int32_data):  # where all types of 8 and 16 bits are written
        bits, signed = 8 * array.itemsize, array.dtype.kind == "i"
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        high = 1 if array.dtype.kind == "b" else high
        if not low <= min(tensor.int32_data) <= max(tensor.int32_data) <= high:
            raise Damaged(
                f"tensor {tensor.name!r} holds numbers beyond its element type; export the model again"
            )
    return array
