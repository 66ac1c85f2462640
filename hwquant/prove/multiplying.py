"""Claims of products of two activations: each pixel by the factor that came before it."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, signed

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.products import Products, product_columns

LATENCY = 2
"""Cycles from a lane to its product: claimed, so not asked of the component."""


def products(config: ArrayConfig) -> Claim:
    """Each lane is multiplied by the factor of its column."""
    bits = config.product_bits

    def build(harness: Harness) -> None:
        component = Products(config)
        zeros = harness.symbol("zeros", instruction_layout(config, Opcode.PRODUCT).size)
        dut = harness.component(component, zeros=zeros)
        mark = dut.factor
        for c in range(product_columns(config)):
            lane = dut.lanes[c][:bits].as_signed()
            factor = Signal(signed(bits + 1), name=f"factor{c}_kept")
            centred = Signal(signed(bits + 1), name=f"operand{c}")
            harness.m.d.comb += centred.eq(lane - Mux(mark, dut.zeros.factor, dut.zeros.pixel))
            with harness.m.If(mark):
                harness.m.d.sync += factor.eq(centred)
            harness.lemma(harness.inside(f"factor{c}", signed(bits + 1)) == harness.before(factor))
            expected = harness.before(harness.before(centred) * harness.before(factor))
            harness.always(dut.products[c] == expected)
            following = harness.before(mark)
            harness.lemma(harness.inside(f"factor_column{c + 1}_1") == following)
            mark = following
        for c in range(product_columns(config), config.columns):
            harness.always(dut.products[c] == 0)

    return Claim(
        f"Products: activations of {bits} bits, {config.columns} columns of {config.lanes} lanes",
        "product = (pixel - its zero) * (factor - its zero), 2 cycles later, with the factor before it; 0 in columns "
        "without a lane",
        build,
        Method.INDUCTION,
        LATENCY + config.columns,
    )


CLAIMS = (
    products(ArrayConfig(2, 2, activation_bits=8, product_bits=8)),
    products(ArrayConfig(2, 3, activation_bits=6, product_bits=4)),
)
"""Activations of all widths that a lane has, and of fewer."""
