"""TensorFlow Lite's convolutions, linear layers and pools as nodes of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends.tflite_call import Image, TfliteCall
from hwquant.frontends.tflite_model import Quantization

SAME, VALID = 0, 1
"""Values of the option Padding."""

MOST_OFF = 0.02
"""How far the scale of a bias may be from that of the products, in steps of the result."""

MOST_PIXELS = 1 << 15
"""Where strides, dilations and windows end: runtimes take numbers of 16 bits."""


def _positive(call: TfliteCall, *names: str) -> tuple[int, ...]:
    """Options that are at least 1."""
    found = tuple(int(call.options[name]) for name in names)
    if not 1 <= min(found) <= max(found) < MOST_PIXELS:
        raise call.invalid(f"its {' and '.join(names)} are {found}")
    return found


def _padding(
    call: TfliteCall, sizes: tuple[int, ...], spans: tuple[int, ...], strides: tuple[int, ...]
) -> list[int]:
    """Pixels around an image, as ONNX lists them: where they are odd in number, more at the end."""
    if call.options["Padding"] == VALID:
        return [0] * (2 * len(sizes))
    totals = [
        max((math.ceil(size / stride) - 1) * stride + span - size, 0)
        for size, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _window(
    call: TfliteCall, image: str, kernel: tuple[int, ...], dilations: tuple[int, ...]
) -> dict[str, Any]:
    """The attributes of a convolution."""
    strides = _positive(call, "StrideH", "StrideW")
    blocks = call.state.blocks.get(call.number(0))
    spans = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilations))
    if blocks is None:
        pads = _padding(call, call.write.shape(image)[2:], spans, strides)
        return {"strides": strides, "dilations": dilations, "pads": pads, "kernel_shape": kernel}
    if strides != (1, 1):
        raise call.refuse("it has a stride between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND")
    inner = _padding(call, (1, 1), spans, strides)  # with stride 1 the size of the image does not matter
    pads = [pad * blocks[index % 2] for index, pad in enumerate(inner)]
    further = tuple(step * block for step, block in zip(dilations, blocks))
    return {"strides": strides, "dilations": further, "pads": pads, "kernel_shape": kernel}


def _check_weights(call: TfliteCall) -> None:
    """Refuse zero points of signed weights, which runtimes take for 0, and weights without the bias that they read."""
    _check_symmetric(call, 1)
    if not call.given(2):
        raise call.invalid("it has no bias")


def _check_symmetric(call: TfliteCall, position: int) -> None:
    """Refuse zero points of signed weights, which runtimes take for 0."""
    meaning, kind = call.quantization(position), call.file.tensors[call.number(position)].kind
    if meaning is not None and kind != "UINT8" and meaning.zero_points.any():
        raise call.refuse("its weights are signed and have a zero point; quantize weights symmetrically")


def _bias(call: TfliteCall, position: int, data: int, weights: int, size: int) -> list[str]:
    """The bias, where there is one: integers are multiples of the scales of input and weights."""
    if not call.given(position):
        return []
    inputs, kernel = call.quantization(data), call.quantization(weights)
    found, shape = call.state.stored.get(call.number(position)), call.shape(position)
    if math.prod(shape) != size:
        raise call.invalid(f"its bias has {math.prod(shape)} elements, not {size}")
    if found is None:
        if inputs is not None or call.quantization(position) is not None:
            raise call.invalid("its bias is computed, and quantized")
        return [call.real(position)]
    array = found.array.ravel()
    if array.dtype.kind == "f":
        if inputs is not None:
            raise call.invalid(f"its bias has numbers of type {found.kind}, its input integers")
        return [call.write.constant(array.astype(np.float32), call.file.tensors[call.number(position)].name)]
    if array.dtype != np.int32 or inputs is None or kernel is None:
        raise call.refuse(f"its bias has integers of type {found.kind} that nothing gives a scale")
    scales = (inputs.scales.astype(np.float64) * kernel.scales).astype(np.float32)
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise call.invalid("the scale of its bias is no positive number")
    _check_bias_scale(call, found.quantization, scales)
    meaning = Quantization(scales, np.zeros(scales.size, np.int64), 0)
    name = call.write.constant(array, call.file.tensors[call.number(position)].name)
    single = scales.shape if scales.size > 1 else ()
    scale = call.write.constant(meaning.scales.reshape(single), f"{call.write.label}/scale")
    attributes = {"axis": 0} if scales.size > 1 else {}
    return [call.write.node("DequantizeLinear", name, scale, **attributes)]


def _check_bias_scale(call: TfliteCall, own: Quantization | None, product: NDArray[np.float32]) -> None:
    """Raise where the one scale of a bias is not that of the products, as runtimes do."""
    result = call.file.tensors[call.operation.outputs[0]].quantization
    if own is None or result is None or own.scales.size > 1 or product.size > 1:
        return
    off = abs(float(own.scales[0]) - float(product[0])) / float(result.scales[0])
    if off > MOST_OFF:
        raise call.invalid(
            f"its bias has the scale {float(own.scales[0]):g}, its products {float(product[0]):g}"
        )


def conv(call: TfliteCall) -> Image:
    """CONV_2D: weights (O, H, W, I), of which I may be a part of the channels."""
    image, shape = call.image(0), call.shape(1)
    _check_weights(call)
    channels = call.write.shape(image)[1]
    if len(shape) != 4 or not min(shape) or channels % shape[3] or shape[0] % (channels // shape[3]):
        raise call.invalid(f"its weights {shape} do not fit {channels} channels")
    weights = call.weights(1, (0, 3, 1, 2))
    window = _window(call, image, shape[1:3], _positive(call, "DilationHFactor", "DilationWFactor"))
    bias = _bias(call, 2, 0, 1, shape[0])
    return Image(call.write.node("Conv", image, weights, *bias, group=channels // shape[3], **window))


def depthwise(call: TfliteCall) -> Image:
    """DEPTHWISE_CONV_2D: weights (1, H, W, C M)."""
    image, shape = call.image(0), call.shape(1)
    _check_weights(call)
    channels = call.write.shape(image)[1]
    if len(shape) != 4 or shape[0] != 1 or not min(shape) or shape[3] % channels:
        raise call.invalid(f"its weights {shape} do not fit {channels} channels")
    if call.options["DepthMultiplier"] not in (0, shape[3] // channels):
        raise call.invalid(f"its weights {shape} do not fit its DepthMultiplier and {channels} channels")
    weights = call.weights(1, (3, 0, 1, 2))
    window = _window(call, image, shape[1:3], _positive(call, "DilationHFactor", "DilationWFactor"))
    bias = _bias(call, 2, 0, 1, shape[3])
    return Image(call.write.node("Conv", image, weights, *bias, group=channels, **window))


def transpose_conv(call: TfliteCall) -> Image:
    """TRANSPOSE_CONV: the result's shape, weights (O, H, W, I), the image, and a bias."""
    made, shape, image = call.integers(0), call.shape(1), call.image(2)
    _check_symmetric(call, 1)
    count, channels, *sizes = call.write.shape(image)
    strides = _positive(call, "StrideH", "StrideW")
    if len(shape) != 4 or len(made) != 4 or shape[3] != channels or (count, shape[0]) != (made[0], made[3]):
        raise call.invalid(f"its weights {shape} and its result {made} do not fit {channels} channels")
    before, after, further = [], [], []
    for size, kernel, stride, result in zip(sizes, shape[1:3], strides, made[1:3]):
        reach = result if call.options["Padding"] == SAME else result - kernel + 1
        if result < 1 or -(-reach // stride) != size:
            raise call.refuse(f"no convolution makes {size} pixels of {result}")
        total = (size - 1) * stride + kernel - result
        before.append(max(total, 0) // 2)
        after.append(max(total, 0) - max(total, 0) // 2)
        further.append(max(-total, 0))
    weights = call.weights(1, (3, 0, 1, 2))
    bias = _bias(call, 3, 2, 1, shape[0])
    return Image(
        call.write.node(
            "ConvTranspose",
            image,
            weights,
            *bias,
            strides=strides,
            pads=before + after,
            output_padding=further,
            kernel_shape=shape[1:3],
        )
    )


def fully_connected(call: TfliteCall) -> str:
    """FULLY_CONNECTED: weights (O, I); the rows are what is left of the input's elements."""
    name, shape = call.real(0), call.shape(1)
    if len(shape) != 2 or not min(shape):
        raise call.invalid(f"its weights have the shape {shape}")
    rows, keeps = call.write.shape(name), bool(call.options.get("KeepNumDims"))
    if math.prod(rows) % shape[1] or (keeps and rows[-1:] != shape[1:]):
        raise call.invalid(f"its weights {shape} do not fit an input of shape {rows}")
    bias = _bias(call, 2, 0, 1, shape[0])
    if keeps and len(rows) != 2:
        product = call.write.node("MatMul", name, call.weights(1, (1, 0)))
        return call.write.node("Add", product, *bias) if bias else product
    if len(rows) != 2 or rows[1] != shape[1]:
        target = np.array([math.prod(rows) // shape[1], shape[1]], np.int64)
        name = call.write.node("Reshape", name, call.write.constant(target))
    return call.write.node("Gemm", name, call.weights(1), *bias, transB=1)


def pool(operator: str) -> Callable[[TfliteCall], Image]:
    """AVERAGE_POOL_2D and MAX_POOL_2D; what is around the image does not count."""

    def translate(call: TfliteCall) -> Image:
        image = call.image(0)
        kernel, strides = (
            _positive(call, "FilterHeight", "FilterWidth"),
            _positive(call, "StrideH", "StrideW"),
        )
        pads = _padding(call, call.write.shape(image)[2:], kernel, strides)
        return Image(call.write.node(operator, image, kernel_shape=kernel, strides=strides, pads=pads))

    return translate
