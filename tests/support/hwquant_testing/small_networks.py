"""Small integer networks, a line for each layer: for tests that ask for one particular thing."""

from dataclasses import replace

import numpy as np
from hwquant_testing.windows import take_window

from hwquant.frontends.found_copies import find_copies
from hwquant.interface import Input, Output
from hwquant.qgraph import Concat, Layer, MaxPool, Product, QGraph, Rearrange, Tensor, Term
from hwquant.window import Window


class Net:
    """A network under construction; every method adds a node and returns its name.

    Weights are random integers of ``seed``. Zero points are random too, shifts such that values do not all
    saturate. ``Net(x=(3, 8, 8))`` has the input ``x``.
    """

    def __init__(self, seed=0, **inputs):
        self.rng = np.random.default_rng(seed)
        self.inputs = tuple(Input(name, shape, shape) for name, shape in inputs.items())
        self.tensors = {}
        self.nodes = []
        for name, shape in inputs.items():
            self._tensor(name, shape)

    def _tensor(self, name, shape, **options):
        zero_point = int(self.rng.integers(-100, 20))
        self.tensors[name] = Tensor(name, tuple(shape), 1.0, **{"zero_point": zero_point} | options)

    def _node(self, node, shape, **options):
        self._tensor(node.name, shape, **options)
        self.nodes.append(node)
        return node.name

    def term(self, source, out, kernel=(1, 1), *, offset=0, bits=8, codes=None, groups=1, **options):
        """A random convolution of a tensor."""
        half = 1 << (bits - 1)
        shape = (out, self.tensors[source].shape[0] // groups, *kernel)
        codes = self.rng.integers(-half, half, shape) if codes is None else np.asarray(codes)
        return Term(
            input=source,
            codes=codes.astype(np.int8),
            offset=np.atleast_1d(offset).astype(np.int64),
            scale=np.ones(1),
            bits=bits,
            window=take_window(codes, options),
            groups=groups,
            **options,
        )

    def layer(self, *terms, shift=None, low=-128, high=127, bias=None, multiplier=None, name=None, **tensor):
        """A layer of terms."""
        out = len(terms[0].codes)
        fan_in = sum(term.codes[0].size * 4**term.shift for term in terms)
        shift = 6 + int(np.log2(fan_in) / 2) if shift is None else shift
        bias = self.rng.integers(-500, 500, out) if bias is None else np.asarray(bias)
        multiplier = None if multiplier is None else np.atleast_1d(multiplier)
        # All tensors have the scale 1, and every layer rescales to it.
        shift, factor = np.atleast_1d(shift), 1 if multiplier is None else multiplier
        terms = tuple(replace(term, scale=factor * 2.0 ** (term.shift - shift)) for term in terms)
        layer = Layer(name or f"layer{len(self.nodes)}", terms, bias, shift, low, high, multiplier)
        shapes = [self.tensors[term.input].shape for term in terms]
        return self._node(layer, layer.output_shape(*shapes), **tensor)

    def conv(self, source, out, kernel=(1, 1), **options):
        """A layer of one term; the term's options and the layer's."""
        names = ("shift", "low", "high", "bias", "multiplier", "name", "zero_point")
        own = {name: options.pop(name) for name in names if name in options}
        if "term_shift" in options:
            options["shift"] = options.pop("term_shift")
        return self.layer(self.term(source, out, kernel, **options), **own)

    def pool(self, source, kernel, stride=None, **options):
        """A max pool; windows side by side where no stride is given."""
        pool = MaxPool(f"pool{len(self.nodes)}", (source,), Window(kernel, stride or kernel, **options))
        tensor = self.tensors[source]
        return self._node(pool, pool.output_shape(tensor.shape), zero_point=tensor.zero_point)

    def product(self, pixels, factors):
        """The product of two tensors of a shape."""
        node = Product(f"product{len(self.nodes)}", (pixels, factors), 8, -128, 127)
        return self._node(node, self.tensors[pixels].shape)

    def concat(self, *sources):
        """The tensors one after the other; they get the first one's zero point."""
        first = self.tensors[sources[0]]
        for name in sources:
            self.tensors[name] = replace(self.tensors[name], zero_point=first.zero_point)
        concat = Concat(f"concat{len(self.nodes)}", sources)
        shape = concat.output_shape(*(self.tensors[name].shape for name in sources))
        return self._node(concat, shape, zero_point=first.zero_point)

    def rearrange(self, index, *sources):
        """The elements of the tensors, one after the other, in an order (C, H, W); one behind the last is zero."""
        first = self.tensors[sources[0]]
        for name in sources:
            self.tensors[name] = replace(self.tensors[name], zero_point=first.zero_point)
        copies = find_copies(index, [self.tensors[name].shape for name in sources])
        node = Rearrange(f"rearrange{len(self.nodes)}", sources, index.shape, copies)
        return self._node(node, index.shape, zero_point=first.zero_point)

    def build(self, *outputs):
        """The network; its output is the last node's where none is named."""
        names = outputs or (self.nodes[-1].name,)
        return QGraph(
            name="small",
            inputs=self.inputs,
            nodes=tuple(self.nodes),
            outputs=tuple(Output(f"to_{name}", name, self.tensors[name].shape) for name in names),
            tensors=self.tensors,
        )


def images(qgraph, count=2, seed=0):
    """Integers (count, C, H, W) of every input, over all of its range."""
    rng = np.random.default_rng(seed)
    tensors = [qgraph.tensors[item.name] for item in qgraph.inputs]
    return {
        tensor.name: rng.integers(tensor.limits[0], tensor.limits[1] + 1, (count, *tensor.shape))
        for tensor in tensors
    }


def cable_network() -> QGraph:
    """What boards at a cable are simulated with: frames of several packets."""
    net = Net(x=(3, 16, 16))
    net.pool(net.conv("x", 4, (4, 4), stride=(4, 4)), (2, 2))
    return net.build()


def board_network() -> QGraph:
    """What boards are simulated with: one network, so that a simulator is compiled once for several test files."""
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 2)
    return net.build()
