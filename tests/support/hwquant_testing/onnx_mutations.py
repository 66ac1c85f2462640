"""Mutations of ONNX models: of their structure, most of them plausible, and of the bytes of their files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

OPERATORS = sorted({item.name for item in onnx.defs.get_all_schemas() if item.domain == ""})
ATTRIBUTES = sorted({name for item in onnx.defs.get_all_schemas_with_history() for name in item.attributes})
KINDS = [*TensorProto.DataType.values(), 99, -1]
NUMBERS = [
    -(2**63),
    -(2**31),
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    100,
    65536,
    10**6,
    2**31 - 1,
    2**40,
    2**63 - 1,
]
REALS = [0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, 3e38, float("inf"), float("-inf"), float("nan")]
STRINGS = [
    "NOTSET",
    "VALID",
    "SAME_UPPER",
    "SAME_LOWER",
    "constant",
    "edge",
    "reflect",
    "wrap",
    "",
    "\u202e",
    "x" * 99,
]

Mutation = Callable[[np.random.Generator, onnx.ModelProto], None]


def pick(rng: np.random.Generator, options: Any) -> Any:
    options = list(options)
    return options[int(rng.integers(len(options)))] if options else None


def names(model: onnx.ModelProto) -> list[str]:
    """Every tensor's name, and one that no tensor has."""
    graph = model.graph
    found = [item.name for item in (*graph.input, *graph.initializer, *graph.output)]
    return ["", "nothing", *found, *(name for node in graph.node for name in node.output)]


def change_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    attribute = pick(rng, (item for node in model.graph.node for item in node.attribute))
    if attribute is None:
        return
    if attribute.type == AttributeProto.INT:
        attribute.i = pick(rng, NUMBERS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = pick(rng, REALS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = pick(rng, STRINGS).encode()
    elif attribute.type == AttributeProto.INTS:
        values = list(attribute.ints)
        change = int(rng.integers(4))
        if change == 0 and values:
            values[int(rng.integers(len(values)))] = pick(rng, NUMBERS)
        elif change == 1:
            values.append(pick(rng, [0, 1, 2]))
        elif change == 2:
            values = values[:-1]
        else:
            values = values[::-1]
        del attribute.ints[:]
        attribute.ints.extend(values)


def add_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = pick(rng, model.graph.node)
    value = pick(rng, [0, 1, -1, 2, 0.5, "NOTSET", "SAME_UPPER", [1, 1], [2, 2], [1, 1, 1, 1], [0, 1], [2]])
    history = [item for item in onnx.defs.get_all_schemas_with_history() if item.name == node.op_type]
    own = [name for item in history for name in item.attributes]
    name = pick(rng, own) if own and rng.random() < 0.7 else pick(rng, ATTRIBUTES)
    node.attribute.append(helper.make_attribute(name, value))


def remove_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = pick(rng, (node for node in model.graph.node if node.attribute))
    if node is not None:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def change_inputs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = pick(rng, model.graph.node)
    inputs = list(node.input)
    change = int(rng.integers(5))
    if change == 0 and inputs:
        inputs[int(rng.integers(len(inputs)))] = pick(rng, names(model))
    elif change == 1:
        inputs.append(pick(rng, names(model)))
    elif change == 2:
        inputs = inputs[:-1]
    elif change == 3:
        inputs = inputs[::-1]
    elif inputs:
        inputs.append(inputs[0])
    del node.input[:]
    node.input.extend(inputs)


def change_outputs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = pick(rng, model.graph.node)
    change = int(rng.integers(4))
    if change == 0 and node.output:
        node.output[0] = pick(rng, names(model))
    elif change == 1:
        node.output.append(pick(rng, ["extra", *names(model)]))
    elif change == 2:
        model.graph.output.append(helper.make_empty_tensor_value_info(pick(rng, names(model))))
        pick(rng, model.graph.output).type.tensor_type.elem_type = pick(rng, [1, 7, 11])
    elif len(model.graph.output):
        model.graph.output[0].name = pick(rng, names(model))


def change_type(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    kind = pick(rng, KINDS) if rng.random() < 0.5 else pick(rng, [1, 2, 3, 6, 7, 9, 10, 11, 16])
    items = [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]
    item = pick(rng, items)
    if isinstance(item, TensorProto):
        if kind in (1, 2, 3, 6, 7, 9, 10, 11) and rng.random() < 0.8:
            with np.errstate(all="ignore"):
                array = numpy_helper.to_array(item).astype(helper.tensor_dtype_to_np_dtype(kind))
            item.CopyFrom(numpy_helper.from_array(array, item.name))
        else:
            item.data_type = kind
    else:
        item.type.tensor_type.elem_type = kind


def change_shape(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    items = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    dims = pick(rng, items).type.tensor_type.shape.dim
    change = int(rng.integers(4))
    if change == 0 and dims:
        pick(rng, dims).dim_value = pick(rng, NUMBERS)
    elif change == 1 and dims:
        pick(rng, dims).dim_param = "L"
    elif change == 2 and dims:
        del dims[-1]
    else:
        dims.add().dim_value = int(rng.integers(1, 4))


def change_constant(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor = pick(rng, model.graph.initializer)
    if tensor is None:
        return
    change = int(rng.integers(5))
    if change == 0 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = pick(rng, NUMBERS)
        return
    if change == 1:
        tensor.name = pick(rng, names(model))
        return
    array = numpy_helper.to_array(tensor).copy()
    if change == 2 and array.size:
        value = pick(rng, REALS if array.dtype.kind == "f" else NUMBERS)
        with np.errstate(all="ignore"):
            array.flat[int(rng.integers(array.size))] = np.asarray(value).astype(array.dtype)
    elif change == 3:
        array = array[None]
    elif array.ndim:
        array = np.moveaxis(array, 0, -1)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), tensor.name))


def change_nodes(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    change = int(rng.integers(6))
    index = int(rng.integers(len(nodes)))
    if change == 0:
        nodes.insert(index, nodes[int(rng.integers(len(nodes)))])
    elif change == 1:
        nodes = [nodes[i] for i in rng.permutation(len(nodes))]
    elif change == 2:
        nodes[index].name = nodes[0].name or "n0"
    elif change == 3 and len(nodes) > 1:
        del nodes[index]
    elif change == 4:
        nodes[index].op_type = pick(rng, OPERATORS)
    else:
        nodes[index].op_type = pick(rng, [node.op_type for node in nodes])
    copies = [helper.make_node("Identity", [], []) for _ in nodes]
    for copied, node in zip(copies, nodes):
        copied.CopyFrom(node)
    del model.graph.node[:]
    model.graph.node.extend(copies)


def change_model(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    change = int(rng.integers(6))
    if change <= 2:
        model.opset_import[0].version = int(rng.integers(7, onnx.defs.onnx_opset_version() + 2))
    elif change == 3:
        model.ir_version = pick(rng, [0, 1, 2, 3, 4, 9, 99])
    elif change == 4:
        pick(rng, model.graph.node).domain = pick(rng, ["ai.onnx", "ai.onnx.ml", "com.microsoft", "x"])
    else:
        model.opset_import.append(
            helper.make_opsetid(pick(rng, ["", "ai.onnx", "x"]), int(rng.integers(1, 20)))
        )


STRUCTURAL: list[Mutation] = [
    change_attribute, change_attribute, add_attribute, remove_attribute, change_inputs, change_inputs,
    change_outputs, change_type, change_type, change_shape, change_constant, change_constant, change_nodes,
    change_model,
]  # fmt: skip


def mutated(model: onnx.ModelProto, seed: int) -> bytes:
    """The file of a model after one to three changes of its structure or, of one in four, of its bytes."""
    rng = np.random.default_rng((seed, 1))
    if rng.random() < 0.25:
        return changed_bytes(rng, model.SerializeToString())
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(int(pick(rng, [1, 1, 1, 2, 3]))):
        try:
            pick(rng, STRUCTURAL)(rng, changed)
        except (
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
        ):  # after a change that left nothing to change
            break
    return changed.SerializeToString()


def changed_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """With bits flipped, bytes replaced, a part removed or doubled, or the end cut off."""
    data = bytearray(content)
    change = int(rng.integers(5))
    start = int(rng.integers(len(data)))
    stop = start + int(rng.integers(1, 9))
    if change == 0:
        data[start] ^= 1 << int(rng.integers(8))
    elif change == 1:
        for position in rng.integers(len(data), size=int(rng.integers(1, 4))):
            data[position] = int(rng.integers(256))
    elif change == 2:
        del data[start:stop]
    elif change == 3:
        data[start:start] = data[start:stop]
    else:
        del data[start:]
    return bytes(data)
