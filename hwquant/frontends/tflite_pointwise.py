"""TensorFlow Lite's arithmetic, functions of one variable and reductions, as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwquant.frontends.tflite_call import Made, TfliteCall

_ONNX_KINDS = {
    "FLOAT32": 1,
    "UINT8": 2,
    "INT8": 3,
    "INT32": 6,
    "INT64": 7,
    "BOOL": 9,
    "FLOAT16": 10,
}
"""Numbers of element types in ONNX, by their names in the schema."""

MOST_FINER = 1 << 20
"""How many steps of a sum make twice the largest of a term, at most."""

BOUNDS = {1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""Least and largest result of fused activations: RELU, RELU_N1_TO_1 and RELU6."""


def onnx_kind(call: TfliteCall, kind: str) -> int:
    """The number of an element type in ONNX."""
    if kind not in _ONNX_KINDS:
        raise call.refuse(f"it has elements of type {kind}")
    return _ONNX_KINDS[kind]


def scalar(call: TfliteCall, number: float) -> str:
    """A number as a constant."""
    return call.write.constant(np.array(number, np.float32))


def function(operator: str, **attributes: object) -> Callable[[TfliteCall], Made]:
    """A function of one variable that ONNX has."""

    def translate(call: TfliteCall) -> Made:
        names, made = call.alike(0)
        return made(call.write.node(operator, *names, **attributes))

    return translate


def along(operator: str) -> Callable[[TfliteCall], Made]:
    """A function of all elements along the last axis."""
    return lambda call: call.write.node(operator, call.real(0), axis=-1)


def clipped(call: TfliteCall, name: str, low: float, high: float | None) -> str:
    """Numbers between bounds."""
    if high is None:
        return call.write.node("Relu", name)
    return call.write.node("Clip", name, scalar(call, low), scalar(call, high))


def clip(low: float, high: float) -> Callable[[TfliteCall], Made]:
    """RELU6 and its like."""

    def translate(call: TfliteCall) -> Made:
        names, made = call.alike(0)
        return made(clipped(call, names[0], low, high))

    return translate


def leaky_relu(call: TfliteCall) -> Made:
    """LEAKY_RELU."""
    return function("LeakyRelu", alpha=call.options["Alpha"])(call)


def gelu(call: TfliteCall) -> Made:
    """GELU."""
    return function("Gelu", approximate="tanh" if call.options["Approximate"] else "none")(call)


def softmax(call: TfliteCall) -> str:
    """SOFTMAX over the last axis, of multiples of its input."""
    name, beta = call.real(0), float(call.options["Beta"])
    if beta != 1.0:
        name = call.write.node("Mul", name, scalar(call, beta))
    return call.write.node("Softmax", name, axis=-1)


def rsqrt(call: TfliteCall) -> Made:
    """RSQRT."""
    names, made = call.alike(0)
    return made(call.write.node("Reciprocal", call.write.node("Sqrt", *names)))


def negative(call: TfliteCall) -> Made:
    """NEG, of real numbers."""
    if call.quantization(0) is not None:
        raise call.refuse("runtimes negate its integers, whatever their zero point is; use MUL by a constant")
    names, made = call.alike(0)
    return made(call.write.node("Neg", *names))


def square(call: TfliteCall) -> Made:
    """SQUARE."""
    names, made = call.alike(0)
    return made(call.write.node("Mul", *names, *names))


def binary(operator: str) -> Callable[[TfliteCall], Made]:
    """Arithmetic of two tensors, the smaller one repeated."""

    def translate(call: TfliteCall) -> Made:
        names, made = call.alike(0, 1)
        if operator == "Div" and call.write.kind(names[0]) != 1:
            raise call.refuse("it divides integers")
        if operator in ("Add", "Sub"):
            _check_steps(call)
        return made(call.write.node(operator, *names))

    return translate


def _check_steps(call: TfliteCall) -> None:
    """Raise where the steps of a sum of integers are too small for those of its terms, at which runtimes abort."""
    result = call.file.tensors[call.operation.outputs[0]].quantization
    terms = [call.quantization(position) for position in (0, 1)]
    largest = max((float(term.scales.max()) for term in terms if term is not None), default=0.0)
    if result is not None and 2 * largest >= MOST_FINER * float(result.scales[0]):
        raise call.invalid(f"its result has the scale {float(result.scales[0]):g}, a term {largest:g}")


def squared_difference(call: TfliteCall) -> str:
    """SQUARED_DIFFERENCE."""
    difference = call.write.node("Sub", call.real(0), call.real(1))
    return call.write.node("Mul", difference, difference)


def total(call: TfliteCall) -> str:
    """ADD_N."""
    return call.write.node("Sum", *(call.real(position) for position in range(len(call.operation.inputs))))


def reduction(operator: str) -> Callable[[TfliteCall], str]:
    """MEAN, SUM and their like, over axes that a constant names."""

    def translate(call: TfliteCall) -> str:
        rank = len(call.write.shape(call.real(0)))
        axes = call.integers(1)
        if not axes or any(not -rank <= axis < rank for axis in axes):
            raise call.invalid(f"it reduces the axes {axes} of {rank}")
        axes = sorted({axis % rank for axis in axes})
        where = call.write.constant(np.array(axes, np.int64))
        return call.write.node(operator, call.real(0), where, keepdims=int(call.options["KeepDims"]))

    return translate


def arg(operator: str) -> Callable[[TfliteCall], str]:
    """ARG_MAX and ARG_MIN, the first of equal ones."""

    def translate(call: TfliteCall) -> str:
        rank, axis = len(call.write.shape(call.real(0))), call.integer(1)
        if not -rank <= axis < rank:
            raise call.invalid(f"it has no axis {axis}")
        found = call.write.node(operator, call.real(0), axis=axis % rank, keepdims=0)
        kind = onnx_kind(call, call.file.tensors[call.operation.outputs[0]].kind)
        return found if kind == call.write.kind(found) else call.write.node("Cast", found, to=kind)

    return translate


def batch_matmul(call: TfliteCall) -> str:
    """BATCH_MATMUL, of matrices that may be transposed."""
    names = []
    for position, option in enumerate(("AdjX", "AdjY")):
        name = call.real(position)
        order = list(range(len(call.write.shape(name))))
        if len(order) < 2:
            raise call.invalid("it multiplies what is no matrix")
        order[-2:] = order[:-3:-1] if call.options[option] else order[-2:]
        names.append(call.write.node("Transpose", name, perm=order) if call.options[option] else name)
    return call.write.node("MatMul", *names)


def quantize(call: TfliteCall) -> Made:
    """QUANTIZE: the result's tensor says to what."""
    if call.file.tensors[call.operation.outputs[0]].quantization is None:
        raise call.refuse("its result has no scale")
    names, made = call.alike(0)
    return made(names[0])


def dequantize(call: TfliteCall) -> Made:
    """DEQUANTIZE, of integers or of float16."""
    (name,), made = call.alike(0)
    if call.write.kind(name) == _ONNX_KINDS["FLOAT16"]:
        return made(call.write.node("Cast", name, to=_ONNX_KINDS["FLOAT32"]))
    if call.quantization(0) is None:
        raise call.refuse("its input has no scale")
    return made(name)


def densify(call: TfliteCall) -> Made:
    """DENSIFY of what is computed; a constant has been made dense when the file was read."""
    call.stored(0)
    raise call.invalid("its input is not sparse")


def cast(call: TfliteCall) -> str:
    """CAST, of numbers that stand for themselves."""
    result = call.file.tensors[call.operation.outputs[0]]
    if call.quantization(0) is not None or result.quantization is not None:
        raise call.refuse("it casts integers that have a scale; use QUANTIZE or DEQUANTIZE")
    return call.write.node("Cast", call.real(0), to=onnx_kind(call, result.kind))


def shape(call: TfliteCall) -> str:
    """SHAPE, which is known."""
    if call.number(0) in call.state.blocks:
        raise call.refuse("it reads a shape between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND")
    kind = np.int64 if call.file.tensors[call.operation.outputs[0]].kind == "INT64" else np.int32
    return call.write.constant(np.array(call.shape(0), kind))
