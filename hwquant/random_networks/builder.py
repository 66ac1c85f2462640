"""A random network, layer by layer.

Weights are random codes with random offsets. Shifts, biases and clamps are then chosen from the sums that
random images give, so that the values of a tensor use its bits and few saturate: a fault far up in a network
still shows at its output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.golden import reference
from hwquant.graph import Shape
from hwquant.interface import Input, Output
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, QGraph, QNode, Rearrange, Table, Tensor, Term
from hwquant.random_networks.copies import append_copy
from hwquant.random_networks.features import Features
from hwquant.random_networks.products import append_product
from hwquant.window import Window


def random_qgraph(rng: np.random.Generator, features: Features | None = None) -> QGraph:
    """Make a valid network; the same generator state and features give the same network.

    Parameters
    ----------
    rng : numpy.random.Generator
        All that is chosen comes from it.
    features : Features, optional
        What the network may contain; None: the defaults.
    """
    features = features or Features()
    builder = Builder(rng, features)
    for _ in range(_between(rng, features.layers)):
        builder.step()
    if features.fully_connected:
        builder.fully_connected()
    return builder.finish()


def random_images(rng: np.random.Generator, qgraph: QGraph, count: int) -> IntArray:
    """Draw integers (count, C, H, W) for the only input of a network, over all of its range."""
    return random_inputs(rng, qgraph, count)[qgraph.inputs[0].name]


def random_inputs(rng: np.random.Generator, qgraph: QGraph, count: int) -> dict[str, IntArray]:
    """Draw integers (count, C, H, W) for every input of a network, by name, over all of their ranges."""
    tensors = [qgraph.tensors[item.name] for item in qgraph.inputs]
    return {
        tensor.name: rng.integers(tensor.limits[0], tensor.limits[1] + 1, (count, *tensor.shape))
        for tensor in tensors
    }


def _between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


def _chance(rng: np.random.Generator, allowed: bool, share: float = 0.5) -> bool:
    return bool(rng.random() < share) and allowed


@dataclass
class Builder:
    """A network under construction, and its values for a few random images.

    Attributes
    ----------
    rng : numpy.random.Generator
        All that is chosen comes from it.
    features : Features
        What the network may contain.
    tensors : dict of Tensor
        The tensors so far, by name.
    values : dict of ndarray of int64, shape (16, C, H, W)
        What they hold for the images, by name.
    nodes : list of QNode
        The nodes so far.
    last : str
        Name of the tensor that the next step reads.
    """

    rng: np.random.Generator
    features: Features
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, IntArray] = field(default_factory=dict)
    nodes: list[QNode] = field(default_factory=list)
    last: str = "input"

    def __post_init__(self) -> None:
        shape = (
            _between(self.rng, self.features.channels),
            _between(self.rng, self.features.size),
            _between(self.rng, self.features.size),
        )
        for name in ("input", "second")[: self.features.inputs]:
            tensor = self.tensor(name, shape)
            low, high = tensor.limits
            self.tensors[name] = tensor
            self.values[name] = self.rng.integers(low, high + 1, (16, *shape))
        if self.features.inputs > 1:
            first = self.convolution("input")
            self.layer([first, replace(self.parallel(first), input="second")])

    def finish(self) -> QGraph:
        """Make the network, with the last tensor as an output, and others perhaps."""
        names = [self.last]
        if self.features.outputs > 1:
            others = self.rng.permutation([node.name for node in self.nodes[:-1]])
            names += others[: _between(self.rng, (0, self.features.outputs - 1))].tolist()
        return QGraph(
            name="random",
            inputs=tuple(
                Input(name, self.tensors[name].shape, self.tensors[name].shape)
                for name in ("input", "second")[: self.features.inputs]
            ),
            nodes=tuple(self.nodes),
            outputs=tuple(
                Output("output" if name == self.last else f"also_{name}", name, (math.prod(shape),))
                for name, shape in ((name, self.tensors[name].shape) for name in names)
            ),
            tensors=self.tensors,
        )

    def step(self) -> None:
        """A convolution, perhaps with a second term, perhaps joined with another one, perhaps pooled."""
        rng, features, source = self.rng, self.features, self.last
        if _chance(rng, features.residual, 0.4):
            term = self.convolution(source, keep_shape=True)
            second = self._identity if rng.random() < 0.7 else self.parallel
            self.layer([term, second(term)])
        else:
            term = self.convolution(source)
            self.layer([term])
        if _chance(rng, features.concat, 0.25):
            first = self.last
            self.layer([self.parallel(term, _between(rng, features.channels))], like=self.tensors[first])
            self.move(Concat(self.name("concat"), (first, self.last)))
        if features.pools and _chance(rng, True):
            self._pool(str(rng.choice(features.pools)))
        while _chance(rng, features.pool_chains, 0.4):
            self._pool(str(rng.choice([*features.pools, "subsampling"])))
        if features.products and rng.random() < 0.8:
            append_product(self)
        if features.copies and rng.random() < 0.8:
            append_copy(self)

    def fully_connected(self) -> None:
        """Append a layer whose kernel is its whole input."""
        channels, height, width = self.tensors[self.last].shape
        out = _between(self.rng, self.features.channels)
        self.layer([self.term(self.last, (out, channels, height, width))])

    def name(self, kind: str) -> str:
        """The name of the next node."""
        return f"{kind}{len(self.nodes)}"

    def tensor(self, name: str, shape: Shape) -> Tensor:
        """Random scale, bits and zero point; real zero is in the lower half of the integers."""
        bits = _between(self.rng, self.features.activation_bits)
        zero_point = int(self.rng.integers(-(1 << (bits - 1)), 1))
        return Tensor(name, shape, float(self.rng.uniform(0.01, 0.1)), zero_point, bits)

    # --- geometry

    def convolution(self, source: str, keep_shape: bool = False) -> Term:
        """A random convolution; with ``keep_shape``, one whose output has the input's shape."""
        rng, features = self.rng, self.features
        channels, *size = self.tensors[source].shape
        out, groups = _between(rng, features.channels), 1
        if channels > 1 and _chance(rng, features.depthwise, 0.2):
            groups = out = channels
        elif _chance(rng, features.groups, 0.3):
            groups = int(rng.choice([n for n in range(1, channels + 1) if channels % n == 0]))
            out = groups * max(1, out // groups)
        if keep_shape:
            out = channels
        strided = _chance(rng, features.strides, 0.3) and not keep_shape
        dilated = _chance(rng, features.dilation, 0.3)
        axes = [self._axis(length, strided, dilated, keep_shape) for length in size]
        kernel, stride, dilation, before, after = zip(*axes)
        return self.term(
            source,
            (out, channels // groups, *kernel),
            Window(kernel, stride, (*before, *after), dilation),
            groups,
        )

    def _axis(
        self, size: int, strided: bool, dilated: bool, keep_size: bool
    ) -> tuple[int, int, int, int, int]:
        """Kernel, stride, dilation, padding before and after, along an axis of ``size`` pixels."""
        rng, asymmetric = self.rng, self.features.asymmetric_padding
        kernel = int(
            rng.choice([k for k in self.features.kernels if asymmetric or k % 2 or not keep_size] or [1])
        )
        stride = _between(rng, (1, 3)) if strided else 1
        dilation = _between(rng, (1, 2)) if dilated else 1
        extent = dilation * (kernel - 1) + 1
        if keep_size:
            before = (extent - 1) // 2
            return kernel, 1, dilation, before, extent - 1 - before
        before = _between(rng, (0, extent // 2))
        after = _between(rng, (0, extent - 1)) if asymmetric else before
        if size + before + after < extent:
            return 1, stride, 1, 0, 0
        return kernel, stride, dilation, before, after

    def _pool(self, kind: str) -> None:
        _, height, width = self.tensors[self.last].shape
        axes = [self._pool_axis(height, kind), self._pool_axis(width, kind)]
        kernel, stride, dilation, before, after = zip(*axes)
        pool = MaxPool(self.name("pool"), (self.last,), Window(kernel, stride, (*before, *after), dilation))
        self.move(pool)

    def _pool_axis(self, size: int, kind: str) -> tuple[int, int, int, int, int]:
        """Windows side by side; or overlapping, perhaps dilated; or padded, but never all padding."""
        rng = self.rng
        kernel = min(size, _between(rng, (1, 3) if kind == "plain" else (2, 3)))
        if kind == "plain":
            return kernel, kernel, 1, 0, 0
        if kind == "subsampling":
            return 1, _between(rng, (1, 2)), 1, 0, 0
        stride = _between(rng, (1, max(1, kernel - 1)))
        if kind == "padded":
            return kernel, stride, 1, _between(rng, (0, kernel - 1)), _between(rng, (0, kernel - 1))
        dilation = 2 if _chance(rng, self.features.dilation, 0.2) and 2 * (kernel - 1) < size else 1
        return kernel, stride, dilation, 0, 0

    # --- weights

    def term(
        self,
        source: str,
        shape: tuple[int, int, int, int],
        window: Window | None = None,
        groups: int = 1,
    ) -> Term:
        """Random codes, offsets by which 0 is representable, and pruned blocks. Its scale is still open."""
        rng = self.rng
        bits = _between(rng, self.features.weight_bits)
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        anchor: Any = str(rng.choice(self.features.anchors))
        own = _chance(rng, self.features.per_channel)
        zero = rng.integers(low, high + 1, shape[0] if own else 1) // rng.choice(
            [1, 2, 4]
        )  # the code of weight 0
        if not self.features.offsets:
            anchor, zero = "min", np.zeros_like(zero)
        if anchor == "max":
            zero = np.minimum(zero, 126)  # the offset of a channel that 8 bits can store
        codes = rng.integers(low, high + 1, shape)
        step: Any = (
            int(rng.choice(self.features.steps)) if len(self.features.steps) > 1 else self.features.steps[0]
        )
        if step == 2 and not self.features.offsets:
            zero = -np.ones_like(zero)
        mask = self._mask(shape) if step == 1 else None  # odd weights have no zero
        if mask is not None:
            codes = np.where(mask, codes, zero.reshape(-1, 1, 1, 1))
        return Term(
            input=source,
            codes=codes.astype(np.int8),
            offset=step * (zero if anchor == "max" else -zero) + (step - 1) * (1 if anchor == "max" else -1),
            scale=np.ones(1),
            anchor=anchor,
            bits=bits,
            window=window or Window(shape[2:]),
            groups=groups,
            mask=mask,
            step=step,
        )

    def _mask(self, shape: tuple[int, int, int, int]) -> NDArray[np.bool_] | None:
        """Blocks of (output channels x input channels) at one kernel position are pruned together."""
        if not self.rng.random() < 2 * self.features.zero_blocks:
            return None
        (out, depth, height, width), (block_in, block_out) = shape, self.features.block
        blocks = (math.ceil(out / block_out), math.ceil(depth / block_in), height, width)
        kept = self.rng.random(blocks) >= self.features.zero_blocks
        mask = kept.repeat(block_out, axis=0)[:out].repeat(block_in, axis=1)[:, :depth]
        return None if mask.all() else mask

    def parallel(self, term: Term, out: int | None = None) -> Term:
        """Another term of the same input and geometry."""
        depth = term.codes.shape[1] * term.groups
        shape = (out or len(term.codes), depth, *term.codes.shape[2:])
        return self.term(term.input, shape, term.window)

    def _identity(self, term: Term) -> Term:
        """The input itself, times a power of two that makes it about as large as the other term."""
        zero_point = self.tensors[term.input].zero_point
        x = self.values[term.input]
        ratio = reference.convolve(term, x, zero_point).std() / max(1.0, float((x - zero_point).std()))
        shift = int(np.clip(np.round(np.log2(max(1.0, ratio))), 0, 12))
        codes = np.eye(len(term.codes), dtype=np.int8)[:, :, None, None]
        return Term(term.input, codes, np.zeros(1, np.int64), np.ones(1), bits=2, shift=shift)

    # --- layers

    def layer(self, terms: list[Term], like: Tensor | None = None) -> None:
        """A layer whose sums are scaled, about channel by channel, to fill the bits of its tensor."""
        rng, features, name = self.rng, self.features, self.name("conv")
        shape = terms[0].output_shape(self.tensors[terms[0].input].shape)
        tensor = self.tensor(name, shape) if like is None else replace(like, name=name, shape=shape)
        nothing = np.zeros(shape[0], np.int64)
        raw = Layer(name, tuple(terms), nothing, np.zeros(1, np.int64), *tensor.limits)
        acc = reference.accumulate(raw, self.values, self.tensors)
        spread = np.maximum(acc.std(axis=(0, 2, 3)), 1.0)
        if not _chance(rng, features.per_channel or features.channel_shifts):
            spread = spread.max(keepdims=True)
        bias = -acc.mean(axis=(0, 2, 3)) + spread * rng.normal(0, 0.5, shape[0])

        multiplier = None
        if _chance(rng, features.multiplier):
            multiplier = rng.integers(1 << 10, 1 << 15, len(spread))
        factor = np.ones(1) if multiplier is None else multiplier
        table = self._table(tensor) if features.tables and rng.random() < features.tables else None
        address = table or tensor
        steps = (1 << address.bits) / rng.uniform(3, 5)  # what the standard deviation of the output is to be
        shift = np.maximum(np.round(np.log2(spread * factor / steps)), 0).astype(np.int64)

        low, high = address.limits
        if _chance(rng, True):
            low = address.zero_point  # ReLU
        if _chance(rng, True, 0.2):
            high = _between(rng, (max(low, high // 2), high))  # ReLU6
        unit = address.scale * factor / 2.0**shift  # the real value of 1 in the accumulator
        scaled = [
            replace(term, scale=unit * 2.0**term.shift / self.tensors[term.input].scale) for term in terms
        ]
        self.tensors[name] = tensor
        layer = Layer(name, tuple(scaled), bias.astype(np.int64), shift, low, high, multiplier, table)
        acc = reference.accumulate(layer, self.values, self.tensors)
        self.values[name] = reference.requantize(acc, layer, tensor.zero_point)
        self.append(layer)

    def _table(self, tensor: Tensor) -> Table:
        """A table of 2 to 10 bits, of numbers that rise or are in no order."""
        size = 1 << _between(self.rng, (2, 10))
        values = self.rng.integers(tensor.limits[0], tensor.limits[1] + 1, size)
        values = np.sort(values) if self.rng.random() < 0.5 else values
        return Table(
            values, float(self.rng.uniform(0.01, 0.1)), _between(self.rng, (-size // 2, size // 2 - 1))
        )

    def move(self, node: MaxPool | Concat | Rearrange) -> None:
        """A layer that moves values without arithmetic."""
        first = self.tensors[node.inputs[0]]
        shape = node.output_shape(*(self.tensors[name].shape for name in node.inputs))
        self.tensors[node.name] = replace(first, name=node.name, shape=shape)
        self.values[node.name] = reference.evaluate(node, self.values, self.tensors)
        self.append(node)

    def append(self, node: QNode) -> None:
        """Append a node, which the next step reads."""
        self.nodes.append(node)
        self.last = node.name
