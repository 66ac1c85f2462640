"""Whether an integer network is one: every number within the bounds that :mod:`hwquant.qgraph` promises.

:class:`~hwquant.qgraph.QGraph` itself checks that nodes read what exists and that shapes agree. This checks
the rest, so that neither a file made by hand nor a faulty quantizer reaches the golden model or the hardware.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Moving
from hwquant.interface import Input, Output
from hwquant.qgraph import (
    MOST_TABLE_BITS,
    WIDEST,
    Concat,
    Layer,
    MaxPool,
    Product,
    QGraph,
    Rearrange,
    Table,
    Tensor,
    Term,
)
from hwquant.ranges import largest_sum, tensor_ranges
from hwquant.window import Window

PRODUCT_BITS = 8
"""Most bits of a tensor that is multiplied with another one."""
HOST_FUNCTIONS = ("softmax", "log_softmax", "argmax")
LARGEST_SCALE, SMALLEST_SCALE = 2.0**100, 2.0**-100
"""Bounds of a tensor's scale, far from where real values, or products of two scales, overflow a 32-bit float."""
LARGEST_TENSOR = 1 << 31
"""Most elements of a tensor."""
EXACT = 2.0**-40
"""Relative error of scales whose ratio must be a power of two: that of a few roundings of a float."""


def validate(qgraph: QGraph) -> None:
    """Raise unless every number of a network is as promised.

    Raises
    ------
    HwquantError
        A number is not; the message names the layer or the tensor.
    """
    validate_integers(qgraph)
    for node in qgraph.nodes:
        where = f"layer {node.name!r}"
        match node:
            case Layer():
                _scales(where, node, qgraph)
            case Product():
                _product_scales(where, node, qgraph)
            case MaxPool() | Concat() | Rearrange():
                pass
            case _:
                assert_never(node)


def validate_integers(qgraph: QGraph) -> None:
    """Raise unless every number that integers depend on is as promised: all but the relation of the scales.

    Raises
    ------
    HwquantError
        A number is not; the message names the layer or the tensor.
    """
    names = [item.name for item in (*qgraph.inputs, *qgraph.nodes)]
    _require(len(qgraph.inputs) > 0, "the network", "has no input")
    _require(len(qgraph.outputs) > 0, "the network", "has no output")
    for name in names:
        _require(names.count(name) == 1, f"tensor {name!r}", "is produced twice")
    for name in qgraph.tensors:
        _require(name in names, f"tensor {name!r}", "is produced by no input and no layer")
    for name, tensor in qgraph.tensors.items():
        _tensor(name, tensor)
    for item in qgraph.inputs:
        _input(item, qgraph)
    for output in qgraph.outputs:
        _output(output, qgraph)
    ranges = tensor_ranges(qgraph)
    for node in qgraph.nodes:
        where = f"layer {node.name!r}"
        match node:
            case Layer():
                _layer(where, node, qgraph)
            case Product():
                _product(where, node, qgraph)
            case MaxPool():
                _pool(where, node, qgraph)
            case Concat():
                _passes_through(where, node, qgraph)
                sizes = {qgraph.tensors[name].shape[1:] for name in node.inputs}
                _require(len(sizes) == 1, where, f"joins tensors of different sizes: {sorted(sizes)}")
            case Rearrange():
                _passes_through(where, node, qgraph)
            case _:
                assert_never(node)
        problem = "can overflow 64 bits: its weights, bias, multiplier or shift are too large"
        _require(largest_sum(node, qgraph, ranges) < 1 << 63, where, problem)


def _require(condition: bool, where: str, problem: str) -> None:
    if not condition:
        raise HwquantError(f"{where} {problem}")


def _positive(where: str, name: str, values: Iterable[int], least: int = 1) -> None:
    for value in values:
        _require(value >= least, where, f"has {name} {value}; it must be at least {least}")


def _array(
    where: str, name: str, array: NDArray[Any], dtype: type, shapes: Iterable[tuple[int, ...]]
) -> None:
    allowed = list(dict.fromkeys(shapes))
    _require(array.dtype == dtype, where, f"has {name} of dtype {array.dtype}, not {np.dtype(dtype)}")
    problem = f"has {name} of shape {array.shape}, not {' or '.join(map(str, allowed))}"
    _require(array.shape in allowed, where, problem)


def _tensor(name: str, tensor: Tensor) -> None:
    where = f"tensor {name!r}"
    _require(tensor.name == name, where, f"calls itself {tensor.name!r}")
    _positive(where, "a dimension of", tensor.shape)
    elements = math.prod(tensor.shape)
    _require(elements <= LARGEST_TENSOR, where, f"has {elements} elements, more than {LARGEST_TENSOR}")
    _require(2 <= tensor.bits <= WIDEST, where, f"has {tensor.bits} bits; 2 to {WIDEST} are possible")
    problem = (
        f"has the scale {tensor.scale}; it must be positive, from {SMALLEST_SCALE:.2g} to {LARGEST_SCALE:.2g}"
    )
    _require(SMALLEST_SCALE <= tensor.scale <= LARGEST_SCALE, where, problem)
    low, high = tensor.limits
    problem = f"has the zero point {tensor.zero_point} outside its {tensor.bits} bits, {low}..{high}"
    _require(low <= tensor.zero_point <= high, where, problem)


def _input(item: Input, qgraph: QGraph) -> None:
    where = f"input {item.name!r}"
    _require(item.name in qgraph.tensors, where, "has no tensor description")
    problem = f"becomes {item.tensor_shape}, its tensor is {qgraph.tensors[item.name].shape}"
    _require(item.tensor_shape == qgraph.tensors[item.name].shape, where, problem)
    elements = math.prod(item.tensor_shape)
    _require(
        math.prod(item.shape) == elements, where, f"of shape {item.shape} cannot become {item.tensor_shape}"
    )
    _order(where, item.order, elements, elements)
    if item.order is not None:
        _require(len(np.unique(item.order)) == elements, where, "has an order that takes an element twice")
    for name, array in (("scale", item.scale), ("shift", item.shift)):
        _require(array.dtype == np.float64, where, f"has {name} of dtype {array.dtype}, not float64")
        inside = bool((np.abs(array) <= LARGEST_SCALE).all())
        _require(inside, where, f"has a {name} that is not finite, or beyond {LARGEST_SCALE:.2g}")
        try:
            fits = np.broadcast_shapes(array.shape, item.shape) == item.shape
        except ValueError:
            fits = False
        _require(fits, where, f"has {name} of shape {array.shape}, which does not broadcast to {item.shape}")


def _output(output: Output, qgraph: QGraph) -> None:
    where = f"output {output.name!r}"
    available = math.prod(qgraph.tensors[output.tensor].shape)
    elements = math.prod(output.shape)
    if output.order is None:
        problem = f"of shape {output.shape} cannot hold tensor {output.tensor!r}"
        _require(elements == available, where, problem)
    _order(where, output.order, elements, available)
    for function in output.host:
        known = ", ".join(HOST_FUNCTIONS)
        _require(function in HOST_FUNCTIONS, where, f"has the host function {function!r}; there are {known}")
    for before, function in pairwise(output.host):
        after = "an argmax" if before == "argmax" else f"a {before}"
        possible = function == "argmax" and before != "argmax"
        _require(possible, where, f"asks for {function!r} after {after}; leave it to the host")
    _require(len(output.shape) > 0 or not output.host, where, "is a scalar, on which no host function works")


def _order(where: str, order: NDArray[np.int64] | None, elements: int, available: int) -> None:
    if order is None:
        return
    _array(where, "an order", order, np.int64, [(elements,)])
    inside = bool((order >= 0).all() and (order < available).all())
    _require(inside, where, f"has an order that points outside its {available} elements")


def _layer(where: str, layer: Layer, qgraph: QGraph) -> None:
    tensor = qgraph.tensors[layer.name]
    _require(len(layer.terms) > 0, where, "has no terms")
    channels = tensor.shape[0]
    one_or_all = [(1,), (channels,)]
    for index, term in enumerate(layer.terms):
        _term(
            f"{where}, term {index}," if len(layer.terms) > 1 else where,
            term,
            qgraph.tensors[term.input],
            tensor,
        )
    _array(where, "a bias", layer.bias, np.int64, [(channels,)])
    _array(where, "a shift", layer.shift, np.int64, one_or_all)
    inside = bool((layer.shift >= 0).all() and (layer.shift <= 62).all())
    _require(inside, where, f"has a shift of {layer.shift.min()}..{layer.shift.max()}; 0..62 is possible")
    if layer.multiplier is not None:
        _array(where, "a multiplier", layer.multiplier, np.int64, one_or_all)
        _require(bool((layer.multiplier > 0).all()), where, "has a multiplier that is not positive")
    if layer.table is not None:
        _table(where, layer.table, tensor)
    _clamp(where, layer, tensor.limits if layer.table is None else layer.table.limits)


def _clamp(where: str, node: Layer | Product, limits: tuple[int, int]) -> None:
    low, high = limits
    problem = f"clamps to {node.low}..{node.high}, which is not a range within {low}..{high}"
    _require(low <= node.low <= node.high <= high, where, problem)


def _product(where: str, node: Product, qgraph: QGraph) -> None:
    for name in node.inputs:
        bits = qgraph.tensors[name].bits
        problem = f"multiplies {name!r}, which has {bits} bits; factors have at most {PRODUCT_BITS}"
        _require(bits <= PRODUCT_BITS, where, problem)
    _require(0 <= node.shift <= 62, where, f"has a shift of {node.shift}; 0..62 is possible")
    if node.multiplier is not None:
        _require(node.multiplier > 0, where, f"has a multiplier of {node.multiplier}, which is not positive")
    _clamp(where, node, qgraph.tensors[node.name].limits)


def _product_scales(where: str, node: Product, qgraph: QGraph) -> None:
    """Raise unless ``S_a S_b m = S_y 2^s``: exactly, or where there is a multiplier, as well as an integer can."""
    a, b, y = (qgraph.tensors[name].scale for name in (*node.inputs, node.name))
    factor = 1 if node.multiplier is None else node.multiplier
    share = a * b / (y * factor / 2.0**node.shift)
    tolerance = EXACT if node.multiplier is None else 1 / factor + EXACT
    problem = f"rescales by another factor than its scales say: S_a S_b 2^s / m is {share:.7g} times the output's scale"
    _require(_near(np.array([share]), 1.0, tolerance), where, problem)


def _table(where: str, table: Table, tensor: Tensor) -> None:
    where = f"{where}, table,"
    _array(where, "values", table.values, np.int64, [(1 << bits,) for bits in range(2, MOST_TABLE_BITS + 1)])
    low, high = tensor.limits
    inside = bool((table.values >= low).all() and (table.values <= high).all())
    _require(inside, where, f"has values beyond the {tensor.bits} bits of its tensor, {low}..{high}")
    _require(
        SMALLEST_SCALE <= table.scale <= LARGEST_SCALE, where, f"has the scale {table.scale}, far from 1"
    )
    low, high = table.limits
    problem = f"has the zero point {table.zero_point} outside its {table.bits} bits, {low}..{high}"
    _require(low <= table.zero_point <= high, where, problem)


def _term(where: str, term: Term, source: Tensor, target: Tensor) -> None:
    _require(
        term.codes.ndim == 4 and term.codes.size > 0, where, f"has codes of shape {term.codes.shape}, not 4-D"
    )
    out, depth = term.codes.shape[:2]
    _array(where, "codes", term.codes, np.int8, [term.codes.shape])
    _require(1 <= term.bits <= 8, where, f"has weights of {term.bits} bits; 1 to 8 are possible")
    low, high = -(1 << (term.bits - 1)), (1 << (term.bits - 1)) - 1
    least, greatest = int(term.codes.min()), int(term.codes.max())
    problem = f"has codes {least}..{greatest}; its {term.bits} bits hold {low}..{high}"
    _require(low <= least and greatest <= high, where, problem)
    _require(term.anchor in ("min", "max"), where, f"has the anchor {term.anchor!r}, not 'min' or 'max'")
    _require(term.step in (1, 2), where, f"has weights {term.step} apart; steps of 1 and 2 are possible")
    _array(where, "an offset", term.offset, np.int64, [(1,), (out,)])
    _require(bool((np.abs(term.offset) < 1 << 31).all()), where, "has an offset beyond 32 bits")
    odd = term.step == 1 or bool((term.offset % 2 == 1).all())
    _require(odd, where, "has an even offset with weights 2 apart, on both sides of zero; it must be odd")
    _array(where, "a scale", term.scale, np.float64, [(1,), (out,)])
    inside = (term.scale >= SMALLEST_SCALE**2) & (term.scale <= LARGEST_SCALE**2)
    _require(bool(inside.all()), where, "has a scale that is not positive, or far from 1")
    _window(where, term.window)
    _require(0 <= term.shift <= 31, where, f"has a left shift of {term.shift}; 0..31 is possible")
    _positive(where, "groups of", [term.groups])
    reads = depth * term.groups
    problem = f"reads {reads} channels in {term.groups} groups, tensor {source.name!r} has {source.shape[0]}"
    _require(reads == source.shape[0], where, problem)
    _require(
        out % term.groups == 0, where, f"has {out} output channels, which {term.groups} groups do not divide"
    )
    shape = term.output_shape(source.shape)
    _require(shape == target.shape, where, f"produces {shape}, not {target.shape}")
    if term.mask is not None:
        _array(where, "a mask", term.mask, np.bool_, [term.codes.shape])
        _require(not term.weight[~term.mask].any(), where, "has pruned weights that are not zero")


def _scales(where: str, layer: Layer, qgraph: QGraph) -> None:
    """Raise unless ``S_x S_w 2^-k``, the accumulator's unit, is the same for every term, and ``S_y = unit 2^s / m``.

    Shifts are exact; a multiplier is an integer, so that it may be off by one.
    """
    target = layer.table.scale if layer.table else qgraph.tensors[layer.name].scale
    factor = np.ones(1) if layer.multiplier is None else layer.multiplier.astype(np.float64)
    unit = target * factor / 2.0**layer.shift
    first = np.ones(1)
    for index, term in enumerate(layer.terms):
        source = qgraph.tensors[term.input].scale
        share = source * term.scale * 2.0**-term.shift / unit  # 1 where all is exact
        first = share if index == 0 else first
        problem = f"and its term {index} count in different units: S_x S_w 2^-k differs from the first term's"
        _require(_near(share, first, EXACT), where, problem)
        tolerance = EXACT if layer.multiplier is None else 1 / factor + EXACT
        problem = (
            f"rescales by another factor than its scales say: S_x S_w 2^(s-k) / m is up to {share.max():.7g}, and down "
            f"to {share.min():.7g}, times the output's scale"
        )
        _require(_near(share, 1.0, tolerance), where, problem)


def _near(values: NDArray[Any], wanted: NDArray[Any] | float, tolerance: NDArray[Any] | float) -> bool:
    return bool((np.abs(values / wanted - 1) <= tolerance).all())


def _window(where: str, window: Window) -> None:
    _positive(where, "a kernel of", window.kernel)
    _positive(where, "a stride of", window.stride)
    _positive(where, "a padding of", window.padding, 0)
    _positive(where, "a dilation of", window.dilation)


def _pool(where: str, pool: MaxPool, qgraph: QGraph) -> None:
    _window(where, pool.window)
    real = pool.window.sees_a_pixel_everywhere(qgraph.tensors[pool.inputs[0]].shape[1:])
    _require(real, where, "has a window that covers only padding; give it less padding")
    _passes_through(where, pool, qgraph)


def _passes_through(where: str, node: Moving, qgraph: QGraph) -> None:
    """Raise unless a node that only moves integers leaves their format as it is."""
    target = qgraph.tensors[node.name]
    for name in node.inputs:
        source = qgraph.tensors[name]
        same = (source.scale, source.zero_point, source.bits) == (
            target.scale,
            target.zero_point,
            target.bits,
        )
        _require(same, where, f"and its input {name!r} differ in scale, zero point or bits")
