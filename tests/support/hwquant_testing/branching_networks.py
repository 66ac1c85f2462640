"""Small float networks with everything that a tile can be made of."""

import numpy as np
from hwquant_testing.windows import take_window

from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.window import Window


class Builder:
    """A float network under construction; every method adds a node and returns its name."""

    def __init__(self, shape, seed=0):
        self.rng = np.random.default_rng(seed)
        self.inputs = (Input("x", shape, shape),)
        self.nodes = []

    def add(self, node):
        self.nodes.append(node)
        return node.name

    def conv(self, source, out, kernel=(1, 1), channels=None, groups=1, **options):
        """Random normal weights, none of them zero."""
        per_group = (channels or self.channels(source)) // groups
        weight = self.rng.normal(0, 1 / np.sqrt(per_group * np.prod(kernel)), (out, per_group, *kernel))
        weight += np.where(weight >= 0, 0.1, -0.1) * np.abs(weight).max()  # no code becomes zero by rounding
        name = f"conv{len(self.nodes)}"
        return self.add(
            Conv(
                name,
                (source,),
                weight,
                self.rng.normal(0, 0.1, out),
                take_window(weight, options),
                groups=groups,
                **options,
            )
        )

    def relu(self, source):
        return self.add(Clip(f"relu{len(self.nodes)}", (source,), low=0.0))

    def max_pool(self, source, kernel=(2, 2)):
        return self.add(MaxPool(f"pool{len(self.nodes)}", (source,), Window(kernel, kernel)))

    def average_pool(self, source, kernel):
        return self.add(AveragePool(f"mean{len(self.nodes)}", (source,), Window(kernel, kernel)))

    def sum(self, *sources):
        return self.add(Add(f"add{len(self.nodes)}", sources))

    def concat(self, *sources):
        return self.add(Concat(f"concat{len(self.nodes)}", sources))

    def channels(self, name):
        return self.build(name).shapes[name][0]

    def build(self, *outputs):
        shapes = Graph("net", self.inputs, tuple(self.nodes), ()).shapes
        return Graph(
            "net",
            self.inputs,
            tuple(self.nodes),
            tuple(Output(f"to_{name}", name, (int(np.prod(shapes[name])),)) for name in outputs),
        )


def plain(seed=0):
    """Packed first layer, pools, a fully connected end."""
    net = Builder((1, 12, 12), seed)
    x = net.max_pool(net.relu(net.conv("x", 16, (5, 5), padding=(2, 2, 2, 2))))
    x = net.relu(net.conv(x, 20, (3, 3), padding=(1, 1, 1, 1)))
    x = net.max_pool(x)
    x = net.relu(net.conv(x, 24, (3, 3)))
    return net.build(net.conv(x, 10))


def branches(seed=0):
    """A residual sum, a concatenation, grouped and depthwise convolutions of strides 1 and 2."""
    net = Builder((3, 10, 10), seed)
    x = net.relu(net.conv("x", 16, (3, 3), padding=(1, 1, 1, 1)))
    y = net.conv(net.relu(net.conv(x, 12, (3, 3), padding=(1, 1, 1, 1))), 16)
    x = net.relu(net.sum(x, y))
    x = net.relu(net.conv(x, 16, (3, 3), groups=16, padding=(1, 1, 1, 1)))
    a = net.relu(net.conv(x, 16, (3, 3), groups=2, padding=(1, 1, 1, 1)))
    b = net.relu(net.conv(x, 9))
    x = net.concat(a, b)
    x = net.relu(net.conv(x, 24))
    x = net.relu(net.conv(x, 24, (3, 3), groups=24, stride=(2, 2)))
    x = net.average_pool(x, (4, 4))
    return net.build(net.conv(x, 10))


NETWORKS = {"plain": plain, "branches": branches}
