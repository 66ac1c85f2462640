"""The product with a weight that is -1, 0 or 1: no multiplier."""

from amaranth.hdl import Module, Mux, Signal

from hwquant.program.limits import PRODUCT_STAGES
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.registered_product import RegisteredProduct


class TernaryProduct(RegisteredProduct):
    """The registered product of a processing element whose weight is -1, 0 or 1: x is negated, passed on or left out.

    ::

        active        <= weight                 when swap
        product + one <= previous x * active

    ``-x`` is ``~x + 1``, and the sum that takes the product adds that one, so that a bit of it is one look-up table.
    The weight of one bit is -1 or 0; of two bits -2 does not occur; a weight with a 1 appended is -1 or 1.

    Throughput: one product a cycle.

    Parameters
    ----------
    x_bits : int
        Width of the activation.
    weight_bits : int
        Width of the weight, 1 or 2.
    appended : {1} or None
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
    product : Out(signed(x_bits))
        The product, one too small where the weight is -1.
    one : Out(1)
        What it is too small by.
    """

    one_short = True

    def elaborate(self, platform: object) -> Module:
        """Build the registers of the operands and of the product."""
        m = Module()
        x = Signal(self.x.shape(), reset_less=True)
        active = Signal(self.weight.shape(), reset_less=True)
        product = Signal(self.product.shape(), reset_less=True)
        one = Signal(reset_less=True)
        m.d.sync += x.eq(self.x)
        with m.If(self.swap):
            m.d.sync += active.eq(self.weight)
        negative = active[-1]
        value = Mux(negative, ~x, x)
        if self.appended is None:
            value = Mux(active[0], value, 0)
        m.d.sync += [product.eq(value), one.eq(negative)]
        m.d.comb += [
            self.product.eq(delayed(m, product, self.stages - 1, name="product")),
            self.one.eq(delayed(m, one, self.stages - 1, name="one")),
        ]
        return m

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
            The weight and the product; ``x`` is redundant, for the processing element has the same register.
        """
        return Facts(
            registers={"x": x_bits, "active": weight_bits - appended, "product": stages * (x_bits + 1)},
            redundant={"x": x_bits},
            muxes={"rows": x_bits},
        )
