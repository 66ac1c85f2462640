"""Sparse constants of TensorFlow Lite files are made dense as LiteRT does."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.limits import attempt
from hwquant_testing.tflite_files import Operation, Sparse, Tensor, agree, built, litert, onnx_answers
from hwquant_testing.tflite_kept import densified, pruned, sparse

from hwquant.errors import Damaged, Unsupported
from hwquant.frontends.tflite_onnx import tflite_as_onnx

ORDERS = [
    ([8, 1, 1, np.uint8], [0, 1, 2, 3], []),
    ([8, np.int32, 1, np.uint16], [0, 1, 2, 3], []),
    ([np.uint8, 2, 3, np.int32], [3, 1, 2, 0], []),
    ([2, 2, 3, np.uint8, 4], [0, 1, 2, 3, 4], [0]),
    ([np.uint8, 2, 3, np.uint8, 2, 3], [3, 1, 2, 0, 4, 5], [0, 3]),
    ([8, 2, 3, 6], [0, 1, 2, 3], []),
]


@pytest.mark.parametrize(("levels", "order", "blocks"), ORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_weights_are_what_litert_makes_dense(levels, order, blocks, dtype, tmp_path):
    array = pruned(1, (8, 1, 1, 6) if levels[2] == 1 else (8, 2, 3, 6), dtype, 2)
    path = tmp_path / "net.tflite"
    path.write_bytes(densified(sparse(array, levels, order, blocks), dtype is np.float16))
    feed = np.random.default_rng(0).standard_normal((1, 5, 5, 6)).astype(np.float32)
    agree(onnx_answers(path, [feed])[0], litert(path, [feed])[0])


def test_a_linear_layer_reads_sparse_weights(tmp_path):
    path, array = tmp_path / "net.tflite", pruned(2, (6, 9))
    tensors = [Tensor((1, 9)), sparse(array, [6, np.int32], [0, 1]), Tensor((1, 6))]
    path.write_bytes(
        built(tensors, [Operation("FULLY_CONNECTED", (0, 1, -1), (2,), "FullyConnectedOptions")], [0], [2])
    )
    feed = np.random.default_rng(0).standard_normal((1, 9)).astype(np.float32)
    # XNNPACK takes the elements that are stored for all of them.
    agree(onnx_answers(path, [feed])[0], litert(path, [feed], delegates=False)[0])


def weights(**changed):
    """A sparse tensor (4, 1, 1, 3) with four elements, or a damaged one."""
    meaning = {"order": (0, 1, 2, 3), "blocks": (), "rows": (0, 2, 2, 3, 4), "places": (0, 2, 1, 1)} | changed
    last = tuple(np.array(meaning[name], np.int32) for name in ("rows", "places"))
    levels = meaning.get("levels", [4, 1, 1, last])
    values = np.arange(1, 1 + meaning.get("count", 4), dtype=np.float32)
    return Tensor(
        (4, 1, 1, 3), np.float32, values, sparse=Sparse(meaning["order"], meaning["blocks"], levels)
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"count": 3}, "has 3 elements and 4 places"),
        ({"order": (0, 1, 1, 3)}, r"has the traversal order \[0, 1, 1, 3\]"),
        ({"order": (0, 1, 2)}, "has the traversal order"),
        ({"blocks": (0,)}, "has 4 levels, 1 of them in blocks"),
        ({"levels": [5, 1, 1, 3]}, "has a level of 5 indices, not 4"),
        ({"levels": [4, 1, 1]}, "has 3 levels"),
        ({"places": (0, 3, 1, 1)}, "has indices out of range, or twice"),
        ({"places": (0, -1, 1, 1)}, "has indices out of range, or twice"),
        ({"places": (2, 2, 1, 1)}, "has indices out of range, or twice"),
        ({"places": (0, 2, 1)}, "has branches that do not begin where others end"),
        ({"rows": (0, 2, 3, 4)}, "has branches that do not begin where others end"),
        ({"rows": (0, 2, 1, 3, 4)}, "has branches that do not begin where others end"),
        ({"rows": (1, 2, 2, 3, 4)}, "has branches that do not begin where others end"),
        ({"levels": [2, 1, 1, 3, 3], "order": (0, 1, 2, 3, 4), "blocks": (0,)}, "has blocks of 3"),
        (
            {"levels": [2, 1, 1, 3, 2], "order": (0, 1, 2, 3, 4), "blocks": (4,)},
            "has blocks of the dimensions",
        ),
    ],
)
def test_elements_without_a_place_are_damage(changed, why, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(densified(weights(**changed)))
    with pytest.raises(Damaged, match=f"is damaged or truncated .*{why}"):
        tflite_as_onnx(path)


def test_a_small_file_does_not_become_a_large_network(tmp_path):
    """Nothing is stored of the first weights but that there is nothing."""
    path, empty = tmp_path / "net.tflite", (np.zeros(2, np.int32), np.zeros(0, np.int32))
    shape = (1, 1, 1 << 13, 1 << 13)
    nothing = Tensor(
        shape, np.float32, np.zeros(1, np.float32), sparse=Sparse(range(4), (), [1, empty, *shape[2:]])
    )
    path.write_bytes(densified(nothing))
    assert isinstance(attempt(tflite_as_onnx, path), Unsupported)
    full = replace(
        nothing, sparse=Sparse(range(4), (), [1, 1, 1 << 12, 1 << 12]), shape=(1, 1, 1 << 12, 1 << 12)
    )
    path.write_bytes(densified(full))
    assert "more places than the file has bytes" in str(attempt(tflite_as_onnx, path))


def test_only_what_a_runtime_can_read_is_sparse(tmp_path):
    path = tmp_path / "net.tflite"
    tensors = [Tensor((1, 5, 5, 3)), weights(), Tensor((1, 5, 5, 4))]
    window = {"StrideW": 1, "StrideH": 1}
    path.write_bytes(built(tensors, [Operation("CONV_2D", (0, 1), (2,), "Conv2DOptions", window)], [0], [2]))
    with pytest.raises(Unsupported, match=r"CONV_2D \('t2'\): it reads a sparse constant"):
        tflite_as_onnx(path)
    path.write_bytes(densified(replace(weights(), array=np.ones((4, 1, 1, 3), np.float32), sparse=None)))
    with pytest.raises(Damaged, match=r"DENSIFY \('t2'\): its input is not sparse"):
        tflite_as_onnx(path)
