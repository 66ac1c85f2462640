"""One processing element of the systolic array."""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
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
    appended : {0, 1} or None
        The bit at the low end of the weight that ``weight`` lacks; None where it lacks none.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``product``.
    one_short : bool
        Whether the product can be too small by ``one``, which the sum that takes it has to add.

    Members
    -------
    x : In(signed(x_bits))
        The activation.
    weight : In(signed)
        The shadow weight, without the bit that is appended.
    swap : In(1)
        With the first activation of a tile: the shadow weight becomes active.
    product : Out(signed(x_bits + weight_bits))
        The product; as wide as ``x`` where it may be one too small.
    one : Out(1)
        What the product is too small by; only where it can be.
    """

    latency: int
    one_short = False

    def __init__(self, x_bits: int, weight_bits: int, appended: int | None = None):
        self.appended = appended
        short = {"one": Out(1)} if self.one_short else {}
        super().__init__(
            {
                "x": In(signed(x_bits)),
                "weight": In(signed(weight_bits - (appended is not None))),
                "swap": In(1),
                "product": Out(signed(x_bits if self.one_short else x_bits + weight_bits)),
            }
            | short
        )

    @staticmethod
    def facts(x_bits: int, weight_bits: int, *, appended: bool = False) -> Facts:
        """What a product of operands of these widths is made of.

        Parameters
        ----------
        x_bits : int
            Width of the activation.
        weight_bits : int
            Width of the weight.
        appended : bool, default False
            Whether the low end of the weight is a constant.

        Returns
        -------
        Facts
            The registers, adders and gates of the product.
        """
        raise NotImplementedError


def whole(weight: Value, appended: int | None) -> Value:
    """The weight with the bit that is appended to it at its low end, if any is."""
    return weight if appended is None else Cat(Const(appended, 1), weight).as_signed()


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
        Width of the weight that multiplies.
    sum_bits : int
        Width of the partial sum from above.
    next_bits : int
        Width of the partial sum for below.
    appended : {0, 1} or None
        The bit at the low end of the weight that the array does not carry; None where it carries all.
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
    weight : In(signed)
        The weight, without the bit that is appended, that comes down the column.
    load : In(1)
        The weight becomes the shadow weight.
    weight_next : Out(signed)
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
        appended: int | None = None,
    ):
        self.product, self.operand_bits, self.appended = product, operand_bits, appended
        carried = signed(operand_bits - (appended is not None))
        super().__init__(
            {
                "x": In(signed(activation_bits)),
                "swap": In(1),
                "x_next": Out(signed(activation_bits)),
                "swap_next": Out(1),
                "weight": In(carried),
                "load": In(1),
                "weight_next": Out(carried),
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
        component = self.product(len(self.x), self.operand_bits, self.appended) if self.product else None
        shape = component.product.shape() if component else signed(len(self.x) + self.operand_bits)
        product = Signal(shape, reset_less=True, attrs={"keep": 1})
        sum_reg = Signal(self.sum_next.shape(), reset_less=True, attrs={"keep": 1})
        total = self.sum + product
        if component and component.one_short:
            # The one is a carry into the lowest bit.
            low, high = Cat(component.one, self.sum).as_signed(), Cat(component.one, product).as_signed()
            total = (low + high) >> 1
        m.d.sync += [
            x_reg.eq(self.x),
            swap_reg.eq(self.swap),
            sum_reg.eq(total),
        ]
        with m.If(self.load):
            m.d.sync += shadow.eq(self.weight)
        if component:
            m.submodules.product = component
            check_latency(f"the product {type(component).__name__}", component.latency, self.product_latency)
            m.d.comb += [component.x.eq(self.x), component.weight.eq(shadow), component.swap.eq(self.swap)]
            m.d.comb += product.eq(component.product)
        else:
            m.d.sync += product.eq(x_reg * whole(active, self.appended))
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
        activation_bits: int,
        operand_bits: int,
        next_bits: int,
        *,
        first: bool,
        product: type[RegisteredProduct] | None,
        appended: bool = False,
    ) -> Facts:
        """What an element with ports of these widths is made of.

        Parameters
        ----------
        activation_bits : int
            Width of the activation.
        operand_bits : int
            Width of the weight that multiplies.
        next_bits : int
            Width of the partial sum for below.
        first : bool
            Whether it is the first of a column, which has no sum to add to.
        product : type of RegisteredProduct or None
            What multiplies; None where that is left to synthesis.
        appended : bool, default False
            Whether the low end of the weight is a constant, which the array does not carry.

        Returns
        -------
        Facts
            The registers and the adder of the element, and its product.
        """
        carried = operand_bits - appended
        registers = {"x": activation_bits, "swap": 1, "shadow": carried, "sum": next_bits}
        adders = {} if first and not (product and product.one_short) else {"sum": next_bits}
        if product:
            facts = product.facts(activation_bits, operand_bits, appended=appended)
            return Facts(registers, adders=adders, inside=[Inside("product", facts)])
        registers |= {"active": carried, "product": activation_bits + operand_bits}
        return Facts(registers, adders=adders, products=[Product(activation_bits, operand_bits)])
