"""One processing element of the systolic array."""

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.limits import PRODUCT_STAGES
from hwquant.rtl_templates.delay import check_latency
from hwquant.rtl_templates.facts import Facts, Inside, Product
from hwquant.rtl_templates.registered_product import RegisteredProduct, whole


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
    paired : bool, default False
        Whether nothing multiplies here, but what is shared with a neighbour, in a
        :class:`~hwquant.rtl_templates.registered_product.PairedProduct`.
    stages : {2, 1}
        Registers in which the product is computed.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to ``sum_next``: registered operands, the stages of the product, and the sum.
    product_latency : int
        Cycles from ``x`` to the product.
    operand_latency : int
        Cycles from ``x`` to what is multiplied.
    sum_latency : int
        Cycles from the product to ``sum_next``.
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
    product : In(signed(activation_bits + operand_bits))
        The product, ``product_latency`` cycles after ``x``; only where it is paired.
    """

    operand_latency = 1
    sum_latency = 1
    step = 1

    def __init__(
        self,
        *,
        activation_bits: int,
        operand_bits: int,
        sum_bits: int,
        next_bits: int,
        product: type[RegisteredProduct] | None = None,
        paired: bool = False,
        appended: int | None = None,
        stages: int = PRODUCT_STAGES,
    ):
        self.stages = stages
        self.product_latency = self.operand_latency + stages
        self.latency = self.product_latency + self.sum_latency
        self.product_type, self.paired, self.operand_bits, self.appended = (
            product,
            paired,
            operand_bits,
            appended,
        )
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
            | ({"product": In(signed(activation_bits + operand_bits))} if paired else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the registers of the operands, the product and the sum."""
        m = Module()
        x_reg = Signal(self.x.shape(), reset_less=True)
        swap_reg = Signal()
        shadow = Signal(self.weight.shape(), reset_less=True)
        sum_reg = Signal(self.sum_next.shape(), reset_less=True, attrs={"keep": 1})
        m.d.sync += [x_reg.eq(self.x), swap_reg.eq(self.swap)]
        with m.If(self.load):
            m.d.sync += shadow.eq(self.weight)
        if self.paired:
            total = self.sum + self.product
        elif self.product_type:
            component = self.product_type(len(self.x), self.operand_bits, self.appended, self.stages)
            total = self._total(m, component, shadow)
        else:
            active = Signal(self.weight.shape(), reset_less=True)
            with m.If(self.swap):
                m.d.sync += active.eq(shadow)
            # Without "keep", Yosys' ice40_dsp takes these and the sum into the DSP blocks of two rows at once, as
            # the one's output and as the other's input, and loses a multiplication.
            product: Value = x_reg * whole(active, self.appended)
            for stage in range(self.stages):
                register = Signal(product.shape(), name=f"product{stage}", reset_less=True, attrs={"keep": 1})
                m.d.sync += register.eq(product)
                product = register
            total = self.sum + product
        m.d.sync += sum_reg.eq(total)
        m.d.comb += [
            self.x_next.eq(x_reg),
            self.swap_next.eq(swap_reg),
            self.weight_next.eq(shadow),
            self.sum_next.eq(sum_reg),
        ]
        return m

    def _total(self, m: Module, component: RegisteredProduct, shadow: Signal) -> Value:
        """Add the product of a component, with the one that may be missing as a carry into the lowest bit."""
        m.submodules.product = component
        check_latency(f"the product {type(component).__name__}", component.latency, self.product_latency)
        m.d.comb += [component.x.eq(self.x), component.weight.eq(shadow), component.swap.eq(self.swap)]
        product = Signal(component.product.shape(), attrs={"keep": 1})
        m.d.comb += product.eq(component.product)
        if not component.one_short:
            return self.sum + product
        low, high = Cat(component.one, self.sum).as_signed(), Cat(component.one, product).as_signed()
        return (low + high) >> 1

    @staticmethod
    def facts(
        activation_bits: int,
        operand_bits: int,
        next_bits: int,
        *,
        first: bool,
        product: type[RegisteredProduct] | None,
        paired: bool = False,
        appended: bool = False,
        stages: int = PRODUCT_STAGES,
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
        paired : bool, default False
            Whether what multiplies is not in the element.
        appended : bool, default False
            Whether the low end of the weight is a constant, which the array does not carry.
        stages : {2, 1}
            Registers in which the product is computed.

        Returns
        -------
        Facts
            The registers and the adder of the element, and its product.
        """
        carried = operand_bits - appended
        registers = {"x": activation_bits, "swap": 1, "shadow": carried, "sum": next_bits}
        adders = {} if first and not (product and product.one_short) else {"sum": next_bits}
        if paired:
            return Facts(registers, adders=adders)
        if product:
            facts = product.facts(activation_bits, operand_bits, appended=appended, stages=stages)
            return Facts(registers, adders=adders, inside=[Inside("product", facts)])
        registers |= {"active": carried, "product": stages * (activation_bits + operand_bits)}
        return Facts(registers, adders=adders, products=[Product(activation_bits, operand_bits)])
