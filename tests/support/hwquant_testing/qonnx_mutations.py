"""Mutations of QONNX models, from a seed: of what quantizers say, and of what they are given."""

from __future__ import annotations

import numpy as np
import onnx
from hwquant_testing.qonnx_models import NODES
from onnx import numpy_helper

NUMBERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    3.5,
    8.0,
    9.0,
    33.0,
    1e-30,
    1e30,
    float("nan"),
    float("inf"),
    -float("inf"),
)
TEXTS = (b"", b"ROUND", b"floor", b"CEIL", b"TOWARDS_ZERO", b"\xff\xfe", b"HALF_DOWN")


def mutated(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """A copy with one mutation or a few."""
    rng = np.random.default_rng(seed)
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        quantizers = [node for node in copied.graph.node if node.op_type in NODES]
        if quantizers:
            _mutate(copied.graph, quantizers[int(rng.integers(len(quantizers)))], rng)
    return copied


def _mutate(graph: onnx.GraphProto, node: onnx.NodeProto, rng: np.random.Generator) -> None:
    match int(rng.integers(9)):
        case 0 | 1 | 2 if len(node.input) > 1:
            _constant(graph, node.input[int(rng.integers(1, len(node.input)))], rng)
        case 3 if node.attribute:
            attribute = node.attribute[int(rng.integers(len(node.attribute)))]
            if attribute.type == onnx.AttributeProto.INT:
                attribute.i = int(rng.choice([-1, 0, 1, 2, 1 << 40]))
            else:
                attribute.s = TEXTS[int(rng.integers(len(TEXTS)))]
        case 4 if node.attribute:
            del node.attribute[int(rng.integers(len(node.attribute)))]
        case 5:
            node.attribute.append(
                onnx.helper.make_attribute(str(rng.choice(["signed", "bits", "narrow"])), 1.5)
            )
        case 6 if node.input:
            names = [item.name for item in graph.initializer] + [
                name for n in graph.node for name in n.output
            ]
            node.input[int(rng.integers(len(node.input)))] = str(rng.choice([*names, "", "nothing"]))
        case 7 if node.input:
            del node.input[-1]
        case 8:
            node.op_type = str(rng.choice(["Quant", "BipolarQuant", "Trunc", "FloatQuant", "Quantum"]))


def _constant(graph: onnx.GraphProto, name: str, rng: np.random.Generator) -> None:
    for item in graph.initializer:
        if item.name == name:
            array = numpy_helper.to_array(item).copy()
            match int(rng.integers(4)):
                case 0:
                    array = np.full(
                        (int(rng.integers(0, 4)),), array.flat[0] if array.size else 1, array.dtype
                    )
                case 1:
                    array = array.astype(rng.choice(["int64", "float64", "bool"]))
                case _:
                    array = np.asarray(array.copy())
                    array.flat[int(rng.integers(array.size)) if array.size else slice(0)] = NUMBERS[
                        int(rng.integers(len(NUMBERS)))
                    ]
            item.CopyFrom(numpy_helper.from_array(array, name))
