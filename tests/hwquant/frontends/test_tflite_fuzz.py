"""Damaged TensorFlow Lite files: refused by one error, soon, or what LiteRT reads as well; never a crash.

``HWQUANT_FUZZ_CASES`` and ``HWQUANT_FUZZ_SEED`` make longer campaigns of the nightly ones.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import hwquant_testing.litert_process
import numpy as np
import onnx
import pytest
import tflite
from hwquant_testing.limits import attempt
from hwquant_testing.seeds import seed_ranges
from hwquant_testing.tflite_files import Operation, Tensor, built, constant
from hwquant_testing.tflite_kept import densified, pruned, sparse, streaming
from hwquant_testing.tflite_mutations import mutated
from hwquant_testing.tflite_networks import network as random_network

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.frontends.tflite_onnx import tflite_as_onnx

SPARSE = (np.uint8, 2, np.uint16, np.int32, 2)
"""Levels of weights (8, 2, 3, 6), blocks of two rows among them."""


@pytest.fixture(scope="module")
def files():
    """Bytes of networks: of float numbers with two branches, of integers, with variables, with sparse weights."""
    rng = np.random.default_rng(0)
    weights = [constant(rng.standard_normal(shape)) for shape in ((4, 3, 3, 2), (4,), (1, 3, 3, 4), (4,))]
    tensors = [
        Tensor((1, 8, 8, 2)),
        *weights,
        *(Tensor((1, 4, 4, 4)) for _ in range(3)),
        constant([1, -1], np.int32),
        Tensor((1, 128)),
        constant(rng.standard_normal((3, 128))),
        constant(rng.standard_normal(3)),
        *(Tensor((1, 3)) for _ in range(2)),
    ]
    window = {"StrideW": 2, "StrideH": 2, "FusedActivationFunction": 1}
    steps = [
        Operation("CONV_2D", (0, 1, 2), (5,), "Conv2DOptions", window),
        Operation(
            "DEPTHWISE_CONV_2D",
            (5, 3, 4),
            (6,),
            "DepthwiseConv2DOptions",
            {"StrideW": 1, "StrideH": 1, "DepthMultiplier": 1},
        ),
        Operation("CONCATENATION", (5, 6), (7,), "ConcatenationOptions", {"Axis": 3}),
        Operation("RESHAPE", (7, 8), (9,), "ReshapeOptions"),
        Operation("FULLY_CONNECTED", (9, 10, 11), (12,), "FullyConnectedOptions"),
        Operation("SOFTMAX", (12,), (13,), "SoftmaxOptions", {"Beta": 1.0}),
    ]
    network = built(tensors, steps, [0], [13])
    scale = {"scales": (0.1,), "zeros": (3,)}
    kernel = constant(
        rng.integers(-127, 128, (4, 3, 3, 2)), np.int8, scales=(0.01, 0.02, 0.03, 0.04), zeros=(0,) * 4
    )
    bias = constant(rng.integers(-99, 99, 4), np.int32, scales=(0.001, 0.002, 0.003, 0.004), zeros=(0,) * 4)
    tensors = [
        Tensor((1, 6, 6, 2), np.int8, **scale),
        kernel,
        bias,
        *(Tensor((1, n, n, 4), np.int8, scales=(0.2,), zeros=(-128,)) for n in (6, 3)),
    ]
    pool = {"FilterWidth": 2, "FilterHeight": 2, "StrideW": 2, "StrideH": 2}
    steps = [
        Operation("CONV_2D", (0, 1, 2), (3,), "Conv2DOptions", window | {"StrideW": 1, "StrideH": 1}),
        Operation("MAX_POOL_2D", (3,), (4,), "Pool2DOptions", pool),
    ]
    more = [
        random_network(seed, dtype, names, classes)
        for seed, (dtype, names, classes) in enumerate(
            [
                (np.int8, ("add", "logistic", "split"), 5),
                (np.uint8, ("depthwise", "mul", "max_pool", "mean"), 5),
                (np.int8, ("prelu", "padded", "concatenated", "transposed"), 0),
            ]
        )
    ]
    kept = [
        streaming(0),
        densified(sparse(pruned(1, (8, 2, 3, 6), np.float16, 2), SPARSE, [3, 1, 2, 0, 4], [0]), half=True),
    ]
    return [network, built(tensors, steps, [0], [4]), *more, *kept]


class LiteRT:
    """The process that reads files; it is started again where one has ended it."""

    def __init__(self):
        self.process = None

    def answer(self, path: Path) -> str:
        if self.process is None:
            command = [sys.executable, hwquant_testing.litert_process.__file__]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        if not line:
            self.close()
        return line or "ended"

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def oracle():
    found = LiteRT()
    yield found
    found.close()


@pytest.mark.parametrize("seeds", seed_ranges(100, 4000))
def test_mutated_files_are_refused_or_read_by_litert_too(files, oracle, tmp_path, seeds):
    path, counts = tmp_path / "net.tflite", Counter()
    for seed in seeds:
        path.write_bytes(mutated(files[seed % len(files)], seed))
        try:
            model = attempt(tflite_as_onnx, path)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        counts[type(model).__name__] += 1
        if isinstance(model, HwquantError):
            assert isinstance(model, Damaged | Unsupported), f"seed {seed}"
            assert "TensorFlow Lite file" in str(model), f"seed {seed}: {model}"
            continue
        onnx.checker.check_model(model)
        answer = oracle.answer(path)
        # Which versions of an operator there are is not in the schema: they differ in the types that they take.
        assert answer == "read" or "builtin opcode" in answer, f"seed {seed}: {answer}"
    print(dict(counts))
    assert min(counts["ModelProto"], counts["Damaged"]) >= len(seeds) // 10


def test_every_truncation_is_refused(files, tmp_path):
    path = tmp_path / "net.tflite"
    for data in files:
        for size in range(0, len(data), 31):
            path.write_bytes(data[:size])
            error = attempt(tflite_as_onnx, path)
            assert isinstance(error, Damaged), size
            assert f"'{path}' is a TensorFlow Lite file that is damaged or truncated" in str(error)


def test_a_table_that_is_read_a_million_times_is_refused_soon(files, tmp_path):
    data = bytearray(files[0])
    end = len(data) + -len(data) % 4
    path = tmp_path / "net.tflite"
    path.write_bytes(bytes(data).ljust(end, b"\0") + (1 << 20).to_bytes(4, "little") + bytes(4 << 20))
    content = bytearray(path.read_bytes())
    graph = tflite.Model.GetRootAs(bytes(data)).Subgraphs(0)
    place = graph._tab.Pos + graph._tab.Offset(4)  # where its tensors are
    content[place : place + 4] = (end - place).to_bytes(4, "little")
    path.write_bytes(content)
    error = attempt(tflite_as_onnx, path)
    assert isinstance(error, Damaged)
    assert "it has 1048576 Tensors" in str(error)
