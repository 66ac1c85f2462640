"""A multiplier of look-up tables, for arrays that are larger than the DSP blocks of a device."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwquant.program.limits import PRODUCT_STAGES
from hwquant.program.widths import bits_for
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.registered_product import RegisteredProduct, whole


class SoftProduct(RegisteredProduct):
    """The registered product of a processing element, in look-up tables.

    ::

        active  <= weight                 when swap
        product <= previous x * active, a cycle later with two stages

    There is no multiplication in it that synthesis could find.
    Weights are stationary, so they are recoded once, on their way into ``active``: radix 4 with the digits
    -1, 0, 1, 2 in two bits each (3 becomes -1 and carries one). A bit of a partial product is then a function of
    four bits (the digit and two bits of x), which is one look-up table; a binary tree of adders sums half as many
    partial products as the weight has bits. ``-x`` is ``~x + 1``: these ones enter at bits of the tree that are
    free. The row of the sign is added behind the register, on the way into the sum: half of the additions are on either
    side of it. (A. D. Booth, "A signed binary multiplication technique", 1951; its digits -2..2 need three bits.)

    Throughput: one product a cycle.

    Parameters
    ----------
    x_bits : int
        Width of the activation.
    weight_bits : int
        Width of the weight.
    appended : {0, 1} or None
        The bit at the low end of the weight that ``weight`` lacks; None where it lacks none.
    stages : {2, 1}
        Registers in which the product is computed.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``product``.

    Members
    -------
    x : In(signed(x_bits))
        The activation.
    weight : In(signed)
        The shadow weight, without the bit that is appended.
    swap : In(1)
        With the first activation of a tile: the shadow weight becomes active.
    product : Out(signed(x_bits + weight_bits))
        The product.
    """

    def elaborate(self, platform: object) -> Module:
        """Build the digits, a partial product for each, and the tree that sums them."""
        m = Module()
        x = Signal(self.x.shape(), reset_less=True)
        m.d.sync += x.eq(self.x)
        weight = whole(self.weight, self.appended)
        digits = booth_digits(m, weight, self.swap, len(weight) // 2 + 1, constant=self.appended is not None)
        once, twice = Cat(x, x[-1]), Cat(Const(0, 1), x)
        rows = []
        for k, digit in enumerate(digits):
            row = Signal(signed(len(once)), name=f"row{k}")
            bits = (Mux(digit[1], Mux(digit[0], ~a, b), digit[0] & a) for a, b in zip(once, twice))
            m.d.comb += row.eq(Cat(*bits))
            rows.append((row, digit.all()))
        if len(rows) > 1:
            # A register before the last adder, for the tree has as many as two above it.
            *others, last = rows
            value, count, below = add_rows(m, others)
            value, below, row, one = (self._staged(m, item) for item in (value, below, *last))
            value = self._last(m, value, count, below, row, one)
        else:
            value = self._staged(m, rows[0][0] + rows[0][1])
        product = Signal(self.product.shape(), reset_less=True)
        m.d.sync += product.eq(value)
        m.d.comb += self.product.eq(product)
        return m

    def _staged(self, m: Module, value: Value) -> Value:
        """The value behind the register of the first stage, where there are two."""
        if self.stages < PRODUCT_STAGES:
            return value
        register = Signal(value.shape(), name="staged", reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _last(self, m: Module, value: Value, count: int, below: Value, row: Value, one: Value) -> Value:
        """Add the row of the sign, and the ones of the last two rows.

        Only one of these two can be -1: what makes the digit below -1 carries a one into the sign's digit. So
        below the row, in units of a quarter of its own, 1 or 4 or nothing is missing: 4 is 3 and a carry.
        """
        start = 2 * (count - 1)
        total = Signal(signed(len(self.product) - start + 1), name="total")
        carrying = Cat(one, value[start:]).as_signed()
        m.d.comb += total.eq(carrying + Cat(one, below | one, one, row).as_signed())
        return Cat(value[:start], total[1:])

    @staticmethod
    def facts(
        x_bits: int, weight_bits: int, *, appended: bool = False, stages: int = PRODUCT_STAGES
    ) -> Facts:
        """What a product of operands of these widths is made of.

        Parameters
        ----------
        x_bits : int
            Width of the activation.
        weight_bits : int
            Width of the weight.
        appended : bool, default False
            Whether the low end of the weight is a constant.
        stages : {2, 1}
            Registers in which the product is computed.

        Returns
        -------
        Facts
            The digits, the tree and what it sums; ``x`` is redundant, for the processing element has the same register.
        """
        digits = weight_bits // 2 + 1
        # The sum of all rows but the last, that row, and a one of each.
        tree = _tree_bits(x_bits, digits - 1) + 1 + x_bits + 1 + 1 if digits > 1 else x_bits + 2
        return Facts(
            registers={
                "x": x_bits,
                "digits": 2 * digits - appended,
                "tree": tree * (stages - 1),
                "product": x_bits + weight_bits,
            },
            redundant={"x": x_bits},
            adders={"tree": (digits - 1) * (x_bits + 3) + max(0, digits - 2) * 2},
            muxes={"rows": digits * (x_bits + 1)},
            gates={"digits": digits},
        )


def add_rows(m: Module, rows: list[tuple[Value, Value]], *, lowest: bool = False) -> tuple[Value, int, Value]:
    """Build the sum of rows, but for the one that the last row still lacks.

    Each row is two bits above the one before.

    Parameters
    ----------
    m : Module
        Module that gets the adders.
    rows : list of tuple of (Value, Value)
        Partial products, and the one that each of them lacks.
    lowest : bool, default False
        Whether only as many of the lowest bits of the sum count as the first row has, and each row ends where it does.

    Returns
    -------
    value : Value
        The sum.
    count : int
        Number of the rows.
    below : Value
        The one that the last row lacks.
    """
    level = [(row, 1, one) for row, one in rows]
    number = 0
    while len(level) > 1:
        pairs = []
        for (low, below, one), (high, above, left) in zip(level[::2], level[1::2]):
            # The one of the row below is added two bits below the rows above.
            start = 2 * (below - 1)
            width = len(low) if lowest else _paired_bits(len(low), len(high), below)
            total = Signal(signed(width - start), name=f"sum{number}")
            m.d.comb += total.eq((low >> start) + Cat(one, Const(0, 1), high).as_signed())
            pairs.append((Cat(low[:start], total).as_signed(), below + above, left))
            number += 1
        level = pairs + level[len(level) & ~1 :]
    return level[0]


def _paired_bits(low: int, high: int, below: int) -> int:
    """Width of the sum of two values of these widths, of which the higher one begins ``2 * below`` bits up."""
    largest = (1 << (low - 1)) + (1 << (high - 1 + 2 * below))
    return bits_for(-largest, largest - 1)


def _tree_bits(x_bits: int, rows: int) -> int:
    """Width of the sum of so many rows."""
    level = [(x_bits + 1, 1)] * rows
    while len(level) > 1:
        pairs = [
            (_paired_bits(low, high, below), below + above)
            for (low, below), (high, above) in zip(level[::2], level[1::2])
        ]
        level = pairs + level[len(level) & ~1 :]
    return level[0][0]


def booth_digits(m: Module, weight: Value, swap: Value, count: int, *, constant: bool) -> list[Value]:
    """Build the registers of a stationary weight's digits.

    Parameters
    ----------
    m : Module
        Module that gets the registers.
    weight : Value
        The weight, signed.
    swap : Value
        The weight is taken.
    count : int
        Number of the digits, the lowest ones.
    constant : bool
        Whether the weight's lowest bit is a constant, and no register.

    Returns
    -------
    list of Value
        The digits, each in two bits: 0, 1, 2, and 3 for -1.
    """
    digits: list[Value] = []
    carry = Const(0)
    sign = len(weight) - 1
    for k in range(0, 2 * count, 2):
        low, high = weight[min(k, sign)], weight[min(k + 1, sign)]
        if k == 0 and constant:
            digit: Value = Signal(name="digit0", reset_less=True)
            with m.If(swap):
                m.d.sync += digit.eq(high)
            digit = Cat(low, digit)
        else:
            digit = Signal(2, name=f"digit{k // 2}", reset_less=True)
            with m.If(swap):
                m.d.sync += digit.eq(Cat(low ^ carry, high ^ (low & carry)))
        carry = high & (low | carry)
        digits.append(digit)
    return digits
