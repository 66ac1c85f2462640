"""Networks in words and JSON: what the operations are called, and that nothing is left out."""

import dataclasses
import json

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.describe import convolution, describe
from hwquant.graph import Add, Clip, Concat, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.window import Window


@pytest.mark.parametrize(
    ("geometry", "text"),
    [
        ((Window((1, 1)), 1), "conv 1x1"),
        ((Window((3, 3), (2, 2)), 1), "conv 3x3 /2"),
        ((Window((3, 1), (2, 1)), 1), "conv 3x1 /2x1"),
        ((Window((3, 3), padding=(1, 1, 1, 1)), 1), "conv 3x3 pad 1"),
        ((Window((3, 3), padding=(0, 0, 1, 1)), 1), "conv 3x3 pad 0,0,1,1"),
        ((Window((3, 3), dilation=(2, 2)), 1), "conv 3x3 dilation 2x2"),
        ((Window((3, 3)), 4), "conv 3x3 groups 4"),
        ((Window((8, 8)), 1), "fully connected"),
    ],
)
def test_convolutions_by_their_geometry(geometry, text):
    assert convolution(*geometry, (4, 8, 8)) == text


def test_every_kind_of_float_node_has_a_name():
    shape = (2, 4, 4)
    weight = np.ones((2, 1, 3, 3))
    nodes = (
        Conv(
            "depthwise", ("x",), weight, np.zeros(2), Window(weight.shape[2:], padding=(1, 1, 1, 1)), groups=2
        ),
        Clip("relu6", ("depthwise",), 0.0, 6.0),
        Add("sum", ("relu6", "x")),
        Concat("both", ("sum", "x")),
    )
    graph = Graph("net", (Input("x", shape, shape),), nodes, (Output("y", "both", (4, 4, 4)),))
    result = describe(graph)
    assert [layer["operation"] for layer in result["layers"]] == [
        "conv 3x3 pad 1 groups 2",
        "clip 0..6",
        "add",
        "concat",
    ]
    assert result["macs"] == 2 * 9 * 16
    assert result["parameters"] == 2 * 9 + 2
    assert json.loads(json.dumps(result)) == result


def test_only_odd_weights_have_a_step():
    net = Net(x=(2, 3, 3))
    net.conv(net.conv("x", 2), 3, bits=1, step=2, offset=1)
    assert [layer.get("step") for layer in describe(net.build())["layers"]] == [None, 2]


def test_pruned_weights_are_counted(digits_qgraph):
    first = digits_qgraph.nodes[0]
    (term,) = first.terms
    mask = np.ones(term.codes.shape, bool)
    mask[:, :, 0] = False
    codes = np.where(mask, term.codes, -term.offset.reshape(-1, 1, 1, 1)).astype(np.int8)
    layer = dataclasses.replace(first, terms=(dataclasses.replace(term, codes=codes, mask=mask),))
    qgraph = dataclasses.replace(digits_qgraph, nodes=(layer, *digits_qgraph.nodes[1:]))
    assert [item.get("pruned") for item in describe(qgraph)["layers"]] == [24, 0, None, 0]
