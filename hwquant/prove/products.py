"""Claims of what multiplies: the products of all operands, in all cycles."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Signal, Value, signed

from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.registered_product import whole
from hwquant.rtl_templates.soft_product import SoftProduct
from hwquant.rtl_templates.ternary_product import TernaryProduct


def taken(harness: Harness, weight: Value, swap: Value) -> Signal:
    """The weight that multiplies: that of the last swap."""
    active = Signal(weight.shape(), name="active_weight")
    with harness.m.If(swap):
        harness.m.d.sync += active.eq(weight)
    return active


def soft_product(x_bits: int, weight_bits: int, appended: int | None, stages: int) -> Claim:
    """The product of look-up tables is that of the activation and the last weight that was taken."""

    def build(harness: Harness) -> None:
        dut = harness.component(SoftProduct(x_bits, weight_bits, appended, stages))
        weight = whole(dut.weight, appended)
        active = taken(harness, weight, dut.swap)
        digits: Value = Value.cast(0)
        for k in range(len(weight) // 2 + 1):
            digit = harness.inside(f"digit{k}", 2)
            # 3 is -1
            digits = digits + ((digit - ((digit == 3) << 2)) << (2 * k))
        harness.lemma(digits == active)
        expected = harness.before(harness.before(dut.x) * active, stages)
        harness.always(dut.product == expected)

    return Claim(
        _named("SoftProduct", x_bits, weight_bits, appended, stages),
        f"product = x * weight, {1 + stages} cycles later, with the weight of the last swap",
        build,
        Method.INDUCTION,
        2 + stages,
    )


def _named(component: str, x_bits: int, weight_bits: int, appended: int | None, stages: int) -> str:
    ending = "" if appended is None else f" with a {appended} appended"
    return f"{component}: {x_bits} x {weight_bits} bits{ending}, {stages} stage{'s' * (stages > 1)}"


CLAIMS: list[Claim] = [
    soft_product(4, 4, None, 2),
    soft_product(8, 8, None, 2),
]
_Build = Callable[[Harness], None]
_ = (TernaryProduct, signed)
