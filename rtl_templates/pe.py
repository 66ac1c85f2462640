"""One processing element of the systolic array."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from hwquant.rtl_templates.facts import Facts, Inside, Product


def product_members(x_bits: int, weight_bits: int) -> dict:
    """Ports of a component that replaces the registered multiplication: what a platform offers."""
    return {
        "x": In(signed(x_bits)),
        "weight": In(signed(weight_bits)),
        "swap": In(1),
        "product": Out(signed(x_bits + weight_bits)),
    }


class ProcessingElement(Component):
    """Weight-stationary multiply-accumulate cell.

    ::

        active   <= shadow                when swap
        shadow   <= weight                when load
        sum_next <= sum + active * x

    Activations (with the swap mark) travel right, weights and sums travel down, each through a register, so
    that no path is longer than one multiplication or one addition. ``sum_next`` follows ``x`` after
    :data:`~hwquant.program.config.PE_LATENCY` cycles, and follows ``sum`` after one. One product a cycle.

    Members
    -------
    x, swap : In, the activation and, with the first one of a tile, the mark that activates the shadow weight
    x_next, swap_next : Out, the same for the neighbour on the right
    weight, load : In, the weight that comes down the column, and whether to take it
    weight_next : Out, the shadow weight, also what the neighbour below loads
    sum : In, signed(sum_bits), the partial sum from above
    sum_next : Out, signed(next_bits), the partial sum for below

    ``product`` replaces the registered multiplication by a component that does the same with what a device has;
    see :class:`hwquant.rtl_templates.dsp.Platform`.
    """

    def __init__(
        self,
        *,
        activation_bits: int,
        operand_bits: int,
        sum_bits: int,
        next_bits: int,
        product: type[Component] | None = None,
    ):
        self.product = product
        super().__init__(
            {
                "x": In(signed(activation_bits)),
                "swap": In(1),
                "x_next": Out(signed(activation_bits)),
                "swap_next": Out(1),
                "weight": In(signed(operand_bits)),
                "load": In(1),
                "weight_next": Out(signed(operand_bits)),
                "sum": In(signed(sum_bits)),
                "sum_next": Out(signed(next_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        x_reg = Signal(self.x.shape(), reset_less=True)
        swap_reg = Signal()
        shadow = Signal(self.weight.shape(), reset_less=True)
        active = Signal(self.weight.shape(), reset_less=True)
        # Without "keep", Yosys' ice40_dsp takes these two into the DSP blocks of two rows at once, as the one's output
        # and as the other's input, and loses a multiplication.
        product = Signal(signed(len(self.x) + len(self.weight)), reset_less=True, attrs={"keep": 1})
        sum_reg = Signal(self.sum_next.shape(), reset_less=True, attrs={"keep": 1})
        m.d.sync += [
            x_reg.eq(self.x),
            swap_reg.eq(self.swap),
            sum_reg.eq(self.sum + product),
        ]
        with m.If(self.load):
            m.d.sync += shadow.eq(self.weight)
        if self.product:
            m.submodules.product = made = self.product(len(self.x), len(self.weight))
            m.d.comb += [made.x.eq(self.x), made.weight.eq(shadow), made.swap.eq(self.swap)]
            m.d.comb += product.eq(made.product)
        else:
            m.d.sync += product.eq(x_reg * active)
            with m.If(self.swap):
                m.d.sync += active.eq(shadow)
        m.d.comb += [
            self.x_next.eq(x_reg),
            self.swap_next.eq(swap_reg),
            self.weight_next.eq(shadow),
            self.sum_next.eq(sum_reg),
        ]
        return m

    @staticmethod
    def facts(
        activation_bits: int, operand_bits: int, next_bits: int, *, first: bool, product: Facts | None
    ) -> Facts:
        """Of an element with ports of so many bits; the first of a column has no sum to add to."""
        registers = {"x": activation_bits, "swap": 1, "shadow": operand_bits, "sum": next_bits}
        adders = {} if first else {"sum": next_bits}
        if product:
            return Facts(registers, adders=adders, inside=[Inside("product", product)])
        registers |= {"active": operand_bits, "product": activation_bits + operand_bits}
        return Facts(registers, adders=adders, products=[Product(activation_bits, operand_bits)])
