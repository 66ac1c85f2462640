"""Two products of one activation, made of one multiplication."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwquant.rtl_templates.facts import Facts, Product
from hwquant.rtl_templates.registered_product import PairedProduct, whole
from hwquant.rtl_templates.soft_product import add_rows, booth_digits


class PackedProduct(PairedProduct):
    """Two products of one multiplication: of the activation, and of two weights ``spacing`` bits apart.

    ::

        p = x * (w1 * 2^spacing + w0) = p1 * 2^spacing + p0

    ``p0`` reaches ``overlap`` bits into ``p1``. The lowest ``overlap`` bits of ``p1``, which look-up tables multiply on
    their own, tell the two apart: what these bits of ``p`` have more is the high end of ``p0``, and that has to be
    taken from ``p1``, whose bits above change by at most one. Where nothing overlaps, it is the sign of ``p0``.
    (Xilinx WP486, Y. Fu and others, "Deep Learning with INT8 Optimization on Xilinx Devices", 2017, has the
    multiplication without overlap.)

    Throughput: two products a cycle.

    Parameters
    ----------
    x_bits : int
        Width of the activation.
    weight_bits : int
        Width of the weights.
    appended : {0, 1} or None
        The bit at the low end of the weights that ``weights`` lacks; None where they lack none.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``products``.
    wide : int
        Bits of the multiplier's wider operand.
    narrow : int
        Bits of the narrower one.

    Members
    -------
    x : In(signed(x_bits))
        The activation.
    weights : In(ArrayLayout)
        The shadow weights of the two, without the bit that is appended.
    swap : In(1)
        With the first activation of a tile: the shadow weights become active.
    products : Out(ArrayLayout)
        The two products, each ``signed(x_bits + weight_bits)``.
    """

    wide: int
    narrow: int

    @classmethod
    def takes(cls, x_bits: int, weight_bits: int) -> bool:
        """Whether operands of these widths fit: what overlaps is part of a weight, and a sign is above the spacing."""
        spacing = cls.spacing(x_bits, weight_bits)
        return x_bits <= cls.narrow and spacing >= max(x_bits, weight_bits - 1)

    @classmethod
    def spacing(cls, x_bits: int, weight_bits: int) -> int:
        """Distance of the weights in the operand: it holds the sum of the two for all their values."""
        return min(x_bits + weight_bits, cls.wide - 1 - weight_bits)

    @classmethod
    def overlap(cls, x_bits: int, weight_bits: int) -> int:
        """Bits of the one product that meet the other's."""
        return x_bits + weight_bits - cls.spacing(x_bits, weight_bits)

    def elaborate(self, platform: object) -> Module:
        """Build the multiplication, the low bits of the second product, and what tells the two apart."""
        m = Module()
        x_bits, bits = len(self.x), self.weight_bits
        spacing, overlap = self.spacing(x_bits, bits), self.overlap(x_bits, bits)
        first, second = (whole(self.weights[n], self.appended) for n in range(2))
        packed = Signal(signed(spacing + bits + 1))
        low = Cat(first, first[-1].replicate(spacing))[:spacing]
        m.d.comb += packed.eq(Cat(low, second - first[-1]).as_signed())
        product = self._multiplied(m, packed)

        if overlap:
            below = Signal(overlap, reset_less=True)
            m.d.sync += below.eq(self._low(m, second, overlap))
            more = Signal(signed(overlap + 1), name="more")
            m.d.comb += more.eq(product[spacing:][:overlap] - below)
            # One less where there was a borrow, and one more where the high end of p0 is negative.
            above = product[spacing + overlap :]
            carry, borrow = more[-2], more[-1].replicate(len(above))
            changed = Cat(carry, above).as_signed() + Cat(carry, borrow).as_signed()
            p0, p1 = Cat(product[:spacing], more[:-1]), Cat(below, changed[1:])
        else:
            p0, p1 = product[:spacing], product[spacing:].as_signed() + product[spacing - 1]
        products = Signal(self.products.shape(), reset_less=True)
        m.d.sync += [products[0].eq(p0.as_signed()), products[1].eq(p1)]
        m.d.comb += self.products.eq(products)
        return m

    def _multiplied(self, m: Module, packed: Value) -> Signal:
        """Build the registers of the operands and the product, which synthesis makes a block."""
        x = Signal(self.x.shape(), reset_less=True)
        active = Signal(packed.shape(), reset_less=True)
        product = Signal(signed(len(x) + len(active)), reset_less=True)
        m.d.sync += [x.eq(self.x), product.eq(x * active)]
        with m.If(self.swap):
            m.d.sync += active.eq(packed)
        return product

    def _low(self, m: Module, weight: Value, bits: int) -> Value:
        """Build the lowest ``bits`` bits of the product with a weight: partial products, and their sum."""
        x = Signal(self.x.shape(), name="x_low", reset_less=True)
        m.d.sync += x.eq(self.x)
        digits = booth_digits(m, weight, self.swap, -(-bits // 2), constant=self.appended is not None)
        once = Cat(x, x[-1].replicate(bits))
        twice = Cat(Const(0, 1), once)
        rows: list[tuple[Value, Value]] = []
        for k, digit in enumerate(digits):
            width = bits - 2 * k
            if width > 2:
                partial = Cat(
                    Mux(digit[1], Mux(digit[0], ~a, b), digit[0] & a) for a, b in zip(once[:width], twice)
                )
                missing = digit.all()
            else:  # of two bits, there is no need of -1: it is 3
                partial = Cat(digit[0] & x[0], (digit[0] & x[1]) ^ (digit[1] & x[0]))[:width]
                missing = Const(0, 1)
            rows.append((partial.as_signed(), missing))
        return add_rows(m, rows, lowest=True)[0]

    @classmethod
    def facts(cls, x_bits: int, weight_bits: int, *, appended: bool = False) -> Facts:
        """What the two products are made of; ``x`` is redundant, as the processing elements have the same register."""
        packed = cls.spacing(x_bits, weight_bits) + weight_bits + 1
        overlap = cls.overlap(x_bits, weight_bits)
        digits = -(-overlap // 2)
        rows = range(overlap, 0, -2)  # widths of the partial products
        return Facts(
            registers={
                "operands": x_bits + packed,
                "product": x_bits + packed,
                "low": x_bits + 2 * digits - appended + overlap if overlap else 0,
                "products": 2 * (x_bits + weight_bits),
            },
            redundant={"operands": x_bits, "low": x_bits if overlap else 0},
            adders={
                "packed": weight_bits + 1,
                "low": sum(rows[:-1]),
                "more": overlap + 1 if overlap else 0,
                "second": x_bits + weight_bits + 1 - overlap,
            },
            muxes={"rows": sum(rows)},
            gates={"digits": digits},
            products=[Product(x_bits, packed)],
        )
