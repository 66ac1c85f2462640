"""The integer layers in standard ONNX operators.

An activation ``q`` of at most 8 signed bits is carried as uint8 ``q + 128``: two unsigned operands are what
every processor multiplies without saturating on the way. A convolution is a ConvInteger (int32 sums), which
subtracts both zero points and pads with that of the activation, and so is ``sum (w_q + o)(x_q - z_x)`` as it
is written, where ``-o`` fits into the zero point of the weights. Where it does not, or differs from channel
to channel, ``o * sum (x_q - z_x)`` is added, from a second ConvInteger whose weights are 1.

Sums that a layer did not rescale have more bits. They are carried as uint32 ``q + 2^15`` or ``q + 2^23``, and
multiplied byte by byte: a ConvInteger for each, which subtracts the same byte of ``z_x`` carried likewise, and a sum
of the results times ``256^i``.

A product of two tensors is a Mul of both, less their zero points, in int32 or int64.

The arithmetic shift is BitShift, which ONNX has for unsigned integers only: a multiple of ``2^s`` is added
before that makes every sum non-negative, and its quotient is subtracted after it. That this never overflows,
in int32 or else in int64, follows from the weights (:mod:`hwquant.ranges`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Unsupported
from hwquant.export.builder import Builder
from hwquant.export.rearranged import add_rearranged
from hwquant.export.weights import WeightOperand
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, Product, QGraph, QNode, Rearrange, Tensor, Term
from hwquant.ranges import Range, accumulator_bound, product_bound, tensor_ranges

BYTE = 8


def byte_count(tensor: Tensor) -> int:
    """Number of bytes that a tensor's integers are carried in."""
    return -(-tensor.bits // BYTE)


def middle(tensor: Tensor) -> int:
    """What is added to a tensor's signed integers to carry them as unsigned ones."""
    return 1 << (BYTE * byte_count(tensor) - 1)


def carrier(tensor: Tensor) -> type:
    """The type that a tensor's integers are carried in."""
    return np.uint8 if tensor.bits <= BYTE else np.uint32


def carried(tensor: Tensor) -> str:
    """The name of a tensor's unsigned value, ``q`` plus its :func:`middle`."""
    return f"{tensor.name}/{np.dtype(carrier(tensor)).name}"


def _channels(values: IntArray) -> IntArray:
    """Values [1] or [out] for broadcasting over (N, C, H, W)."""
    return values.reshape(1, -1, 1, 1)


class LayerWriter:
    """The network's layers as nodes of an ONNX graph, written one after the other.

    Parameters
    ----------
    builder : Builder
        The ONNX graph.
    qgraph : QGraph
        The network.
    """

    def __init__(self, builder: Builder, qgraph: QGraph) -> None:
        self.builder, self.qgraph = builder, qgraph
        self.tensors: Mapping[str, Tensor] = qgraph.tensors
        self.ranges: Mapping[str, Range] = tensor_ranges(qgraph)

    def add(self, node: QNode) -> None:
        """Add the nodes that compute one tensor.

        Parameters
        ----------
        node : QNode
            The network's node for it.

        Raises
        ------
        HwquantError
            A sum of the named layer does not fit into the integers that ONNX has.
        """
        match node:
            case Layer():
                self._layer(node)
            case Product():
                self._product(node)
            case MaxPool():
                self._pool(node)
            case Concat():
                names = [carried(self.tensors[name]) for name in (*node.inputs, node.name)]
                self.builder.node("Concat", names[:-1], names[-1], axis=1)
            case Rearrange():
                self._rearrange(node)
            case _:
                assert_never(node)

    def _layer(self, layer: Layer) -> None:
        builder, name = self.builder, layer.name
        operands = [WeightOperand.of(term) for term in layer.terms]
        lift, dtype = self._width(layer, operands)
        total = ""
        for index, (term, operand) in enumerate(zip(layer.terms, operands)):
            suffix = f"_{index}" if len(layer.terms) > 1 else ""
            part = self._term(name, term, operand, suffix, dtype)
            total = builder.node("Add", [total, part], f"{name}/sum{suffix}") if total else part
        bias = builder.constant(f"{name}/bias", _channels(layer.bias), dtype)
        total = builder.node("Add", [total, bias], f"{name}/accumulator", "b_q + sum of the terms")
        if layer.multiplier is not None:
            factor = builder.constant(f"{name}/multiplier", _channels(layer.multiplier), dtype)
            total = builder.node("Mul", [total, factor], f"{name}/multiplied", "acc * m")
        clamped = self._requantize(layer, layer.shift, total, lift, dtype)
        if layer.table is not None:
            entries = builder.constant(
                f"{name}/table", layer.table.values + middle(self.tensors[name]), dtype
            )
            clamped = builder.node(
                "Gather", [entries, clamped], f"{name}/looked_up", "table[address]", axis=0
            )
        self._carry(name, clamped)

    def _product(self, product: Product) -> None:
        builder, name = self.builder, product.name
        bound = product_bound(product, self.qgraph, self.ranges)
        lift = -(-bound // (1 << product.shift))
        factor = 1 if product.multiplier is None else product.multiplier
        dtype = self._sum_type(name, [bound + (lift << product.shift), 1 << product.shift, factor])
        factors = []
        for number, source in enumerate(product.inputs):
            tensor, suffix = self.tensors[source], f"_{number}"
            zero = builder.constant(f"{name}/zero{suffix}", tensor.zero_point + middle(tensor), dtype)
            wide = builder.cast(carried(tensor), dtype, f"{name}/wide{suffix}")
            factors.append(builder.node("Sub", [wide, zero], f"{name}/factor{suffix}", "q - z"))
        total = builder.node("Mul", factors, f"{name}/product", "(a_q - z_a) * (b_q - z_b)")
        if product.multiplier is not None:
            constant = builder.constant(f"{name}/multiplier", product.multiplier, dtype)
            total = builder.node("Mul", [total, constant], f"{name}/multiplied", "acc * m")
        self._carry(
            name, self._requantize(product, np.array([product.shift]), total, np.array([lift]), dtype)
        )

    def _sum_type(self, name: str, peaks: list[int]) -> type:
        """The type that holds all of these: int32, else int64."""
        if max(peaks) >= 1 << 63:
            raise Unsupported(
                f"layer {name!r} reaches {max(peaks):.3g}, beyond ONNX's 64-bit integers; quantize it with "
                "a smaller multiplier or smaller offsets",
                where=name,
            )
        return np.int32 if max(peaks) < 1 << 31 else np.int64

    def _carry(self, name: str, clamped: str) -> None:
        """Convert a layer's output to the type that carries it."""
        builder, tensor = self.builder, self.tensors[name]
        doc = f"{name}: real value {tensor.scale!r} * (q - {tensor.zero_point}), q = this - {middle(tensor)}"
        builder.cast(clamped, carrier(tensor), carried(tensor), doc)

    def _width(self, layer: Layer, operands: list[WeightOperand]) -> tuple[IntArray, type]:
        """What to add, in units of ``2^s`` by channel, against negative sums; and the type of the sums.

        The type is int32 where it holds them, else int64.
        """
        bound = accumulator_bound(layer, self.qgraph, self.ranges)
        shift = np.broadcast_to(layer.shift, len(bound)).tolist()
        lift = [-(-value // (1 << s)) for value, s in zip(bound, shift)]
        peaks = [value + (up << s) for value, up, s in zip(bound, lift, shift)]
        for term, operand in zip(layer.terms, operands):
            source, (low, high) = self.tensors[term.input], self.ranges[term.input]
            largest, bytes_ = (
                max(abs(low - source.zero_point), abs(high - source.zero_point)),
                byte_count(source),
            )
            each = largest if bytes_ == 1 else (1 << BYTE) - 1
            if operand.sum_bound(each) >= 1 << 31:
                raise Unsupported(
                    f"layer {layer.name!r} sums {operand.window} products to as much as "
                    f"{operand.sum_bound(each):,}, beyond the 32 bits of ONNX's ConvInteger; split the layer",
                    where=layer.name,
                )
            peaks += [operand.bound(largest) << term.shift, 1 << term.shift]
            peaks += [operand.bound(each) << (BYTE * bytes_)] * (bytes_ > 1)
        if layer.multiplier is not None:
            peaks.append(int(layer.multiplier.max()))
        return np.array(lift, np.int64), self._sum_type(layer.name, peaks)

    def _requantize(
        self, layer: Layer | Product, shift: IntArray, total: str, lift: IntArray, dtype: type
    ) -> str:
        """Add ``clamp(((x + half of 2^s) >> s) + z_y)``: what is carried, or the place in a table."""
        builder, name, unsigned = self.builder, layer.name, np.uint32 if dtype is np.int32 else np.uint64
        table = layer.table if isinstance(layer, Layer) else None
        tensor = self.tensors[name]
        centre = middle(tensor) if table is None else -table.limits[0]
        rounding = (lift << shift) + ((1 << shift) >> 1)
        zero_point = (table or tensor).zero_point + centre - lift
        added = builder.constant(f"{name}/rounding", _channels(rounding), dtype)
        doc = "half of 2^s, and a multiple of 2^s that makes every sum non-negative"
        total = builder.node("Add", [total, added], f"{name}/rounded", doc)
        total = builder.cast(total, unsigned, f"{name}/unsigned")
        amount = builder.constant(f"{name}/shift", _channels(shift), unsigned)
        total = builder.node("BitShift", [total, amount], f"{name}/shifted", ">> s", direction="RIGHT")
        total = builder.cast(total, dtype, f"{name}/signed")
        added = builder.constant(f"{name}/zero_point", _channels(zero_point), dtype)
        doc = f"z_y + {centre}, without the multiple that was added before the shift"
        total = builder.node("Add", [total, added], f"{name}/centred", doc)
        limits = [
            builder.constant(f"{name}/low", layer.low + centre, dtype),
            builder.constant(f"{name}/high", layer.high + centre, dtype),
        ]
        return builder.node("Clip", [total, *limits], f"{name}/clamped")

    def _term(self, name: str, term: Term, operand: WeightOperand, suffix: str, dtype: type) -> str:
        """Add one term of the accumulator."""
        builder = self.builder
        doc = f"{term.bits}-bit weights, {term.scale.min():.6g} * (adjusted weight)"
        point = operand.zero_point
        total = self._convolve(f"{name}/weight{suffix}", term, operand.stored, point, dtype, doc)
        if operand.factor != 1:
            factor = builder.constant(f"{name}/step{suffix}", operand.factor, dtype)
            total = builder.node("Mul", [total, factor], f"{name}/stepped{suffix}", f"* {operand.factor}")
        if operand.offset is not None:
            # Where all output channels see the same inputs, one window sum serves them all.
            ones = np.ones_like(operand.stored[:1] if term.groups == 1 else operand.stored)
            window = self._convolve(f"{name}/window{suffix}", term, ones, 0, dtype, "sum (x_q - z_x)")
            offset = builder.constant(f"{name}/offset{suffix}", _channels(operand.offset), dtype)
            doc = "o * sum (x_q - z_x)"
            window = builder.node("Mul", [window, offset], f"{name}/offset_product{suffix}", doc)
            total = builder.node("Add", [total, window], f"{name}/adjusted{suffix}")
        if term.shift:
            factor = builder.constant(f"{name}/term_factor{suffix}", 1 << term.shift, dtype)
            total = builder.node("Mul", [total, factor], f"{name}/term{suffix}", f"* 2^{term.shift}")
        return total

    def _convolve(
        self, name: str, term: Term, weight: NDArray[np.uint8], zero_point: int, dtype: type, doc: str
    ) -> str:
        """Add ``sum (weight - zero_point)(x_q - z_x)``, padding being ``z_x``."""
        builder, source = self.builder, self.tensors[term.input]
        carried_zero, total = source.zero_point + middle(source), ""
        parts = [name] if byte_count(source) == 1 else [f"{name}_byte_{i}" for i in range(byte_count(source))]
        builder.constant(name, weight, np.uint8)
        for index, part in enumerate(parts):
            zero = (carried_zero >> (BYTE * index)) & ((1 << BYTE) - 1)
            builder.constant(f"{part}_input_zero_point", zero, np.uint8)
        weights = name, builder.constant(f"{name}_zero_point", zero_point, np.uint8)
        for index, part in enumerate(parts):
            x = carried(source) if part == name else self._byte(source, index, part)
            made = self._convolve_bytes(part, x, weights, term, doc)
            if dtype is not np.int32:
                made = builder.cast(made, dtype, f"{part}_wide")
            if index:
                factor = builder.constant(f"{part}_factor", 1 << (BYTE * index), dtype)
                made = builder.node("Mul", [made, factor], f"{part}_product", f"* 256^{index}")
            total = builder.node("Add", [total, made], f"{part}_sum") if total else made
        return total

    def _byte(self, tensor: Tensor, index: int, name: str) -> str:
        """Add a byte of a tensor's carried value, 0 being the lowest; a cast drops what is above it."""
        amount = self.builder.constant(f"{name}_amount", BYTE * index, np.uint32)
        shifted = self.builder.node(
            "BitShift", [carried(tensor), amount], f"{name}_shifted", direction="RIGHT"
        )
        return self.builder.cast(shifted, np.uint8, f"{name}_input")

    def _convolve_bytes(self, name: str, x: str, weights: tuple[str, str], term: Term, doc: str) -> str:
        """Add a ConvInteger of bytes less their zero point with weights less theirs."""
        return self.builder.node(
            "ConvInteger",
            [x, weights[0], f"{name}_input_zero_point", weights[1]],
            f"{name}_convolution",
            doc,
            kernel_shape=term.window.kernel,
            strides=term.window.stride,
            pads=term.window.padding,
            dilations=term.window.dilation,
            group=term.groups,
        )

    def _rearrange(self, node: Rearrange) -> None:
        tensor, sources = self.tensors[node.name], [self.tensors[name] for name in node.inputs]
        add_rearranged(
            self.builder,
            node,
            [carried(source) for source in sources],
            [source.shape for source in sources],
            carried(tensor),
            np.asarray(tensor.zero_point + middle(tensor), carrier(tensor)),
        )

    def _pool(self, pool: MaxPool) -> None:
        builder, tensor = self.builder, self.tensors[pool.name]
        source, target = carried(self.tensors[pool.inputs[0]]), carried(tensor)
        sizes = self.tensors[pool.inputs[0]].shape[1:]
        positions = self.tensors[pool.name].shape[1:]
        before = pool.window.padding[:2]
        # Padding that no window reaches is left away: MaxPool wants less padding than kernel.
        after = tuple(
            max(0, (count - 1) * stride + (kernel - 1) * dilation + 1 - size - first)
            for count, stride, kernel, dilation, size, first in zip(
                positions, pool.window.stride, pool.window.kernel, pool.window.dilation, sizes, before
            )
        )
        window: dict[str, Any] = {
            "kernel_shape": pool.window.kernel,
            "strides": pool.window.stride,
            "dilations": pool.window.dilation,
        }
        padding = (*before, *after)
        plain = all(pad < kernel for pad, kernel in zip(padding, pool.window.kernel * 2))
        if plain and carrier(tensor) is np.uint8:
            builder.node("MaxPool", [source], target, pads=padding, **window)
            return
        # MaxPool knows no uint32, but float32 holds it. A dilated window can want more padding than MaxPool takes: in
        # float32 there is a number below all others to pad with.
        real = builder.cast(source, np.float32, f"{pool.name}/real")
        amounts = builder.constant(f"{pool.name}/padding", [0, 0, *before, 0, 0, *after], np.int64)
        lowest = builder.constant(f"{pool.name}/lowest", -1, np.float32)
        real = builder.node("Pad", [real, amounts, lowest], f"{pool.name}/padded")
        real = builder.node("MaxPool", [real], f"{pool.name}/pooled", **window)
        builder.cast(real, carrier(tensor), target)
