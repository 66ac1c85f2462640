"""Random float networks with every structure that the quantizer knows."""

from __future__ import annotations

import numpy as np
from hwquant_testing.windows import take_window

from hwquant.frontends import activations
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Function, Graph, MaxPool, Multiply, Node
from hwquant.interface import Input, Output
from hwquant.window import Window


def conv(
    rng: np.random.Generator,
    name: str,
    source: str,
    channels: tuple[int, int],
    kernel: int = 3,
    **more: object,
) -> Conv:
    """A convolution that keeps the size (stride 1), with weights that keep the signal's power."""
    groups = int(more.get("groups", 1))  # type: ignore[call-overload]
    shape = (channels[1], channels[0] // groups, kernel, kernel)
    weight = rng.normal(0.05, 1, shape) / np.sqrt(np.prod(shape[1:]) / 2)
    pad = (kernel - 1) // 2
    options = {"padding": (pad, pad, pad, pad)} | more
    window = take_window(weight, options)
    return Conv(name, (source,), weight, rng.normal(0, 0.2, channels[1]), window, **options)  # type: ignore[arg-type]


def build(kind: str, seed: int) -> Graph:
    """``kind``: chain, residual, projection, concat, depthwise, gated, clips or functions."""
    rng = np.random.default_rng(seed)
    stem: list[Node] = [conv(rng, "c1", "x", (3, 8)), Clip("r1", ("c1",), 0.0)]
    body: list[Node]
    if kind == "chain":
        body = [
            MaxPool("p1", ("r1",), Window((2, 2), (2, 2))),
            conv(rng, "c2", "p1", (8, 6), stride=(2, 2)),
            Clip("last", ("c2",), 0.0, 6.0),
        ]
    elif kind == "residual":
        body = [
            conv(rng, "c2", "r1", (8, 8)),
            Clip("r2", ("c2",), 0.0),
            conv(rng, "c3", "r2", (8, 8)),
            Add("a1", ("r1", "c3")),
            Clip("last", ("a1",), 0.0),
        ]
    elif kind == "projection":
        body = [
            conv(rng, "c2", "r1", (8, 6), stride=(2, 2)),
            conv(rng, "c3", "r1", (8, 6), 1, stride=(2, 2)),
            Add("last", ("c2", "c3")),
        ]
    elif kind == "concat":
        body = [
            conv(rng, "c2", "r1", (8, 4), 1),
            conv(rng, "c3", "r1", (8, 4)),
            Clip("r3", ("c3",), 0.0),
            Concat("k1", ("c2", "r3")),
            conv(rng, "last", "k1", (8, 6)),
        ]
    elif kind == "depthwise":
        body = [
            conv(rng, "c2", "r1", (8, 8), groups=8),
            Clip("r2", ("c2",), 0.0),
            conv(rng, "c3", "r2", (8, 12), groups=2),
            MaxPool("p3", ("c3",), Window((3, 3), (2, 2), (1, 1, 1, 1))),
            Clip("last", ("p3",), 0.0),
        ]
    elif kind == "gated":
        body = [
            AveragePool("mean", ("r1",), Window((8, 8), (8, 8))),
            conv(rng, "c2", "mean", (8, 4), 1),
            Clip("r2", ("c2",), 0.0),
            conv(rng, "c3", "r2", (4, 8), 1),
            Clip("g3", ("c3",), 0.0, 1.0),
            Multiply("m1", ("r1", "g3")),
            conv(rng, "c4", "m1", (8, 6)),
            conv(rng, "c5", "m1", (8, 6)),
            Clip("g5", ("c5",), -1.0, 1.0),
            Multiply("last", ("c4", "g5")),
        ]
    elif kind == "functions":
        hard_swish, gate = activations.hard_swish(), activations.sigmoid()
        body = [
            Function("f1", ("x",), activations.gelu()),
            conv(rng, "c2", "f1", (3, 8)),
            Clip("r2", ("c2",), -2.0, 2.5),
            Function("f2", ("r2",), hard_swish),
            MaxPool("p2", ("f2",), Window((3, 3), (1, 1), (1, 1, 1, 1))),
            Add("a1", ("r1", "p2")),
            Function("f3", ("a1",), activations.swish()),
            conv(rng, "c3", "f3", (8, 6), stride=(2, 2)),
            Function("last", ("c3",), gate),
        ]
    else:
        body = [
            Clip("half", ("r1",), -1.0, 1.5),
            conv(rng, "c2", "half", (8, 8)),
            Add("a1", ("r1", "c2", "half")),
            Clip("low", ("x",), -0.5, 0.5),
            conv(rng, "c3", "low", (3, 8)),
            Add("last", ("a1", "c3")),
        ]
    nodes = [*stem, *body]
    inputs = (Input("x", (3, 8, 8), (3, 8, 8)),)
    channels, height, width = Graph(kind, inputs, tuple(nodes), (Output("y", "last", ()),)).shapes["last"]
    nodes.append(AveragePool("avg", ("last",), Window((height, width), (1, 1))))
    nodes.append(conv(rng, "fc", "avg", (channels, 5), 1))
    return Graph(kind, inputs, tuple(nodes), (Output("y", "fc", (5,)),))


KINDS = ("chain", "residual", "projection", "concat", "depthwise", "clips")
ALL_KINDS = (*KINDS, "gated", "functions")


def kinds(graph: Graph) -> list[type[Node]]:
    """The kinds of a network's nodes, in their order."""
    return [type(node) for node in graph.nodes]
