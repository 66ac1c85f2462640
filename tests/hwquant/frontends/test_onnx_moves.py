"""Operators that take, repeat, join and surround elements, their import compared with onnxruntime."""

import numpy as np
import pytest
from hwquant_testing.limits import attempt
from hwquant_testing.onnx_models import weights
from onnx.helper import make_node

from hwquant.errors import Unsupported
from hwquant.frontends import from_onnx
from hwquant.graph import Add, AveragePool, Concat, Conv, Rearrange

CONV = make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])
LAST = make_node("Conv", ["m", "v"], ["y"], pads=[1, 1, 1, 1])
NUMBERS = {
    "one": [1],
    "three": [3],
    "pixels": [2, 3],
    "axes": [1, 3],
    "starts": [1, -1],
    "ends": [4, -100],
    "steps": [2, -1],
    "shuffle": [3, 0, 2, 2],
    "sizes": [1, 3],
    "twice": [1, 2, 1, 2],
    "wide": [1, 4, 6, 5],
    "around": [0, 0, 1, 2, 0, 0, 2, 1],
    "inside": [0, 1, -1, 1, 0, 2, 0, -2],
    "grown": [9, 12],
    "samples": [2, 1, 1, 1],
}
CONSTANTS = {name: np.array(values, np.int64) for name, values in NUMBERS.items()}
CONSTANTS |= {"scales": np.float32([1, 1, 2, 3]), "half": np.float32(0.5)}


def node(kind, *inputs, **attributes):
    return make_node(kind, ["c", *inputs], ["m"], **attributes)


CASES = {
    "slice": (node("Slice", "starts", "ends", "axes", "steps"), 2),
    "gather": (node("Gather", "shuffle", axis=1), 4),
    "resize by integers": (
        node("Resize", "", "scales", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        4,
    ),
    "resize to sizes": (node("Resize", "", "", "grown", axes=[2, 3]), 4),
    "resize by corners": (
        node("Resize", "", "", "grown", axes=[2, 3], coordinate_transformation_mode="align_corners"),
        4,
    ),
    "depth to space, DCR": (node("DepthToSpace", blocksize=2), 1),
    "depth to space, CRD": (node("DepthToSpace", blocksize=2, mode="CRD"), 1),
    "space to depth": (node("SpaceToDepth", blocksize=2), 16),
    "expand": (make_node("Expand", ["p", "wide"], ["m"]), 4),
    "tile": (node("Tile", "twice"), 8),
    "pad with a number": (node("Pad", "around", "half"), 4),
    "pad and crop, channels too": (node("Pad", "inside"), 7),
    "pad reflected": (node("Pad", "around", mode="reflect"), 4),
    "pad with edges": (node("Pad", "around", mode="edge"), 4),
    "concatenate rows": (make_node("Concat", ["c", "x", "c"], ["m"], axis=2), 4),
    "average without padding": (
        node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
        4,
    ),
    "average with counted padding, rounded up": (
        node(
            "AveragePool",
            kernel_shape=[3, 2],
            strides=[2, 2],
            pads=[1, 0, 1, 0],
            ceil_mode=1,
            count_include_pad=1,
        ),
        4,
    ),
    "maximum of two": (make_node("Max", ["c", "x"], ["m"]), 4),
    "minimum of three": (make_node("Min", ["c", "x", "p"], ["m"]), 4),
    "mean of two": (make_node("Mean", ["c", "x"], ["m"]), 4),
    "broadcast sum": (make_node("Add", ["c", "p"], ["m"]), 4),
    "largest channel": (node("ReduceMax", "one"), 1),
    "least pixel": (node("ReduceMin", "pixels"), 4),
    "upper triangle": (node("Trilu", "one"), 4),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_moved_is_read_as_it_is(build_onnx, check_onnx, case):
    moved, channels = CASES[case]
    nodes = [CONV, make_node("GlobalAveragePool", ["x"], ["p"]), moved, LAST]
    constants = CONSTANTS | {"w": weights(4, 4, 3, 3), "v": weights(3, channels, 3, 3)}
    check_onnx(build_onnx(nodes, {"x": (4, 6, 5 + ("to" in case))}, constants, opset=19))


@pytest.mark.parametrize("axes", [[2, 3], [1], [1, 3], [3], [1, 2, 3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_sums_over_any_axes(build_onnx, check_onnx, axes, keepdims):
    nodes = [CONV, make_node("ReduceSum", ["c", "over"], ["y"], keepdims=keepdims)]
    constants = {"w": weights(4, 4, 3, 3), "over": np.array(axes)}
    check_onnx(build_onnx(nodes, {"x": (4, 6, 5)}, constants))


@pytest.mark.parametrize("axis", [1, 2, 4])
def test_a_sum_over_stacked_tensors_is_their_sum(build_onnx, check_onnx, axis):
    convs = [make_node("Conv", ["x", name], [f"{name}_out"], pads=[1, 1, 1, 1]) for name in "abc"]
    views = [make_node("Unsqueeze", [f"{name}_out", "axis"], [f"{name}_view"]) for name in "abc"]
    nodes = [
        *convs,
        *views,
        make_node("Concat", [f"{name}_view" for name in "abc"], ["stack"], axis=axis),
        make_node("ReduceSum", ["stack", "axis"], ["y"], keepdims=0),
    ]
    constants = {"axis": np.array([axis])} | {name: weights(4, 2, 3, 3) for name in "abc"}
    graph = check_onnx(build_onnx(nodes, {"x": (2, 6, 5)}, constants))
    assert [type(node) for node in graph.nodes] == [Conv, Conv, Conv, Add]


def test_a_sum_over_groups_of_channels_is_a_convolution_by_ones(build_onnx, check_onnx):
    nodes = [
        CONV,
        make_node("Reshape", ["c", "groups"], ["g"]),
        make_node("ReduceSum", ["g", "one"], ["y"], keepdims=0),
    ]
    constants = {"w": weights(6, 4, 3, 3), "groups": np.array([0, 2, 3, 6, 5]), "one": np.array([1])}
    graph = check_onnx(build_onnx(nodes, {"x": (4, 6, 5)}, constants))
    assert [type(node) for node in graph.nodes] == [Conv, Conv]
    assert np.array_equal(graph.nodes[1].weight[:, :, 0, 0], np.tile(np.eye(3), 2))


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((4, 5, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((4, 5, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((4, 5, 2, 3), {"strides": [3, 2], "pads": [0, 1, 0, 1], "output_padding": [2, 1]}),
        ((4, 2, 3, 3), {"strides": [2, 1], "group": 2}),
        ((4, 1, 2, 2), {"strides": [2, 2], "group": 4}),
        ((4, 5, 3, 3), {"dilations": [2, 1], "strides": [2, 2]}),
        ((4, 5, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ((4, 5, 3, 3), {"strides": [3, 2], "output_shape": [15, 10]}),
    ],
)
def test_transposed_convolutions(build_onnx, check_onnx, shape, attributes):
    nodes = [
        make_node("ConvTranspose", ["x", "t", "b"], ["d"], **attributes),
        make_node("Relu", ["d"], ["m"]),
        LAST,
    ]
    out = shape[1] * attributes.get("group", 1)
    constants = {"t": weights(*shape), "b": weights(out), "v": weights(3, out, 3, 3)}
    graph = check_onnx(build_onnx(nodes, {"x": (4, 5, 5)}, constants))
    steps = np.prod(attributes.get("strides", [1, 1]))
    assert sum(isinstance(item, Conv) for item in graph.nodes) == steps + 1  # one for each phase


@pytest.mark.parametrize(
    "node",
    [
        make_node("ConvTranspose", ["x", "t"], ["y"], strides=[1, 10**5]),
        make_node("Pad", ["x", "p"], ["y"], mode="edge"),
    ],
)
def test_what_grows_beyond_any_image_is_refused_soon(build_onnx, node):
    constants = {"t": weights(4, 1, 1, 3), "p": np.array([0] * 7 + [2**31], np.int64)}
    error = attempt(from_onnx, build_onnx([node], {"x": (4, 1, 2)}, constants), host=False)
    assert isinstance(error, Unsupported)
    assert "too large" in str(error)


def test_a_split_and_a_shuffle_of_channels_are_one_copy(build_onnx, check_onnx):
    """The unit of ShuffleNet V2: neither the concatenation nor the shuffle is a node."""
    nodes = [
        CONV,
        make_node("Split", ["c"], ["left", "right"], axis=1),
        make_node("Conv", ["right", "u"], ["r"]),
        make_node("Concat", ["left", "r"], ["j"], axis=1),
        make_node("Reshape", ["j", "groups"], ["g"]),
        make_node("Transpose", ["g"], ["t"], perm=[0, 2, 1, 3, 4]),
        make_node("Reshape", ["t", "together"], ["m"]),
        LAST,
    ]
    constants = {"w": weights(4, 4, 3, 3), "u": weights(2, 2, 1, 1), "v": weights(3, 4, 3, 3)}
    constants |= {"groups": np.array([-1, 2, 2, 6, 5]), "together": np.array([-1, 4, 6, 5])}
    graph = check_onnx(build_onnx(nodes, {"x": (4, 6, 5)}, constants, opset=13))
    assert [type(item) for item in graph.nodes] == [Conv, Rearrange, Conv, Rearrange, Conv]


def test_a_linear_layer_of_joined_features_is_a_sum(build_onnx, check_onnx):
    nodes = [
        CONV,
        make_node("Flatten", ["c"], ["f"]),
        make_node("GlobalAveragePool", ["x"], ["p"]),
        make_node("Flatten", ["p"], ["g"]),
        make_node("Concat", ["f", "g"], ["j"], axis=1),
        make_node("Gemm", ["j", "l"], ["y"]),
    ]
    constants = {"w": weights(4, 4, 3, 3), "l": weights(4 * 30 + 4, 5)}
    graph = check_onnx(build_onnx(nodes, {"x": (4, 6, 5)}, constants))
    assert not any(isinstance(item, Concat | Rearrange) for item in graph.nodes)


def test_averages_that_leave_padding_out_are_quantized(build_onnx):
    pool = node("AveragePool", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    constants = {"w": weights(4, 4, 3, 3), "v": weights(3, 4, 3, 3)}
    graph = from_onnx(build_onnx([CONV, pool, LAST], {"x": (4, 6, 5)}, constants))
    pools = [item for item in graph.nodes if isinstance(item, AveragePool)]
    assert {item.window.kernel for item in pools} == {(a, b) for a in (2, 3) for b in (2, 3)}
    assert not any(item.window.padded for item in pools)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (node("Slice", "one", "three"), "it resizes the batch"),
        (node("Resize", "", "scales", mode="linear"), "pixels are repeated, not interpolated"),
        (node("Gather", "grown", axis=1), "indices 9..12 are not all among 4"),
        (node("Tile", "samples"), "repeating a tensor"),
        (node("Transpose", perm=[0, 2, 3, 1]), "it reads tensor 'c'"),
        (node("LRN", size=3), "it normalizes by statistics"),
    ],
)
def test_what_cannot_be_moved_is_refused_by_name(build_onnx, refused, why):
    channels = 70 if refused.op_type == "Transpose" else 4
    constants = CONSTANTS | {"w": weights(4, 4, 3, 3), "v": weights(3, channels, 3, 3)}
    model = build_onnx([CONV, refused, LAST], {"x": (4, 70, 30)}, constants, opset=13)
    with pytest.raises(Unsupported, match=why):
        from_onnx(model, host=False)
