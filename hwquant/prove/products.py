"""Claims of what multiplies: the products of all operands, in all cycles."""

from __future__ import annotations

from amaranth.hdl import Signal, Value

from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.paired_product import PackedProduct
from hwquant.rtl_templates.pe import ProcessingElement
from hwquant.rtl_templates.registered_product import whole
from hwquant.rtl_templates.soft_product import SoftProduct
from hwquant.rtl_templates.ternary_product import TernaryProduct


def soft_product(x_bits: int, weight_bits: int, appended: int | None, stages: int) -> Claim:
    """The product of look-up tables is that of the activation and the last weight that was taken."""

    def build(harness: Harness) -> None:
        dut = harness.component(SoftProduct(x_bits, weight_bits, appended, stages))
        active = _taken(harness, whole(dut.weight, appended), dut.swap, appended or 0)
        harness.lemma(_of_digits(harness, "", weight_bits, appended) == active)
        harness.always(dut.product == harness.before(harness.before(dut.x) * active, stages))

    return Claim(
        _named("SoftProduct", x_bits, weight_bits, appended, stages),
        f"product = x * weight, {1 + stages} cycles later, with the weight of the last swap",
        build,
        Method.INDUCTION,
        2 + stages,
    )


def ternary_product(x_bits: int, weight_bits: int, appended: int | None, stages: int) -> Claim:
    """The product of a weight that is -1, 0 or 1 is that of the activation and the last weight that was taken."""

    def build(harness: Harness) -> None:
        dut = harness.component(TernaryProduct(x_bits, weight_bits, appended, stages))
        weight = whole(dut.weight, appended)
        harness.assume(weight != -2)
        active = _taken(harness, weight, dut.swap, appended or 0)
        harness.lemma(whole(harness.inside("active", dut.weight.shape()), appended) == active)
        harness.lemma(active != -2)
        harness.always(dut.product + dut.one == harness.before(harness.before(dut.x) * active, stages))

    return Claim(
        _named("TernaryProduct", x_bits, weight_bits, appended, stages),
        f"product + one = x * weight, {1 + stages} cycles later, with the weight of the last swap, which is not -2",
        build,
        Method.INDUCTION,
        2 + stages,
    )


def packed_product(x_bits: int, weight_bits: int, wide_bits: int) -> Claim:
    """Both products of one multiplication are those of the activation and the last weights that were taken."""

    class Packed(PackedProduct):
        """A multiplier with an operand of so many bits."""

        wide, narrow = wide_bits, 18

    def build(harness: Harness) -> None:
        component = Packed(x_bits, weight_bits)
        dut = harness.component(component)
        spacing, overlap = Packed.spacing(x_bits, weight_bits), Packed.overlap(x_bits, weight_bits)
        active = [_taken(harness, dut.weights[n], dut.swap) for n in range(2)]
        packed = harness.inside(
            "active", range(-(1 << (spacing + weight_bits)), 1 << (spacing + weight_bits))
        )
        harness.lemma(packed == (active[1] << spacing) + active[0])
        for k in range(-(-overlap // 2)):
            digit = harness.inside(f"digit{k}", 2)
            # A digit follows from the bits of the weight up to its own.
            carry = Value.cast(0) if k == 0 else _carried(active[1], k)
            harness.lemma(digit == ((active[1] >> (2 * k))[:2] + carry)[:2])
        for n in range(2):
            harness.always(dut.products[n] == harness.before(harness.before(dut.x) * active[n], 2))

    return Claim(
        f"PackedProduct: {x_bits} x {weight_bits} bits twice, in an operand of {wide_bits}",
        "products[n] = x * weights[n], 3 cycles later, with the weights of the last swap",
        build,
        Method.INDUCTION,
        4,
    )


def processing_element(
    x_bits: int,
    weight_bits: int,
    sum_bits: int,
    product: type[SoftProduct] | type[TernaryProduct] | None,
    stages: int = 2,
) -> Claim:
    """An element adds its product to the sum from above, and hands on what goes on."""

    def build(harness: Harness) -> None:
        element = ProcessingElement(
            activation_bits=x_bits,
            operand_bits=weight_bits,
            sum_bits=sum_bits,
            next_bits=sum_bits + 1,
            product=product,
            stages=stages,
        )
        dut = harness.component(element)
        shadow = Signal(dut.weight.shape(), name="shadow_weight")
        with harness.m.If(dut.load):
            harness.m.d.sync += shadow.eq(dut.weight)
        active = _taken(harness, shadow, dut.swap)
        if product is SoftProduct:
            harness.lemma(_of_digits(harness, "product.", weight_bits, None) == active)
        else:
            name = "product.active" if product else "active"
            harness.lemma(harness.inside(name, active.shape()) == active)
        if product is TernaryProduct:
            harness.assume(dut.weight != -2)
            harness.lemma((shadow != -2) & (active != -2))
        total = dut.sum + harness.before(harness.before(dut.x) * active, stages)
        expected = Signal(dut.sum_next.shape(), name="expected")
        harness.m.d.comb += expected.eq(total)
        harness.assume(expected == total)  # the compiler proves that no sum is wider
        harness.always(dut.sum_next == harness.before(expected))
        harness.always(dut.x_next == harness.before(dut.x))
        harness.always(dut.swap_next == harness.before(dut.swap))
        harness.always(dut.weight_next == shadow)

    return Claim(
        f"ProcessingElement: {x_bits} x {weight_bits} bits, {product.__name__ if product else 'a multiplication'}"
        f"{', 1 stage' * (stages == 1)}",
        "sum_next = sum + x * weight; activations, marks and weights go on a cycle later",
        build,
        Method.INDUCTION,
        3 + stages,
    )


def _taken(harness: Harness, weight: Value, swap: Value, init: int = 0) -> Signal:
    """The weight that multiplies: that of the last swap; before any, the one that registers begin with."""
    active = Signal(weight.shape(), name="active_weight", init=init)
    with harness.m.If(swap):
        harness.m.d.sync += active.eq(weight)
    return active


def _of_digits(harness: Harness, where: str, weight_bits: int, appended: int | None) -> Value:
    """The number that the digits of a stationary weight stand for; 3 is -1."""
    total: Value = Value.cast(0)
    for k in range(weight_bits // 2 + 1):
        if k == 0 and appended is not None:
            high = harness.inside(f"{where}digit0")
            total = appended - (high << 1) * (1 if appended else -1)
            continue
        digit = harness.inside(f"{where}digit{k}", 2)
        total = total + ((digit - (digit.all() << 2)) << (2 * k))
    return total


def _carried(weight: Value, digit: int) -> Value:
    """What the digits below carry into a digit: their bits are more than all 2s, from the highest that is not 2."""
    carry: Value = Value.cast(0)
    for k in range(digit):
        pair = weight[2 * k :][:2]
        carry = (pair == 3) | ((pair == 2) & carry)
    return carry


def _named(component: str, x_bits: int, weight_bits: int, appended: int | None, stages: int) -> str:
    ending = "" if appended is None else f" with a {appended} appended"
    return f"{component}: {x_bits} x {weight_bits} bits{ending}, {stages} stage{'s' * (stages > 1)}"


CLAIMS = (
    soft_product(4, 4, None, 2),
    soft_product(4, 4, None, 1),
    soft_product(5, 3, None, 2),
    soft_product(4, 2, None, 2),
    ternary_product(8, 2, None, 2),
    ternary_product(8, 1, None, 1),
    ternary_product(8, 2, 1, 2),
    packed_product(3, 3, 9),
    packed_product(4, 3, 8),
    processing_element(8, 8, 20, None),
    processing_element(8, 2, 12, TernaryProduct),
    processing_element(4, 4, 12, SoftProduct),
    soft_product(8, 8, None, 2),
)
"""Claims of widths that decide quickly, and of the widest that decide."""
