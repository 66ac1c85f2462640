"""What folding gives must compute what the unfolded nodes do, which are evaluated here in plain numpy."""

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.floating import evaluate, pad
from hwquant.frontends.fold import Affine, Pad, fold, reachable
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, MaxPool, Node
from hwquant.window import Window

SHAPE = (4, 6, 6)
RNG = np.random.default_rng(0)


def conv(name, source, out=4, kernel=(3, 3), groups=1, channels=4, **options):
    weight = RNG.standard_normal((out, channels // groups, *kernel))
    return Conv(name, (source,), weight, RNG.standard_normal(out), Window(kernel, **options), groups)


def affine(name, source, shape=SHAPE, per_channel=True, shift=True):
    size = (shape[0], 1, 1) if per_channel else shape
    scale, offset = RNG.standard_normal(size), RNG.standard_normal(size) * shift
    return Affine(name, (source,), np.broadcast_to(scale, shape), np.broadcast_to(offset, shape))


def values(nodes, x):
    """Every tensor, (C, N, H, W)."""
    found = {"x": x}
    for node in nodes:
        inputs = [found[name] for name in node.inputs]
        match node:
            case Affine():
                found[node.name] = inputs[0] * node.scale[:, None] + node.shift[:, None]
            case Pad():
                found[node.name] = pad(inputs[0], node.window.padding, 0.0)
            case _:
                found[node.name] = evaluate(node, *inputs)
    return found


def check(*nodes: Node, output=None) -> list[str]:
    """Fold, compare the output; the names of the nodes that are left."""
    output = output or nodes[-1].name
    shapes = {"x": SHAPE}
    for node in nodes:
        shapes[node.name] = node.output_shape(*(shapes[name] for name in node.inputs))
    folded, outputs = fold(nodes, {"y": output}, shapes)
    x = np.random.default_rng(1).standard_normal((SHAPE[0], 2, *SHAPE[1:]))
    np.testing.assert_allclose(
        values(folded, x)[outputs["y"]], values(nodes, x)[output], rtol=1e-9, atol=1e-9
    )
    assert not any(isinstance(node, Affine | Pad) for node in folded)
    return [node.name for node in folded]


def test_an_affine_map_goes_backward_into_the_convolution_before_it():
    assert check(conv("c", "x", groups=2), affine("a", "c", (4, 4, 4)), Clip("r", ("a",), 0.0)) == ["c", "r"]


def test_two_affine_maps_in_a_row_become_one_and_go_backward():
    assert check(conv("c", "x"), affine("a", "c", (4, 4, 4)), affine("b", "a", (4, 4, 4))) == ["c"]


def test_two_affine_maps_that_differ_within_a_channel_become_one_and_go_forward():
    first, second = affine("a", "x", per_channel=False), affine("b", "a", per_channel=False)
    assert check(first, second, conv("c", "b", kernel=(6, 6))) == ["c"]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_an_affine_map_goes_forward_into_the_convolutions_that_read_it(groups):
    nodes = [
        affine("a", "x"),
        conv("c", "a", groups=groups, stride=(2, 1)),
        conv("d", "a"),
        Add("s", ("d", "d")),
    ]
    assert check(*nodes, Concat("y", ("s", "s")), output="c") == ["c"]
    assert check(affine("a", "x"), conv("c", "a"), conv("d", "a"), Add("s", ("c", "d"))) == ["c", "d", "s"]


def test_a_scale_goes_forward_even_where_padding_comes_between():
    assert check(affine("a", "x", shift=False), conv("c", "a", padding=(1, 1, 1, 1))) == ["c"]


@pytest.mark.parametrize(
    "nodes",
    [
        [affine("a", "x"), conv("c", "a", padding=(1, 0, 0, 0))],
        [affine("a", "x"), Clip("c", ("a",), 0.0)],
        [
            affine("a", "x"),
            conv("c", "a"),
            Clip("d", ("a",)),
            MaxPool("e", ("d",), Window((3, 3), (1, 1))),
            Add("f", ("c", "e")),
        ],
    ],
)
def test_an_affine_map_that_no_convolution_takes_is_a_depthwise_convolution(nodes):
    assert check(*nodes)[0] == "a"


def test_an_affine_map_moves_neither_way_past_an_output():
    nodes = [conv("c", "x"), affine("a", "c", (4, 4, 4)), conv("d", "a")]
    assert check(*nodes, output="a") == ["c"]
    shapes = {"x": SHAPE, "c": (4, 4, 4), "a": (4, 4, 4), "d": (4, 2, 2)}
    folded, _ = fold(nodes, {"y": "d", "z": "a", "w": "c"}, shapes)
    assert [node.name for node in folded] == ["c", "a", "d"]


def test_a_constant_that_differs_within_a_channel_needs_a_fully_connected_layer():
    assert check(affine("a", "x", per_channel=False), conv("c", "a", kernel=(6, 6))) == ["c"]
    with pytest.raises(
        HwquantError, match=r"node 'a' multiplies or adds a constant that differs within a channel"
    ):
        check(affine("a", "x", per_channel=False), conv("c", "a"))
    with pytest.raises(HwquantError, match=r"differs within a channel"):
        check(conv("c", "x"), affine("a", "c", (4, 4, 4), per_channel=False))


def test_padding_goes_into_all_that_read_it():
    nodes = [
        Clip("r", ("x",), 0.0, 1.0),
        Pad("p", ("r",), Window(padding=(1, 2, 0, 1))),
        conv("c", "p", padding=(0, 0, 1, 1)),
        MaxPool("m", ("p",), Window((3, 3), (1, 1), (0, 0, 1, 1))),
        AveragePool("v", ("p",), Window((3, 3), (1, 1), (0, 0, 1, 1)), count_include_pad=True),
        Add("s", ("c", "m", "v")),
    ]
    assert check(*nodes) == ["r", "c", "m", "v", "s"]


@pytest.mark.parametrize(
    "nodes",
    [
        [
            Pad("p", ("x",), Window(padding=(1, 1, 1, 1))),
            MaxPool("m", ("p",), Window((3, 3), (1, 1))),
        ],  # zeros may win
        [
            Clip("r", ("x",), 0.0),
            Pad("p", ("r",), Window(padding=(3, 3, 3, 3))),
            MaxPool("m", ("p",), Window((3, 3), (1, 1))),
        ],  # zeros alone
        [
            Pad("p", ("x",), Window(padding=(1, 1, 1, 1))),
            AveragePool("m", ("p",), Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ],  # zeros not counted
        [Pad("p", ("x",), Window(padding=(1, 1, 1, 1))), Clip("m", ("p",), 0.5)],
        [Pad("p", ("x",), Window(padding=(1, 0, 0, 1)))],
    ],
)
def test_padding_that_cannot_be_the_windows_own_is_a_node(nodes):
    assert "p" in check(*nodes)


def test_padding_behind_pools_of_what_is_not_negative_may_go_into_a_maximum():
    nodes = [
        Clip("r", ("x",), 0.0),
        AveragePool("v", ("r",), Window((2, 2), (1, 1))),
        MaxPool("m", ("v",), Window((2, 2), (1, 1))),
        Concat("c", ("m", "m")),
        Pad("p", ("c",), Window(padding=(1, 1, 1, 1))),
        MaxPool("y", ("p",), Window((2, 2), (2, 2))),
    ]
    assert "p" not in check(*nodes)


def test_an_affine_map_behind_padding_that_went_forward_sees_the_padding():
    assert check(affine("a", "x"), Pad("p", ("a",), Window(padding=(1, 1, 1, 1))), conv("c", "p")) == [
        "a",
        "c",
    ]


def test_what_no_output_depends_on_is_dropped():
    nodes = [conv("c", "x"), conv("d", "x"), Clip("e", ("d",), 0.0)]
    assert [node.name for node in reachable(nodes, ["c"])] == ["c"]
    assert [node.name for node in reachable(nodes, ["e"])] == ["d", "e"]
