"""One processing element of the systolic array."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from hwquant.rtl_templates.delay import check_latency
from hwquant.rtl_templates.facts import Facts, Inside, Product


class RegisteredProduct(Component):
    """A component in place of the registered multiplication of a processing element.

    ::

        active  <= weight                 when swap
        product <= previous x * active

    Subclasses make it of what a device has. Throughput: one product a cycle.

    Parameters
    ----------
    x_bits : int
        Width of the activation.
    weight_bits : int
        Width of the weight.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``product``.

    Members
    -------
    x : In(signed(x_bits))
        The activation.
    weight : In(signed(weight_bits))
        The shadow weight.
    swap : In(1)
        With the first activation of a tile: the shadow weight becomes active.
    product : Out(signed(x_bits + weight_bits))
        The product.
    """

    latency: int

    def __init__(self, x_bits: int, weight_bits: int):
        super().__init__(
            {
                "x": In(signed(x_bits)),
                "weight": In(signed(weight_bits)),
                "swap": In(1),
                "product": Out(signed(x_bits + weight_bits)),
            }
        )

    @staticmethod
    def facts(x_bits: int, weight_bits: int) -> Facts:
        """What a product of operands of these widths is made of.

        Parameters
        ----------
        x_bits : int
            Width of the activation.
        weight_bits : int
            Width of the weight.

        Returns
        -------
        Facts
            The registers, adders and gates of the product.
        """
        raise NotImplementedError


class ProcessingElement(Component):
    """A processing element of the array: a weight-stationary multiply-accumulate cell.

    ::

        active   <= shadow                when swap
        shadow   <= weight                when load
        sum_next <= sum + active * x

    Activations (with the swap mark) travel right, weights and sums travel down, each through a register, so
    that no path is longer than one multiplication or one addition.

    Throughput: one product a cycle.

    Parameters
    ----------
    activation_bits : int
        Width of the activation.
    operand_bits : int
        Width of the weight.
    sum_bits : int
        Width of the partial sum from above.
    next_bits : int
        Width of the partial sum for below.
    product : type of RegisteredProduct or None
        Component in place of the registered multiplication, made of what a device has, such as
        :class:`~hwquant.rtl_templates.soft_product.SoftProduct`; None: ``*``.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``sum_next``: registered operands, product and sum.
    product_latency : int
        Cycles from ``x`` to the product: registered operands and product.
    step : int
        Cycles from an input to the same input of the neighbour: a register.

    Members
    -------
    x : In(signed(activation_bits))
        The activation.
    swap : In(1)
        With the first activation of a tile: the shadow weight becomes active.
    x_next : Out(signed(activation_bits))
        The activation for the neighbour on the right.
    swap_next : Out(1)
        The swap mark for the neighbour on the right.
    weight : In(signed(operand_bits))
        The weight that comes down the column.
    load : In(1)
        The weight becomes the shadow weight.
    weight_next : Out(signed(operand_bits))
        The shadow weight, also what the neighbour below loads.
    sum : In(signed(sum_bits))
        The partial sum from above.
    sum_next : Out(signed(next_bits))
        The partial sum for below.
    """

    product_latency = 2
    latency = product_latency + 1
    step = 1

    def __init__(
        self,
        *,
        activation_bits: int,
        operand_bits: int,
        sum_bits: int,
        next_bits: int,
        product: type[RegisteredProduct] | None = None,
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

    def elaborate(self, platform: object) -> Module:
        """Build the registers of the operands, the product and the sum."""
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
            m.submodules.product = component = self.product(len(self.x), len(self.weight))
            check_latency(f"the product {self.product.__name__}", component.latency, self.product_latency)
            m.d.comb += [component.x.eq(self.x), component.weight.eq(shadow), component.swap.eq(self.swap)]
            m.d.comb += product.eq(component.product)
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
        """What an element with ports of these widths is made of.

        Parameters
        ----------
        activation_bits : int
            Width of the activation.
        operand_bits : int
            Width of the weight.
        next_bits : int
            Width of the partial sum for below.
        first : bool
            Whether it is the first of a column, which has no sum to add to.
        product : Facts or None
            What its product is made of; None where that is left to synthesis.

        Returns
        -------
        Facts
            The registers and the adder of the element, and its product.
        """
        registers = {"x": activation_bits, "swap": 1, "shadow": operand_bits, "sum": next_bits}
        adders = {} if first else {"sum": next_bits}
        if product:
            return Facts(registers, adders=adders, inside=[Inside("product", product)])
        registers |= {"active": operand_bits, "product": activation_bits + operand_bits}
        return Facts(registers, adders=adders, products=[Product(activation_bits, operand_bits)])
