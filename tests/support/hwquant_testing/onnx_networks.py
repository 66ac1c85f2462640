"""Random ONNX networks over all supported operators, attributes, operator sets and element types.

Everything that is made is a valid model; a few of them have what the importer refuses (a window behind a
transpose, say), which the tests count.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from hwquant_testing.onnx_network import Network, Shape, model
from onnx import TensorProto, helper


def sizes(net: Network, shape: Shape, operator: str) -> tuple[dict[str, object], Shape] | None:
    """Attributes of a window over (C, ...) and the spatial sizes behind it; None if it does not fit."""
    spatial = shape[1:]
    axes = len(spatial)
    kernel = [min(size, number) for size, number in zip(spatial, net.numbers(1, 4, axes))]
    strides, dilations = net.numbers(1, 3, axes), [1] * axes
    if operator == "Conv" or (operator == "MaxPool" and net.opset >= 10):
        dilations = net.numbers(1, 2, axes)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations)]
    pads = [int(net.rng.integers(0, min(size, 3))) for size in kernel * 2]
    attributes: dict[str, object] = {}
    auto = net.pick(["NOTSET"] * 5 + ["VALID", "SAME_UPPER", "SAME_LOWER"])
    if auto != "NOTSET":
        attributes["auto_pad"], pads = auto, [0] * (2 * axes)
        dilations, strides = [1] * axes, [min(pair) for pair in zip(strides, kernel)]
        extents = kernel
    ceil = auto == "NOTSET" and operator != "Conv" and net.opset >= 10 and net.yes(0.3)
    if ceil:
        attributes["ceil_mode"] = 1
    if auto == "NOTSET" and (any(pads) or net.yes()):
        attributes["pads"] = pads
    if any(size != 1 for size in strides) or net.yes():
        attributes["strides"] = strides
    if any(size != 1 for size in dilations):
        attributes["dilations"] = dilations
    if operator != "Conv" or net.yes():
        attributes["kernel_shape"] = kernel
    result = []
    for index, (size, extent, stride) in enumerate(zip(spatial, extents, strides)):
        padded = size + pads[index] + pads[index + axes]
        if padded < extent:
            return None
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            result.append(-(-size // stride))
        else:
            count = (padded - extent) // stride + 1
            if ceil and (padded - extent) % stride:
                if (
                    count * stride >= size + pads[index]
                ):  # not all programs drop a window outside of the image
                    return None
                count += 1
            result.append(count)
    return attributes | {"_kernel": kernel}, tuple(result)


def conv(net: Network) -> None:
    found = sizes(net, net.shape, "Conv")
    if found is None:
        return
    attributes, spatial = found
    kernel = attributes.pop("_kernel")
    channels = net.shape[0]
    groups = net.pick([size for size in (1, 1, 2, 3, channels) if channels % size == 0])
    out = groups * int(net.rng.integers(1, 4))
    inputs = [net.at, net.weights(out, channels // groups, *kernel)]  # type: ignore[misc]
    if net.yes():
        inputs.append(net.constant(net.rng.normal(0, 1, out)))
    if groups != 1 or net.yes():
        attributes["group"] = groups
    net.node("Conv", inputs, (out, *spatial), **attributes)


def pool(net: Network) -> None:
    operator = net.pick(["MaxPool", "AveragePool"])
    found = sizes(net, net.shape, str(operator))
    if found is None:
        return
    attributes, spatial = found
    attributes.pop("_kernel")
    if operator == "AveragePool" and net.yes():
        attributes["count_include_pad"] = int(net.yes())
    if operator == "MaxPool" and net.opset >= 8 and net.yes(0.2):
        attributes["storage_order"] = 1
    net.node(str(operator), [net.at], (net.shape[0], *spatial), **attributes)


def global_pool(net: Network) -> None:
    kind = net.pick(["Average", "Max"])
    rank = len(net.shape) + 1
    if net.yes():
        net.node(f"Global{kind}Pool", [net.at], (net.shape[0], *[1] * (rank - 2)))
        return
    operator = "ReduceMean" if kind == "Average" else "ReduceMax"
    axes = [net.axis(axis) for axis in range(2, rank)]
    keep = net.yes()
    shape = (net.shape[0], *[1] * (rank - 2)) if keep else net.shape[:1]
    attributes: dict[str, object] = {"keepdims": int(keep)} if not keep or net.yes() else {}
    if net.opset >= 18:
        if net.yes(0.2):
            attributes["noop_with_empty_axes"] = int(net.yes())
        net.node(operator, [net.at, net.constant(axes, np.int64)], shape, **attributes)
    else:
        net.node(operator, [net.at], shape, axes=axes, **attributes)


def normalize(net: Network) -> None:
    channels = net.shape[0]
    inputs = [net.at, *(net.constant(net.rng.normal(0, 1, channels)) for _ in range(3))]
    inputs.append(net.constant(net.rng.uniform(0.5, 2, channels)))
    attributes: dict[str, object] = {}
    if net.yes():
        attributes["epsilon"] = float(net.pick([1e-3, 0.1]))
    if net.yes(0.3):
        attributes["momentum"] = 0.5
    if net.opset < 9 and net.yes():
        attributes["spatial"] = 1
    if net.opset >= 14 and net.yes():
        attributes["training_mode"] = 0
    net.node("BatchNormalization", inputs, net.shape, **attributes)


def activation(net: Network) -> None:
    choice = net.pick(["Relu", "Clip", "LeakyRelu", "PRelu", "Max", "Min"])
    low, high = sorted(net.rng.normal(0, 1, 2))
    if choice == "Clip" and net.opset < 11:
        limits = {"min": float(low), "max": float(high)}
        for name in [name for name in limits if net.yes(0.3)]:
            del limits[name]
        net.node("Clip", [net.at], net.shape, **limits)
    elif choice == "Clip":
        inputs = [net.at, *(net.constant(limit) if net.yes(0.7) else "" for limit in (low, high))]
        net.node("Clip", inputs, net.shape)
    elif choice == "LeakyRelu":
        net.node("LeakyRelu", [net.at], net.shape, **({"alpha": float(low)} if net.yes(0.7) else {}))
    elif choice == "PRelu":
        shape = net.pick([(1,), (net.shape[0], *[1] * (len(net.shape) - 1))])
        net.node("PRelu", [net.at, net.constant(net.rng.normal(0, 1, shape))], net.shape)
    elif choice in ("Max", "Min") and net.opset >= 8 and (net.opset >= 12 or net.kind is not np.float16):
        inputs = [net.at, *(net.constant(net.rng.normal(0, 1, net.pick([(), (1,)]))) for _ in range(2))]
        net.node(str(choice), inputs[: net.pick([1, 2, 2, 3])], net.shape)  # type: ignore[misc]
    else:
        net.node("Relu", [net.at], net.shape)


def arithmetic(net: Network) -> None:
    operator = str(net.pick(["Add", "Sub", "Mul", "Div", "Neg", "Sum"]))
    partners = [name for name, shape in net.earlier if shape == net.shape]
    if operator in ("Add", "Sub", "Sum", "Mul") and partners and net.yes(0.7):
        inputs = [net.at, str(net.pick(partners))]
        net.node(operator, inputs[::-1] if net.yes() else inputs, net.shape)
        return
    if operator == "Neg":
        net.node("Neg", [net.at], net.shape)
        return
    if operator == "Sum" and net.opset < 8:  # it does not broadcast
        operator = "Add"
    lead = [1] * (len(net.shape) - 1)
    shape = net.pick([(), (1,), (net.shape[0], *lead), (1, net.shape[0], *lead)])
    values = net.rng.uniform(0.5, 2, shape) * net.rng.choice([-1, 1], shape)
    inputs = [net.at, net.constant(values)]
    net.node(operator, inputs[::-1] if operator != "Div" and net.yes(0.3) else inputs, net.shape)


def shapes_as_constants(net: Network) -> None:
    """A factor that is computed from a shape, as exporters leave it."""
    attributes, first = {}, 0
    if net.opset >= 15 and net.yes():
        first = int(net.rng.integers(1, len(net.shape) + 1))
        attributes = {"start": first} if net.yes() else {"start": first - len(net.shape) - 1}
    shape, at, count = net.shape, net.at, len(net.nodes)
    net.nodes.append(helper.make_node("Shape", [at], [f"s{count}"], **attributes))
    axis = int(net.rng.integers(max(first, 1), len(shape) + 1))
    index = net.constant(axis - first, np.int64)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(net.kind))
    net.nodes.append(helper.make_node("Gather", [f"s{count}", index], [f"d{count}"]))
    net.nodes.append(helper.make_node("Cast", [f"d{count}"], [f"f{count}"], to=kind))
    net.node("Div", [at, f"f{count}"], shape)


def pad(net: Network) -> None:
    axes = len(net.shape) + 1
    pads = [0, 0, *net.numbers(0, 2, axes - 2), 0, 0, *net.numbers(0, 2, axes - 2)]
    shape = (net.shape[0], *(size + pads[i] + pads[i + axes] for i, size in enumerate(net.shape[1:], 2)))
    attributes = {"mode": "constant"} if net.yes(0.3) else {}
    if net.opset < 11:
        net.node("Pad", [net.at], shape, pads=pads, **attributes)
    else:
        inputs = [net.at, net.constant(pads, np.int64)]
        if net.yes(0.3):
            inputs.append(net.constant(0.0))
        net.node("Pad", inputs, shape, **attributes)


def join(net: Network) -> None:
    partners = [(name, shape) for name, shape in net.earlier if shape[1:] == net.shape[1:]]
    parts = [(net.at, net.shape), *(net.pick(partners) for _ in range(1 if partners else 0))]
    if net.yes():
        parts.reverse()
    shape = (sum(shape[0] for _, shape in parts), *net.shape[1:])
    net.node("Concat", [name for name, _ in parts], shape, axis=net.axis(1))


def nothing(net: Network) -> None:
    """What changes nothing: Identity, Dropout, a Cast to another real type and back."""
    choice = net.pick(["Identity", "Dropout", "Cast"])
    if choice == "Cast":
        own = helper.np_dtype_to_tensor_dtype(np.dtype(net.kind))
        wide = TensorProto.DOUBLE if net.kind is not np.float64 else own
        net.node("Cast", [net.at], net.shape, to=wide)
        net.node("Cast", [net.at], net.shape, to=own)
        net.earlier.pop()  # of the wide type
    elif choice == "Dropout":
        attributes = {"ratio": 0.3} if net.opset < 12 and net.yes() else {}
        inputs = [net.at]
        if net.opset >= 12 and net.yes():
            inputs += [net.constant(0.3, np.float32)] + ([net.constant(False, np.bool_)] if net.yes() else [])
        net.node("Dropout", inputs, net.shape, **attributes)
    else:
        net.node("Identity", [net.at], net.shape)


def views(net: Network) -> None:
    """An Unsqueeze and a Squeeze of the same axis, or a Transpose there and back."""
    rank = len(net.shape) + 1
    if net.yes():
        order = [0, *(int(axis) + 1 for axis in net.rng.permutation(rank - 1))]
        before = net.shape
        net.node("Transpose", [net.at], tuple(before[axis - 1] for axis in order[1:]), perm=order)
        if net.yes(0.8):
            net.node("Transpose", [net.at], before, perm=[int(axis) for axis in np.argsort(order)])
        return
    if rank == 4:
        return
    before, axis = net.shape, int(net.rng.integers(1, rank + 1))
    longer = (*before[: axis - 1], 1, *before[axis - 1 :])
    for operator, shape in (("Unsqueeze", longer), ("Squeeze", before)):
        if net.opset >= 13:
            net.node(operator, [net.at, net.constant([axis], np.int64)], shape)
        else:
            net.node(operator, [net.at], shape, axes=[axis])


def flatten(net: Network) -> None:
    size = int(np.prod(net.shape))
    if net.yes():
        net.node("Flatten", [net.at], (size,), **({"axis": net.axis(1)} if net.yes() else {}))
        return
    first = net.pick([-1, 0, net.batch if isinstance(net.batch, int) else 0])
    target = [first, size] if first == -1 else [first, net.pick([-1, size])]
    attributes = {"allowzero": 0} if net.opset >= 14 and net.yes() else {}
    net.node("Reshape", [net.at, net.constant(target, np.int64)], (size,), **attributes)


def linear(net: Network) -> None:
    (size,) = net.shape
    out = int(net.rng.integers(1, 7))
    if net.yes(0.3):
        net.node("MatMul", [net.at, net.weights(size, out)], (out,))
        return
    attributes: dict[str, object] = {}
    transposed = net.yes()
    if transposed or net.yes(0.3):
        attributes["transB"] = int(transposed)
    for name in ("alpha", "beta"):
        if net.yes(0.3):
            attributes[name] = float(net.rng.uniform(0.5, 2))
    inputs = [net.at, net.weights(*((out, size) if transposed else (size, out)))]
    if net.opset < 11 or net.yes(0.8):
        inputs.append(net.constant(net.rng.normal(0, 1, net.pick([(out,), (1, out), (1,), ()]))))
    net.node("Gemm", inputs, (out,), **attributes)


def finish(net: Network) -> None:
    """A softmax, an argmax, or neither."""
    choice = net.pick(["Softmax", "LogSoftmax", "ArgMax", "", "", ""])
    if choice in ("Softmax", "LogSoftmax") and (len(net.shape) == 1 or net.opset >= 13):
        net.node(str(choice), [net.at], net.shape, axis=net.axis(1))
    if choice == "ArgMax" and net.kind is not np.float16:
        keep = net.yes()
        attributes = {} if keep and net.yes() else {"keepdims": int(keep)}
        if net.opset >= 12 and net.yes(0.3):
            attributes["select_last_index"] = 0
        net.node("ArgMax", [net.at], (1, *net.shape[1:]) if keep else net.shape[1:], axis=1, **attributes)


IMAGE: list[Callable[[Network], None]] = [
    conv, conv, conv, pool, pool, normalize, activation, activation, arithmetic, arithmetic, pad, join, nothing,
    views, shapes_as_constants,
]  # fmt: skip
VECTOR: list[Callable[[Network], None]] = [
    linear, linear, linear, activation, arithmetic, normalize, nothing, join, views, shapes_as_constants
]  # fmt: skip


def generate(seed: int) -> onnx.ModelProto:
    """A valid network; the same for the same seed."""
    net = Network(seed)
    own = helper.np_dtype_to_tensor_dtype(np.dtype(net.kind))
    rank = net.pick([1, 2, 3, 3, 3, 3])
    shape = tuple(net.numbers(1, 9 if rank > 1 else 12, rank))  # type: ignore[arg-type]
    element = net.pick([own] * 6 + [TensorProto.UINT8, TensorProto.INT8])
    net.at, net.shape = net.input(shape, element), shape  # type: ignore[arg-type]
    if element != own:
        net.node("Cast", [net.at], shape, to=own)
        net.earlier.clear()
    if rank == 3 and net.yes(0.2):
        net.node("Transpose", [net.at], (shape[2], *shape[:2]), perm=[0, 3, 1, 2])
    for _ in range(int(net.rng.integers(1, 5))):
        net.pick(VECTOR if len(net.shape) == 1 else IMAGE)(net)  # type: ignore[operator]
    if len(net.shape) > 1 and net.yes(0.6):
        if net.yes(0.4):
            global_pool(net)
        if len(net.shape) > 1:
            flatten(net)
        for _ in range(int(net.rng.integers(0, 3))):
            net.pick(VECTOR)(net)  # type: ignore[operator]
    finish(net)
    if not net.nodes:
        net.node("Identity", [net.at], net.shape)
    return model(net)
