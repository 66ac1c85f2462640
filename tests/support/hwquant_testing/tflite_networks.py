"""Random quantized networks as TensorFlow Lite files, operator by operator, and what LiteRT makes of every tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hwquant_testing.tflite_files import Operation, Tensor, built, constant
from numpy.typing import NDArray

SAME, VALID = 0, 1


@dataclass(frozen=True)
class Held:
    """A tensor of the file: its number, shape, scale and zero point, and about how large its numbers are."""

    number: int
    shape: tuple[int, ...]
    scale: float
    zero: int
    spread: float


class QuantizedFile:
    """A file in the making.

    Parameters
    ----------
    seed : int
        What everything random depends on.
    dtype : dtype
        int8 or uint8, of activations.
    shape : tuple of int
        The input's, (1, H, W, C).
    """

    def __init__(self, seed: int, dtype: Any, shape: tuple[int, ...] = (1, 8, 8, 4)) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.tensors: list[Tensor] = []
        self.operations: list[Operation] = []
        self.input = self.tensor(shape, 1.0)

    @property
    def signed(self) -> bool:
        return self.dtype is np.int8

    def tensor(self, shape: Sequence[int], spread: float, like: Held | None = None, **own: Any) -> Held:
        """A tensor of numbers about as large as ``spread``; with the scale of another one, or of its own."""
        low = -128 if self.signed else 0
        scale = own.get("scale", float(np.float32(spread * self.rng.uniform(2.0, 4.0) / 128)))
        zero = own.get("zero", int(low + self.rng.integers(60, 200)))
        if like is not None:
            scale, zero = like.scale, like.zero
        self.tensors.append(Tensor(tuple(shape), self.dtype, scales=(scale,), zeros=(zero,)))
        return Held(len(self.tensors) - 1, tuple(shape), scale, zero, spread)

    def constant(self, array: Any, dtype: Any = np.int32, **meaning: Any) -> int:
        self.tensors.append(constant(array, dtype, **meaning))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], made: Held, table: str = "", **options: Any) -> Held:
        self.operations.append(Operation(kind, inputs, (made.number,), table, options))
        return made

    def weights(self, shape: tuple[int, ...], axis: int, x: Held, channels: int) -> tuple[int, int, float]:
        """Weights and a bias by number, and about how large a sum is."""
        fan = math.prod(shape) // channels
        count = channels if self.signed and self.rng.random() < 0.7 else 1
        scales = tuple(float(np.float32(s)) for s in self.rng.uniform(0.5, 1.5, count) / 64 / math.sqrt(fan))
        if self.signed:
            array, zeros = self.rng.integers(-127, 128, shape), (0,) * count
        else:
            array, zeros = self.rng.integers(0, 256, shape), (int(self.rng.integers(90, 160)),)
        weight = self.constant(array, self.dtype, scales=scales, zeros=zeros, axis=axis if count > 1 else 0)
        units = np.float32(x.scale) * np.array(scales, np.float32)
        bias = np.round(self.rng.normal(0, 0.3, channels) * x.spread / units).astype(np.int32)
        number = self.constant(bias, scales=tuple(units.tolist()), zeros=(0,) * count)
        return weight, number, x.spread * float(np.mean(scales)) * 74 * math.sqrt(fan)

    def window(self, **more: Any) -> dict[str, Any]:
        stride = int(self.rng.choice([1, 1, 2]))
        return {"StrideW": stride, "StrideH": stride, "Padding": int(self.rng.integers(2)), **more}

    def made(self, x: Held, window: dict[str, Any], kernel: tuple[int, int]) -> tuple[int, int]:
        """Height and width behind a window."""
        stride = window["StrideH"]
        sizes = [
            -(-size // stride) if window["Padding"] == SAME else -(-(size - span + 1) // stride)
            for size, span in zip(x.shape[1:3], kernel)
        ]
        return sizes[0], sizes[1]

    def bytes(self, outputs: Sequence[Held]) -> bytes:
        return built(
            self.tensors, self.operations, [self.input.number], [output.number for output in outputs]
        )


def conv(file: QuantizedFile, x: Held) -> Held:
    kernel, channels = (
        (int(file.rng.integers(1, 4)), int(file.rng.integers(1, 4))),
        int(file.rng.choice([4, 6])),
    )
    weight, bias, spread = file.weights((channels, *kernel, x.shape[3]), 0, x, channels)
    window = file.window(FusedActivationFunction=int(file.rng.choice([0, 1, 3])))
    made = file.tensor((1, *file.made(x, window, kernel), channels), spread)
    return file.operator("CONV_2D", (x.number, weight, bias), made, "Conv2DOptions", **window)


def depthwise(file: QuantizedFile, x: Held) -> Held:
    times = int(file.rng.integers(1, 3))
    weight, bias, spread = file.weights((1, 3, 3, x.shape[3] * times), 3, x, x.shape[3] * times)
    window = file.window(DepthMultiplier=times, FusedActivationFunction=int(file.rng.choice([0, 1])))
    made = file.tensor((1, *file.made(x, window, (3, 3)), x.shape[3] * times), spread)
    return file.operator(
        "DEPTHWISE_CONV_2D", (x.number, weight, bias), made, "DepthwiseConv2DOptions", **window
    )


def transposed(file: QuantizedFile, x: Held) -> Held:
    channels = 3
    shape = (1, 2 * x.shape[1], 2 * x.shape[2], channels)
    weight, _, spread = file.weights((channels, 2, 2, x.shape[3]), 0, x, channels)
    size, made = file.constant(shape), file.tensor(shape, spread / 2)
    options = {"StrideW": 2, "StrideH": 2, "Padding": SAME}
    return file.operator("TRANSPOSE_CONV", (size, weight, x.number), made, "TransposeConvOptions", **options)


def pool(kind: str) -> Any:
    def add(file: QuantizedFile, x: Held) -> Held:
        kernel = (2, 2) if file.rng.random() < 0.5 else (3, 3)
        window = file.window(FilterWidth=kernel[1], FilterHeight=kernel[0])
        window["Padding"] = VALID if kind == "AVERAGE_POOL_2D" else window["Padding"]
        made = file.tensor((1, *file.made(x, window, kernel), x.shape[3]), x.spread, x)
        return file.operator(kind, (x.number,), made, "Pool2DOptions", **window)

    return add


def mean(file: QuantizedFile, x: Held) -> Held:
    made = file.tensor((1, 1, 1, x.shape[3]), x.spread / 2)
    return file.operator("MEAN", (x.number, file.constant([1, 2])), made, "ReducerOptions", KeepDims=True)


def binary(kind: str, table: str) -> Any:
    def add(file: QuantizedFile, x: Held) -> Held:
        other = function("LOGISTIC")(file, x) if file.rng.random() < 0.4 else requantized(file, x)
        spread = x.spread * (other.spread if kind == "MUL" else 1.5)
        made = file.tensor(x.shape, spread)
        options = {"FusedActivationFunction": int(file.rng.choice([0, 1]))}
        return file.operator(kind, (x.number, other.number), made, table, **options)

    return add


def scaled(file: QuantizedFile, x: Held) -> Held:
    """A product with a constant of each channel, and a sum with one."""
    kind, table = ("MUL", "MulOptions") if file.rng.random() < 0.5 else ("ADD", "AddOptions")
    factor = file.constant(
        file.rng.integers(10, 120, (1, 1, 1, x.shape[3])), file.dtype, scales=(0.02,), zeros=(0,)
    )
    made = file.tensor(x.shape, x.spread * (1.3 if kind == "MUL" else 2))
    return file.operator(kind, (x.number, factor), made, table, FusedActivationFunction=0)


def concatenated(file: QuantizedFile, x: Held) -> Held:
    other = (
        requantized(file, x)
        if file.rng.random() < 0.5
        else file.operator(
            "MAX_POOL_2D",
            (x.number,),
            file.tensor(x.shape, x.spread, x),
            "Pool2DOptions",
            StrideW=1,
            StrideH=1,
            FilterWidth=3,
            FilterHeight=3,
            Padding=SAME,
        )
    )
    shape = (*x.shape[:3], 2 * x.shape[3])
    made = file.tensor(shape, x.spread, x if (other.scale, other.zero) == (x.scale, x.zero) else None)
    return file.operator("CONCATENATION", (x.number, other.number), made, "ConcatenationOptions", Axis=3)


def requantized(file: QuantizedFile, x: Held) -> Held:
    return file.operator("QUANTIZE", (x.number,), file.tensor(x.shape, x.spread), "QuantizeOptions")


def function(kind: str, table: str = "", **options: Any) -> Any:
    fixed = {"LOGISTIC": (1 / 256, -128, 0.7), "TANH": (1 / 128, 0, 0.7)}

    def add(file: QuantizedFile, x: Held) -> Held:
        if kind in fixed:
            scale, zero, spread = fixed[kind]
            made = file.tensor(x.shape, spread, scale=scale, zero=zero + (0 if file.signed else 128))
        else:
            made = file.tensor(x.shape, x.spread)
        return file.operator(kind, (x.number,), made, table, **options)

    return add


def prelu(file: QuantizedFile, x: Held) -> Held:
    slope = file.constant(
        file.rng.integers(5, 100, (1, 1, x.shape[3])), file.dtype, scales=(0.005,), zeros=(3,)
    )
    return file.operator("PRELU", (x.number, slope), file.tensor(x.shape, x.spread))


def padded(file: QuantizedFile, x: Held) -> Held:
    pads = np.array([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32)
    shape = tuple(size + int(row.sum()) for size, row in zip(x.shape, pads))
    return file.operator(
        "PAD", (x.number, file.constant(pads)), file.tensor(shape, x.spread, x), "PadOptions"
    )


def resized(kind: str, table: str) -> Any:
    def add(file: QuantizedFile, x: Held) -> Held:
        sizes = [2 * size for size in x.shape[1:3]]
        made = file.tensor((1, *sizes, x.shape[3]), x.spread, x)
        options = {"HalfPixelCenters": bool(file.rng.integers(2))}
        return file.operator(kind, (x.number, file.constant(sizes)), made, table, **options)

    return add


def sliced(file: QuantizedFile, x: Held) -> Held:
    if file.rng.random() < 0.5:
        shape = (1, max(1, x.shape[1] - 1), max(1, x.shape[2] - 2), x.shape[3])
        inputs = (
            x.number,
            file.constant([0, int(x.shape[1] > 1), int(x.shape[2] > 2), 0]),
            file.constant([1, shape[1], shape[2], -1]),
        )
        return file.operator("SLICE", inputs, file.tensor(shape, x.spread, x), "SliceOptions")
    shape = (1, -(-x.shape[1] // 2), x.shape[2], x.shape[3])
    bounds = [
        file.constant(item) for item in ([0, 0, 0, 0], [1, x.shape[1], x.shape[2], x.shape[3]], [1, 2, 1, 1])
    ]
    return file.operator(
        "STRIDED_SLICE", (x.number, *bounds), file.tensor(shape, x.spread, x), "StridedSliceOptions"
    )


def split(file: QuantizedFile, x: Held) -> Held:
    shape = (*x.shape[:3], x.shape[3] // 2)
    halves = [file.tensor(shape, x.spread, x) for _ in range(2)]
    axis = file.constant(3)
    file.operations.append(
        Operation(
            "SPLIT", (axis, x.number), [half.number for half in halves], "SplitOptions", {"NumSplits": 2}
        )
    )
    made = file.tensor(shape, x.spread * 1.5)
    numbers = (halves[0].number, halves[1].number)
    return file.operator("ADD", numbers, made, "AddOptions", FusedActivationFunction=0)


STEPS = {
    "conv": conv,
    "depthwise": depthwise,
    "transposed": transposed,
    "max_pool": pool("MAX_POOL_2D"),
    "average_pool": pool("AVERAGE_POOL_2D"),
    "mean": mean,
    "add": binary("ADD", "AddOptions"),
    "sub": binary("SUB", "SubOptions"),
    "mul": binary("MUL", "MulOptions"),
    "scaled": scaled,
    "concatenated": concatenated,
    "requantized": requantized,
    "logistic": function("LOGISTIC"),
    "tanh": function("TANH"),
    "hard_swish": function("HARD_SWISH", "HardSwishOptions"),
    "leaky_relu": function("LEAKY_RELU", "LeakyReluOptions", Alpha=0.2),
    "relu6": function("RELU6"),
    "prelu": prelu,
    "padded": padded,
    "nearest": resized("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "bilinear": resized("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "sliced": sliced,
    "split": split,
}
"""What a network can be made of: functions from a file and an image to the next one."""


def network(seed: int, dtype: Any, names: Sequence[str], classes: int = 0) -> bytes:
    """A file of the steps by name behind a convolution; a linear layer over all at the end where there are classes."""
    file = QuantizedFile(seed, dtype)
    x = conv(file, file.input)
    for name in names:
        x = STEPS[name](file, x)
    if classes:
        flat = file.tensor((1, math.prod(x.shape)), x.spread, x)
        shape = file.constant(flat.shape)
        file.operator("RESHAPE", (x.number, shape), flat, "ReshapeOptions")
        weight, bias, spread = file.weights((classes, flat.shape[1]), 0, flat, classes)
        x = file.tensor((1, classes), spread)
        file.operator("FULLY_CONNECTED", (flat.number, weight, bias), x, "FullyConnectedOptions")
    return file.bytes([x])


@dataclass(frozen=True)
class Integers:
    """The integers of a tensor for samples (N, ...), signed, and what they stand for."""

    q: NDArray[np.int64]
    scale: float
    zero_point: int


def every_tensor(path: Path, samples: NDArray[Any]) -> dict[str, Integers]:
    """What LiteRT makes of samples (N, ...): each tensor's integers by its name."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (item,) = interpreter.get_input_details()
    details = [found for found in interpreter.get_tensor_details() if found["dtype"] in (np.int8, np.uint8)]
    made: dict[str, list[NDArray[np.int64]]] = {}
    for sample in samples:
        interpreter.set_tensor(item["index"], sample[None])
        interpreter.invoke()
        for detail in details:
            value = interpreter.get_tensor(detail["index"]).astype(np.int64)
            if detail["name"] and value.shape[:1] == (1,):
                made.setdefault(detail["name"], []).append(value)
    result = {}
    for detail in details:
        if detail["name"] in made:
            middle = 128 if detail["dtype"] is np.uint8 else 0
            scale, zero = detail["quantization"]
            result[detail["name"]] = Integers(
                np.concatenate(made[detail["name"]]) - middle, scale, zero - middle
            )
    return result
