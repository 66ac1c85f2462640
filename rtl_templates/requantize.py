"""Requantization: from a finished sum to an output activation."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.facts import Facts, Inside, Product
from hwquant.rtl_templates.registered_product import OutputProduct

FINE = 2
"""Bits of the shift that the second shifter handles, which also saturates; the first shifts by multiples of 4."""


def saturate(value: Value, bits: int) -> Value:
    """Saturate a value.

    Parameters
    ----------
    value : Value
        A signed value of any width.
    bits : int
        Width of the result.

    Returns
    -------
    Value
        The nearest ``bits``-bit signed integer.
    """
    top = value[bits - 1 :]
    least, greatest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    fits = (top == 0) | top.all()
    return Mux(fits, value[:bits].as_signed(), Mux(value[-1], least, greatest))


def above(value: Value, limit: Value) -> Value:
    """Compare two signed values: ``value > limit``, as the sign of the difference.

    A comparison of signed numbers is made of an overflow and a sign, which ends a chain of carries one bit early, and
    leads it out of ECP5's chain and in again.
    """
    return (limit - value)[-1]


class Requantizer(Component):
    """The step from a sum to an activation: shift, round, clamp.

    ::

        value = clamp(total >> shift, low, high)                                             without a multiplier
        value = clamp((((total * multiplier >> shift) + 1) >> 1) + zero, low, high)          with one

    Without a multiplier, the compiler has folded the rounding term and the zero point into the bias, so that a plain
    arithmetic shift is exact. With a multiplier, ``shift`` is one less than the shift that is meant: the
    result is rounded by ``(v + 1) >> 1``, which is the same as adding half beforehand.

    Throughput: one value a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Widths; whether there is a multiplier.

    Attributes
    ----------
    latency : int
        Cycles from ``total`` to ``value``: two shifters and the clamp; with a multiplier also two for the product and
        one to round.

    Members
    -------
    total : In(signed(config.accumulator_bits))
        A finished sum.
    shift : In(config.shift_bits)
        Bits by which the sum is shifted to the right, less ``config.least_shift``, in the same cycle as ``total``.
    multiplier : In(signed(config.multiplier_bits))
        Factor of the sum, in the same cycle as ``total``; only where the configuration has one.
    low : In(signed(config.requantized_bits))
        The least output; constant during a layer.
    high : In(signed(config.requantized_bits))
        The greatest output; constant during a layer.
    zero : In(signed(config.requantized_bits))
        The zero point, used with a multiplier only; constant during a layer.
    value : Out(signed(config.requantized_bits))
        The output, or what it is looked up with.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.latency = 3 + (3 if config.multiplier_bits else 0)
        activation = signed(config.requantized_bits)
        ports = {
            "total": In(signed(config.accumulator_bits)),
            "shift": In(config.shift_bits),
            "low": In(activation),
            "high": In(activation),
            "zero": In(activation),
            "value": Out(activation),
        }
        if config.multiplier_bits:
            ports["multiplier"] = In(signed(config.multiplier_bits))
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        """Build the product where there is one, the two shifters, and the clamp."""
        m = Module()
        bits = self.config.requantized_bits
        total, shift = self.total, self.shift
        if self.config.multiplier_bits:
            total = self._scaled(m, platform if isinstance(platform, DspBudget) else None)
            shift = delayed(m, shift, 2, name="shift")

        total = total.shift_right(self.config.least_shift)
        coarse = Signal(signed(len(total)), reset_less=True)
        m.d.sync += coarse.eq(total >> (shift[FINE:] << FINE))
        fine = delayed(m, shift[:FINE], 1, name="fine")
        # With a multiplier, one more bit for rounding and one for the zero point.
        wide = bits + (2 if self.config.multiplier_bits else 0)
        narrow = Signal(signed(wide), reset_less=True)
        m.d.sync += narrow.eq(saturate(coarse >> fine, wide))
        if self.config.multiplier_bits:
            rounded = Signal(signed(wide), reset_less=True)
            m.d.sync += rounded.eq(((narrow + 1) >> 1) + self.zero)
            narrow = rounded
        value = Signal(signed(bits), reset_less=True)
        clamped = Mux(above(narrow, self.high), self.high, narrow)
        m.d.sync += value.eq(Mux(above(self.low, narrow), self.low, clamped))
        m.d.comb += self.value.eq(value)
        return m

    def _scaled(self, m: Module, budget: DspBudget | None) -> Signal:
        """Build the product of the sum and its multiplier, two cycles later."""
        product = Signal(signed(len(self.total) + len(self.multiplier)), name="product", reset_less=True)
        parts = _parts(self.config, budget)
        output = budget.dsp.output if budget else None
        if output is None or not parts:
            # Without "keep", Yosys' ice40_dsp takes both registers into a DSP block, and leaves its output unconnected:
            # every product would be zero.
            product.attrs["keep"] = 1
            m.d.sync += product.eq(self.total * self.multiplier)
            return delayed(m, product, 1, name="product")
        place, scaled = 0, []
        for name, bits in parts.items():
            m.submodules[name] = block = output(bits, len(self.multiplier))
            last = place + bits >= len(self.total)
            operand = self.total[place:] if last else Cat(self.total[place : place + bits - 1], Const(0, 1))
            m.d.comb += [block.a.eq(operand.as_signed()), block.b.eq(self.multiplier)]
            scaled.append(block.product.shift_left(place))
            place += bits - 1
        m.d.sync += product.eq(sum(scaled[1:], scaled[0]))
        return product

    @staticmethod
    def facts(config: ArrayConfig, budget: DspBudget | None = None) -> Facts:
        """The multiplier, the shifters, and the clamp.

        Parameters
        ----------
        config : ArrayConfig
            Widths; whether there is a multiplier.
        budget : DspBudget or None
            What ``elaborate`` gets as its platform.
        """
        bits, multiplied = config.requantized_bits, config.multiplier_bits > 0
        shifted, wide = config.accumulator_bits + config.multiplier_bits, bits + 2 * multiplied
        fine = min(FINE, config.shift_bits)
        kept = max(1, shifted - config.least_shift)
        parts = _parts(config, budget)
        inside = [
            Inside(name, OutputProduct.facts(bits, config.multiplier_bits)) for name, bits in parts.items()
        ]
        return Facts(
            registers={
                "product": shifted * (multiplied and not parts),
                "multiply": (shifted + 2 * config.shift_bits + wide) * multiplied,
                "shifted": kept,
                "narrow": fine + wide + bits,
            },
            adders={"clamp": bits, "rounded": wide * multiplied}
            | ({"split": shifted} if len(parts) > 1 else {}),
            muxes={"coarse": kept * (config.shift_bits - fine), "fine": kept * fine},
            gates={"saturate": kept, "multiplied": config.accumulator_bits * multiplied},
            products=[Product(config.accumulator_bits, config.multiplier_bits)]
            if multiplied and not parts
            else [],
            inside=inside,
        )


def _parts(config: ArrayConfig, budget: DspBudget | None) -> dict[str, int]:
    """Bits of the sum that each DSP block with its own register multiplies, the low ones first, by name.

    The low ones have a sign that is 0, which is no bit of the sum. There are none where the device has no such block,
    or where more than two would be needed.
    """
    if budget is None or budget.dsp.output is None or not config.multiplier_bits:
        return {}
    wide, bits = budget.dsp.wide, config.accumulator_bits
    if config.multiplier_bits > budget.dsp.narrow or bits > 2 * wide - 1:
        return {}
    return {"scaled": bits} if bits <= wide else {"scaled_low": wide, "scaled_high": bits - wide + 1}
