"""Operators on quantized integers, written as QuantizeLinear and DequantizeLinear around those on real numbers.

QLinearConv is ``Q(Conv(DQ(x), DQ(w), DQ(b)))``, and so are the others of its kind, those of onnxruntime's own domain
among them. The integers of ConvInteger and MatMulInteger are real numbers that count in steps of 1. What moves integers
whose scale is known (MaxPool, Slice) moves real numbers between the same pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends.onnx_functions import STANDARD
from hwquant.frontends.onnx_integer_operators import COUNTING, LINEAR, MOVING, VIEWS, Linear

if TYPE_CHECKING:
    import onnx

MICROSOFT = "com.microsoft"


NARROW_OPSET = 21
"""The first operator set whose DequantizeLinear takes integers of 4 bits."""

_DYNAMIC = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})
_Form = tuple[str, str]
"""The names of a tensor's scale and zero point, "" where there is none."""


def with_real_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write a model's operators on integers as operators on real numbers between integers.

    Parameters
    ----------
    model : onnx.ModelProto
        The model, without functions; it is left as it is.

    Returns
    -------
    onnx.ModelProto
        The model; the same object where it has no such operators.

    Raises
    ------
    Unsupported
        Scales are found from the data at hand, or computed where a constant is needed.
    """
    kinds = {*LINEAR, *COUNTING, *_DYNAMIC, "QuantizeLinear"}  # behind the last one integers may be moved
    if not any(node.op_type in kinds or node.domain == MICROSOFT for node in model.graph.node):
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    _Rewriting(copied.graph).run()
    if not any(node.domain == MICROSOFT for node in copied.graph.node):
        kept = [entry for entry in copied.opset_import if entry.domain != MICROSOFT]
        del copied.opset_import[:]
        copied.opset_import.extend(kept)
    return _with_narrow_types(copied)


def _with_narrow_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with integers of 4 bits in an operator set that has them; onnxruntime's operators take them in any."""
    import onnx

    narrow = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
    version = next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 0)
    if version >= NARROW_OPSET or not any(item.data_type in narrow for item in model.graph.initializer):
        return model
    try:
        return onnx.version_converter.convert_version(model, NARROW_OPSET)
    except (onnx.version_converter.ConvertError, RuntimeError, ValueError) as error:
        raise Unsupported(
            f"{model.graph.name!r} has integers of 4 bits in operator set {version}, and is not converted to "
            f"{NARROW_OPSET}, which has them: {' '.join(str(error).split()):.200}; export it with {NARROW_OPSET}",
            where=model.graph.name,
        ) from None


class _Rewriting:
    """One pass over the nodes of a graph, which it changes.

    Parameters
    ----------
    graph : onnx.GraphProto
        The graph.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        import onnx

        self._graph, self._helper, self._numpy = graph, onnx.helper, onnx.numpy_helper
        self._constants = {item.name: item for item in graph.initializer}
        self._constants |= {
            node.output[0]: attribute.t
            for node in graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
        self._names = {name for node in graph.node for name in (*node.input, *node.output)}
        self._names |= {item.name for item in (*graph.input, *graph.output, *graph.initializer)}
        self._forms: dict[str, _Form] = {}
        self._sums: set[str] = set()
        self._made: list[onnx.NodeProto] = []

    def run(self) -> None:
        """Rewrite the graph."""
        nodes = list(self._graph.node)
        outputs = {item.name for item in self._graph.output}
        for node in nodes:
            self._node(node)
            if self._sums & outputs.intersection(node.output):
                raise _refused(
                    node, "the network gives its integers; cast them to float, and scale them, in the model"
                )
        del self._graph.node[:]
        self._graph.node.extend(self._made)
        typed = [item for item in self._graph.value_info if item.name not in self._sums]
        del self._graph.value_info[:]
        self._graph.value_info.extend(typed)

    def _node(self, node: onnx.NodeProto) -> None:
        if node.op_type != "Cast" and self._sums.intersection(node.input):
            raise _refused(
                node,
                "it computes with integers that a ConvInteger or MatMulInteger sums; cast them to float before",
            )
        if node.op_type in _DYNAMIC:
            raise _refused(
                node,
                "it finds scales from the data at hand, sample by sample, which integers here do not; quantize the "
                "network statically, with calibration data",
            )
        if node.op_type in LINEAR and node.domain in (*STANDARD, MICROSOFT):
            self._linear(node, LINEAR[node.op_type])
        elif node.op_type in COUNTING and node.domain in STANDARD:
            self._counting(node, COUNTING[node.op_type])
        elif node.op_type in MOVING and (form := self._form(node)) is not None:
            self._moving(node, *form)
        else:
            if node.domain == MICROSOFT and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                node.domain = ""
            if node.op_type == "QuantizeLinear":
                self._forms[node.output[0]] = node.input[1], _input(node, 2)
            elif node.op_type in VIEWS and node.input[0] in self._forms:
                self._forms[node.output[0]] = self._forms[node.input[0]]
            self._made.append(node)

    def _linear(self, node: onnx.NodeProto, what: Linear) -> None:
        """Write an operator with scales."""
        places = list(what.operands)
        if what.repeated is not None:
            places += range(what.repeated, len(node.input), 3)
        self._check(node, what, [*(place + 1 for place in places), what.result])
        operands = []
        for number, place in enumerate(places):
            axis = what.axes[number] if what.repeated is None else None
            if what.operator == "Gemm" and axis is not None:
                axis = 0 if _attribute(node, "transB") else 1
            name, scale, zero = (_input(node, place + part) for part in range(3))
            operands.append(self._dequantize(name, scale, zero, axis))
        if what.bias is not None and _input(node, what.bias):
            operands.append(self._bias(node, what))
        real = self._real(node, what.operator, operands)
        scale, zero = _input(node, what.result), _input(node, what.result + 1)
        if not scale:  # QGemm's result is real then
            self._made.append(self._helper.make_node("Identity", [real], list(node.output)))
            return
        self._quantize(real, scale, zero, node)

    def _check(self, node: onnx.NodeProto, what: Linear, scales: Sequence[int]) -> None:
        """Raise for what runtimes refuse of an operator that ONNX does not know, or does not check.

        Parameters
        ----------
        node : onnx.NodeProto
            The node.
        what : Linear
            What it is.
        scales : sequence of int
            Where its scales are among the inputs; a zero point is behind each.
        """
        what_is_wrong = ""
        plain = what.bias is None and what.operator != "MatMul"  # its operands and its result have one type
        ends = max(*scales, what.bias or 0, scales[-1] + 1)
        if what.repeated is None and len(node.input) > ends + 1:
            what_is_wrong = f"it has {len(node.input)} inputs, of which there are {ends + 1}"
        if what.repeated is not None and (len(node.input) < 5 or (len(node.input) - what.repeated) % 3):
            what_is_wrong = f"it has {len(node.input)} inputs, not two and three for each operand"
        required = what.result + 2 if node.domain in STANDARD else 0
        if not all(_input(node, place) for place in range(required)):
            what_is_wrong = f"it lacks some of its first {required} inputs"
        if len(node.output) != 1:
            what_is_wrong = f"it has {len(node.output)} outputs, not one"
        kinds = set()
        for name in (_input(node, place + part) for place in scales for part in range(2)):
            constant = self._constants.get(name)
            if constant is None:
                continue
            if len(constant.dims) > (0 if what.operator in ("Add", "Mul") else 1):
                what_is_wrong = f"{name!r} has shape {tuple(constant.dims)}, not that of one number"
            kinds.add(constant.data_type)
        if plain and len(kinds) > 2:  # that of all scales, and that of all zero points
            what_is_wrong = "its zero points have several types"
        if what_is_wrong:
            raise ValueError(f"node {node.name or node.output[0]!r} ({node.op_type}): {what_is_wrong}")

    def _bias(self, node: onnx.NodeProto, what: Linear) -> str:
        """The bias of a convolution or a matrix product: in steps of both scales, and of alpha."""
        scales = [self._array(node, _input(node, place + 1)).astype(np.float64) for place in what.operands]
        alpha = _attribute(node, "alpha")
        step = scales[0].reshape(-1)[0] * scales[1].reshape(-1) * (1.0 if alpha is None else alpha)
        name = _input(node, what.bias or 0)
        if name in self._constants and self._numpy.to_array(self._constants[name]).dtype != np.int32:
            raise ValueError(f"node {node.name or node.output[0]!r} ({node.op_type}): its bias is not int32")
        scale = self._constant(f"{name}_scale", step if step.size > 1 else step.reshape(()))
        return self._dequantize(name, scale, "", 0 if step.size > 1 else None)

    def _counting(self, node: onnx.NodeProto, operator: str) -> None:
        """Write a sum of integers as one of real numbers: the weights count in steps of 1 over that of the input."""
        x, w, x_zero, w_zero = (_input(node, index) for index in range(4))
        if x not in self._forms:
            one = self._constant(f"{x}_scale", np.ones(()))
            self._forms[x] = one, x_zero
        scale = self._forms[x][0]
        inverse = self._constant(
            f"{w}_scale", 1.0 / self._array(node, scale).astype(np.float64).reshape(-1)[0]
        )
        several = w_zero != "" and self._array(node, w_zero).size > 1
        if several:
            raise _refused(node, "its weights have a zero point for each channel; quantize them with one")
        operands = [self._dequantize(x, scale, x_zero, None), self._dequantize(w, inverse, w_zero, None)]
        self._sums.add(self._real(node, operator, operands, node.output[0]))

    def _form(self, node: onnx.NodeProto) -> _Form | None:
        """The scale and zero point of the integers that a node moves; None where it moves others, or counts them."""
        if node.op_type != "Concat":
            return (
                self._forms.get(node.input[0]) if len(node.output) == 1 or node.op_type == "Split" else None
            )
        given = [name for name in node.input if name not in self._constants]
        forms = [self._forms[name] for name in given if name in self._forms]
        if not forms or len(forms) < len(given):
            return None
        if not all(all(map(self._alike, forms[0], form)) for form in forms):
            raise _refused(node, "it joins integers of several scales; requantize them to one before")
        return forms[0]

    def _alike(self, one: str, other: str) -> bool:
        """Whether two scales or zero points are the same constant, or equal ones."""
        if one == other:
            return True
        found = [self._constants.get(name) for name in (one, other)]
        arrays = [self._numpy.to_array(item) for item in found if item is not None]
        return len(arrays) == 2 and arrays[0].dtype == arrays[1].dtype and np.array_equal(*arrays)

    def _moving(self, node: onnx.NodeProto, scale: str, zero: str) -> None:
        """Write what moves integers on the real numbers that they stand for."""
        many = len(node.input) if node.op_type == "Concat" else 1
        reals = [self._dequantize(name, scale, zero, None) for name in node.input[:many]]
        rest = list(node.input[many:])
        if node.op_type == "Pad" and rest and _attribute(node, "mode") in (None, b"constant"):
            rest = self._padding(rest, scale, zero)
        outputs = [self._unique(f"{name}_real") for name in node.output]
        made = self._helper.make_node(node.op_type, [*reals, *rest], outputs, node.name)
        made.attribute.extend(node.attribute)
        self._made.append(made)
        for real, name in zip(outputs, node.output):
            if name:
                self._made.append(
                    self._helper.make_node(
                        "QuantizeLinear", _given(real, scale, zero), [name], f"{name}_quantized"
                    )
                )
                self._forms[name] = scale, zero

    def _padding(self, inputs: list[str], scale: str, zero: str) -> list[str]:
        """What follows the data among the inputs of a Pad of integers, for one of real numbers."""
        amounts, value, *axes = [*inputs, "", ""][: max(2, len(inputs))]
        if not value:  # the integer 0
            value = self._unique(f"{amounts}_zero")
            kind = (
                np.uint8 if zero not in self._constants else self._numpy.to_array(self._constants[zero]).dtype
            )
            self._graph.initializer.append(self._numpy.from_array(np.zeros((), kind), value))
        return [amounts, self._dequantize(value, scale, zero, None), *axes]

    def _real(self, node: onnx.NodeProto, operator: str, inputs: Sequence[str], output: str = "") -> str:
        """Add the operator on real numbers, with the attributes of the one on integers."""
        name = output or self._unique(f"{node.output[0]}_real")
        if _attribute(node, "channels_last"):
            raise _refused(node, "its channels are last; export it with channels first")
        made = self._helper.make_node(operator, list(inputs), [name], node.name)
        made.attribute.extend(item for item in node.attribute if item.name not in ("channels_last", "opset"))
        self._made.append(made)
        return name

    def _dequantize(self, name: str, scale: str, zero: str, axis: int | None) -> str:
        """Add a DequantizeLinear, along an axis where there are several scales."""
        output = self._unique(f"{name}_dequantized")
        found = self._constants.get(scale)
        several = found is not None and int(np.prod(found.dims)) > 1
        attributes: dict[str, Any] = {"axis": axis} if several and axis is not None else {}
        self._made.append(
            self._helper.make_node(
                "DequantizeLinear", _given(name, scale, zero), [output], output, **attributes
            )
        )
        return output

    def _quantize(self, real: str, scale: str, zero: str, node: onnx.NodeProto) -> None:
        """Add a QuantizeLinear in place of an operator's result."""
        name = node.output[0]
        label = f"{node.name or name}_QuantizeLinear"
        self._made.append(self._helper.make_node("QuantizeLinear", _given(real, scale, zero), [name], label))
        self._forms[name] = scale, zero

    def _array(self, node: onnx.NodeProto, name: str) -> np.ndarray:
        """A constant that is needed to write a node."""
        if name not in self._constants:
            raise _refused(node, f"its scale {name!r} is computed; it must be a constant of the model")
        return self._numpy.to_array(self._constants[name])

    def _constant(self, name: str, value: Any) -> str:
        """Add a constant, float32 as all scales are."""
        unique = self._unique(name)
        made = self._numpy.from_array(np.asarray(value, np.float32), unique)
        self._graph.initializer.append(made)
        self._constants[unique] = made
        return unique

    def _unique(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


def _input(node: onnx.NodeProto, index: int) -> str:
    """The name of an input, "" where it is left out."""
    return node.input[index] if index < len(node.input) else ""


def _given(*names: str) -> list[str]:
    """Inputs without those that are left out at the end."""
    found = list(names)
    while found and not found[-1]:
        found.pop()
    return found


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    """An attribute's number; None where it is not given."""
    for item in node.attribute:
        if item.name == name:
            return {item.FLOAT: item.f, item.STRING: item.s}.get(item.type, item.i)
    return None


def _refused(node: onnx.NodeProto, why: str) -> Unsupported:
    name = node.name or node.output[0]
    return Unsupported(
        f"node {name!r} ({node.op_type}): {why}", where=f"node {name!r}", operator=node.op_type
    )
