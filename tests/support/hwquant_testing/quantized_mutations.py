"""Mutations of models that are quantized already: of what says how, and of anything."""

from __future__ import annotations

import numpy as np
import onnx
from hwquant_testing.onnx_mutations import REALS, mutated, pick
from hwquant_testing.quantized_models import QuantizedModel, every_operator
from onnx import numpy_helper

SHAPE = (2, 8, 8)
KINDS = [
    (np.uint8, np.int8, True),
    (np.int8, np.int8, False),
    (np.uint8, np.uint8, False),
    (np.int8, np.uint8, True),
]
TYPES = [np.int8, np.uint8, np.int16, np.int32, np.float16, np.float32, np.float64]
ATTRIBUTES = ["axis", "block_size", "output_dtype", "saturate"]


def linear_operators(seed: int) -> onnx.ModelProto:
    """A model of operators on integers."""
    rng = np.random.default_rng(seed)
    made = QuantizedModel(rng, np.uint8 if seed & 8 else np.int8, np.int8)
    x, a, b, c, d = (made.names(made.pair(reach)) for reach in (4.0, 4.0, 8.0, 8.0, 8.0))
    q = made.node("QuantizeLinear", ["x", *x])
    weight, _ = made.weight((4, 2, 3, 3), 4 if seed & 4 else None)
    bias = made.constant(rng.integers(-2000, 2000, 4), np.int32)
    conv = made.node("QLinearConv", [q, *x, *weight, *a, bias], pads=[1] * 4)
    pool = made.node("MaxPool", [conv], kernel_shape=[2, 2], strides=[2, 2])
    total = made.node("QLinearAdd", [pool, *a, pool, *a, *b], "com.microsoft")
    both = made.node("QLinearConcat", [*b, total, *b, pool, *a], "com.microsoft", axis=1)
    mean = made.node("QLinearGlobalAveragePool", [both, *b, *c], "com.microsoft")
    matrix, _ = made.weight((8, 5))
    product = made.node("QLinearMatMul", [made.node("Flatten", [mean]), *c, *matrix, *d])
    return made.model(made.node("DequantizeLinear", [product, *d]), SHAPE)


def quantized(seed: int) -> onnx.ModelProto:
    """A valid model."""
    if seed % 3 == 2:
        return linear_operators(seed)
    made = every_operator(seed % 50, *KINDS[seed % len(KINDS)])
    return made.model(made.output, SHAPE)


def change_quantization(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Change a scale, a zero point or the integers of a constant, the axis, or leave inputs out."""
    node = pick(rng, (item for item in model.graph.node if "Linear" in item.op_type))
    constants = {item.name: item for item in model.graph.initializer}
    place = pick(rng, (index for index, name in enumerate(node.input) if name in constants))
    if place is None:
        return
    old = numpy_helper.to_array(constants[node.input[place]])
    match int(rng.integers(7)):
        case 0:
            new = np.full(old.shape, pick(rng, REALS), np.float32)
        case 1:
            scaled = old.astype(np.float64) * pick(rng, [0.5, 2, -1, 0, 1.001])
            new = (
                scaled.astype(np.int64).astype(old.dtype)
                if old.dtype.kind in "iu"
                else scaled.astype(old.dtype)
            )
        case 2:
            new = old.astype(pick(rng, TYPES))
        case 3:
            row = old.reshape(-1)
            new = pick(rng, [row, row[:1], np.repeat(row, 2), row.reshape(1, -1)])
        case 4:
            del node.input[place:]
            return
        case 5:
            attribute = onnx.helper.make_attribute(
                pick(rng, ATTRIBUTES), int(pick(rng, [-3, -1, 0, 1, 2, 5, 100]))
            )
            node.attribute.append(attribute)
            return
        case _:
            node.input[place] = pick(rng, list(constants))
            return
    name = f"{node.input[place]}_{len(constants)}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(new), name))
    node.input[place] = name


def quantized_mutation(seed: int) -> bytes:
    """The file of a model after a change or two."""
    model = quantized(seed)
    if seed % 2:
        rng = np.random.default_rng((seed, 2))
        for _ in range(int(rng.integers(1, 3))):
            change_quantization(rng, model)
        return model.SerializeToString()
    return mutated(model, seed)
