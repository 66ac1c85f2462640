"""Products of two activations: which scales they allow, and what they are in integers.

A product of integers counts in units of ``S_a S_b``, and nothing about it is free: with a shift ``s`` alone its output
has the scale ``S_y = S_a S_b 2^s``. So the three mantissas are tied to each other, but for a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hwquant.errors import HwquantError
from hwquant.qgraph import Product
from hwquant.quantize.elimination import Cost
from hwquant.quantize.formats import Formats, Scale
from hwquant.quantize.groups import Partition
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.plans import Plan, ProductPlan
from hwquant.quantize.shifts import LARGEST_SHIFT, fixed_point

MOST_MANTISSAS = 64
"""Mantissas that a class may choose from because of products: those of one behind the other multiply."""
_SAME = 1e-9
"""Octaves by which mantissas that are the same differ at most."""


def scale_ends(product: ProductPlan, classes: Partition) -> tuple[str, str, str]:
    """The classes of a product's output, and of the two tensors that it reads."""
    a, b = (classes.find(name) for name in product.inputs)
    return classes.find(product.name), a, b


def with_products(
    plan: Plan,
    classes: Partition,
    labels: Mapping[str, Sequence[float]],
    every: Sequence[float],
    fixed: Mapping[str, float],
) -> dict[str, list[float]]:
    """Add the mantissas that products ask for, such that some choice suits all of them.

    Parameters
    ----------
    plan : Plan
        The layers and products of a network.
    classes : Partition
        Tensors whose scales differ by powers of two.
    labels : mapping of sequence of float
        The mantissas to choose from so far, by class.
    every : sequence of float
        Mantissas that a class may have in any case, 1 among them: with that everywhere, all products are right.
    fixed : mapping of float
        The mantissas of classes that have only one.

    Returns
    -------
    dict of list of float
        The mantissas to choose from, by class.
    """
    found = {name: [fixed[name]] if name in fixed else list(mantissas) for name, mantissas in labels.items()}

    def add(name: str, mantissas: Sequence[float], most: int | None = None) -> None:
        if name not in fixed:
            known = found[name]
            new = [item for item in mantissas if not any(_power_of_two(item / other) for other in known)]
            known += new if most is None else new[: max(0, most - len(known))]

    for product in plan.products:
        for name in scale_ends(product, classes):
            add(name, every)
    for product in plan.products:
        y, a, b = scale_ends(product, classes)
        products = (Scale.of(first * second).mantissa for first in found[a] for second in found[b])
        add(y, list({round(item, 12): item for item in products}.values()), MOST_MANTISSAS)
        if y in fixed:
            for one, other in ((a, b), (b, a)):
                add(one, [Scale.of(fixed[y] / mantissa).mantissa for mantissa in found[other]])
    return found


def product_costs(plan: Plan, classes: Partition, labels: Mapping[str, Sequence[float]]) -> Iterator[Cost]:
    """What products ask of the mantissas: infinite costs where the output's is not the product of the other two."""
    for product in plan.products:
        ends = scale_ends(product, classes)
        scope = tuple(dict.fromkeys(ends))
        grids = np.meshgrid(*(np.log2(labels[name]) for name in scope), indexing="ij")
        y, a, b = (dict(zip(scope, grids))[name] for name in ends)
        off = y - a - b
        yield Cost(scope, np.where(np.abs(off - np.round(off)) < _SAME, 0.0, np.inf))


def missing_octaves(product: ProductPlan, formats: Formats) -> int:
    """By how many powers of two the scale of a product's output is too fine: a shift can only make it coarser.

    Raises
    ------
    HwquantError
        The output's mantissa is not the product of the other two.
    """
    shift = _exact_shift(product, formats)
    return max(0, -shift)


def _exact_shift(product: ProductPlan, formats: Formats) -> int:
    y, a, b = (formats[name].scale for name in (product.name, *product.inputs))
    ratio = y.mantissa / (a.mantissa * b.mantissa)
    if not _power_of_two(ratio):
        raise HwquantError(
            f"the scales of product {product.name!r} cannot be brought together by shifts; quantize with --scales "
            "multiplier"
        )
    return y.exponent - a.exponent - b.exponent + round(math.log2(ratio))


def _power_of_two(ratio: float) -> bool:
    """Whether a ratio is a power of two."""
    octaves = math.log2(ratio)
    return abs(octaves - round(octaves)) < _SAME


def integer_product(product: ProductPlan, formats: Formats, options: QuantizeOptions) -> Product:
    """Make the integer product of a network whose tensors have their formats.

    Parameters
    ----------
    product : ProductPlan
        The float product.
    formats : Formats
        The formats of the tensors that it reads, and of its own.
    options : QuantizeOptions
        Its ``scales`` says whether there is a multiplier.

    Raises
    ------
    HwquantError
        The ranges of the tensors differ so much that the shift or the multiplier would be out of bounds.
    """
    output = formats[product.name]
    low, high = output.clamp(product.low, product.high)
    multiplier = None
    if options.scales == "multiplier":
        a, b = (formats[name].scale.value for name in product.inputs)
        factors, shifts = fixed_point(np.array([a * b / output.scale.value]))
        multiplier, shift = int(factors[0]), int(shifts[0])
    else:
        shift = _exact_shift(product, formats)
    if not 0 <= shift <= LARGEST_SHIFT:
        raise HwquantError(
            f"product {product.name!r} would need a shift of {shift} bits, not 0 to {LARGEST_SHIFT}: the ranges of "
            "what it reads and of its output differ too much; look for unusual values in the calibration data"
        )
    return Product(product.name, product.inputs, shift, low, high, multiplier)
