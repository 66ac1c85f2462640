"""The four networks of MLPerf Tiny as ONNX models, from the official weights and architectures, and their data.

The files are described in the data folder's README (HWQUANT_DATA); the models are built layer by layer as the
architecture files say, BatchNorm and all, with NHWC inputs as the originals have them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import onnx
from datasets import data_folder
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

NAMES = {"ic": "ResNet8", "kws": "DS-CNN", "vww": "MobileNetV1-0.25", "ad": "autoencoder"}
OPSET = 17


@dataclass(frozen=True)
class Data:
    """Inputs of one network.

    ``calibration`` is never part of what is tested; ``x``, ``y`` is the labelled test set (or None);
    ``reference`` are the 16 reference inputs and ``expected`` what the float network gives for them.
    """

    calibration: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.int64] | None
    reference: NDArray[np.float32]
    expected: NDArray[np.float64]


def model(name: str) -> onnx.ModelProto:
    """The network without its final softmax: what is compared are logits."""
    folder = data_folder() / "mlperf_tiny"
    layers = json.loads((folder / f"{name}_architecture.json").read_text())["layers"]
    with np.load(folder / f"{name}_weights.npz", allow_pickle=False) as file:
        weights = {key: file[key] for key in file.files}
    nodes, constants, tensor = [], [], {}
    source = layers[0]

    def constant(key: str, value: NDArray[np.float32]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), key))
        return key

    for layer in layers:
        key, kind = layer["name"], layer["type"]
        inputs = [tensor[item] for item in layer["inputs"]]
        tensor[key] = key
        if kind == "Input":
            if len(layer["shape"]) == 3:
                nodes.append(
                    helper.make_node("Transpose", ["input"], [key], f"{key}/nchw", perm=[0, 3, 1, 2])
                )
            else:
                tensor[key] = "input"
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            kernel = weights[f"{key}/kernel"]
            depthwise = kind == "DepthwiseConv2D"
            kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
            operands = [*inputs, constant(f"{key}/kernel", kernel)]
            if f"{key}/bias" in weights:
                operands.append(constant(f"{key}/bias", weights[f"{key}/bias"]))
            top, bottom, left, right = layer["explicit_padding_top_bottom_left_right"]
            nodes.append(
                helper.make_node(
                    "Conv",
                    operands,
                    [key],
                    key,
                    strides=layer["strides"],
                    pads=[top, left, bottom, right],
                    group=len(kernel) if depthwise else 1,
                )
            )
        elif kind == "BatchNormalization":
            statistics = [weights[f"{key}/{item}"] for item in ("beta", "moving_mean", "moving_variance")]
            gamma = weights.get(f"{key}/gamma", np.ones_like(statistics[0]))
            operands = [constant(f"{key}/{index}", value) for index, value in enumerate([gamma, *statistics])]
            nodes.append(
                helper.make_node(
                    "BatchNormalization", [*inputs, *operands], [key], key, epsilon=layer["epsilon"]
                )
            )
        elif kind in ("Activation", "ReLU"):
            nodes.append(helper.make_node("Relu", inputs, [key], key))
        elif kind == "Add":
            nodes.append(helper.make_node("Add", inputs, [key], key))
        elif kind == "AveragePooling2D":
            nodes.append(
                helper.make_node(
                    "AveragePool", inputs, [key], key, kernel_shape=layer["pool"], strides=layer["strides"]
                )
            )
        elif kind == "Dense":
            operands = [constant(f"{key}/kernel", weights[f"{key}/kernel"])]
            operands.append(constant(f"{key}/bias", weights[f"{key}/bias"]))
            nodes.append(helper.make_node("Gemm", [*inputs, *operands], [key], key))
        elif kind in ("Flatten", "Reshape"):
            nodes.append(helper.make_node("Flatten", inputs, [key], key))
        elif kind == "Dropout":
            tensor[key] = inputs[0]
        else:
            raise ValueError(f"{name}: layer {key!r} has the unknown type {kind!r}")
    last = tensor[layers[-1]["name"]]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *source["shape"]])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", *layers[-1]["output_shape"]])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def data(name: str) -> Data:
    """Calibration, test and reference inputs as float arrays in the model's own layout.

    Calibration: ``ic`` 500 exact training images; ``vww`` 200 CIFAR-10 training images, enlarged, since there
    are no labelled ones; ``ad`` the windows of the sample recording that share no frame with a reference;
    ``kws`` none (there is no training data): see :func:`halves`.
    """
    folder = data_folder()
    with np.load(folder / "mlperf_tiny" / f"{name}_reference.npz", allow_pickle=False) as file:
        reference = {key: file[key] for key in file.files}
    expected = reference["output_float64_from_weights"]
    none = np.zeros((0,), np.float32)
    if name in ("ic", "vww"):
        with np.load(folder / "cifar10" / "cifar10_raw_train_subset.npz", allow_pickle=False) as file:
            train = file["images"]
    if name == "ic":
        with np.load(folder / "cifar10" / "cifar10_raw_test_subset.npz", allow_pickle=False) as file:
            x, y = file["images"].astype(np.float32), file["labels"].astype(np.int64)
        images = reference["input_uint8"].astype(np.float32)
        return Data(train[:500].astype(np.float32), x, y, images, expected)
    if name == "vww":
        enlarged = train[:200].repeat(3, axis=1).repeat(3, axis=2).astype(np.float32) / 255
        images = reference["input_uint8"].astype(np.float32) / 255
        return Data(enlarged, images, None, images, expected)
    if name == "kws":
        with np.load(folder / "mlperf_tiny" / "kws01.npz", allow_pickle=False) as file:
            real = (file["inputs"].astype(np.float32) - file["input_zero_point"]) * file["input_scale"]
            labels = file["labels"].astype(np.int64)
        x = real.reshape(-1, 49, 10, 1).astype(np.float32)
        return Data(none, x, labels, reference["input_float"].astype(np.float32), expected)
    with np.load(folder / "mlperf_tiny" / "ad01_normal_sample.npz", allow_pickle=False) as file:
        spectrogram = file["spectrogram"].astype(np.float32)
    used = {frame for start in reference["window_start_frame"].tolist() for frame in range(start, start + 5)}
    starts = [i for i in range(len(spectrogram) - 4) if not used & set(range(i, i + 5))]
    windows = np.stack([spectrogram[i : i + 5].reshape(640) for i in starts])
    images = reference["input_float"].astype(np.float32)
    return Data(windows, images, None, images, expected)


def halves(x: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """(calibration, test) pairs such that every sample is tested by a network that never saw its half."""
    middle = len(x) // 2
    first, second = slice(0, middle), slice(middle, len(x))
    return [(first, second), (second, first)]
