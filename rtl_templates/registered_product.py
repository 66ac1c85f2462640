"""What multiplies in processing elements, registered: one product, or two that share a block of a device."""

from amaranth.hdl import Cat, Const, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.limits import PRODUCT_STAGES
from hwquant.rtl_templates.facts import Facts, Product


class RegisteredProduct(Component):
    """A component in place of the registered multiplication of a processing element.

    ::

        active  <= weight                 when swap
        product <= previous x * active, a cycle later with two stages

    Subclasses make it of what a device has. Throughput: one product a cycle.

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
        Cycles from ``x`` to ``product``: registered operands, and the stages.
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

    one_short = False

    def __init__(
        self, x_bits: int, weight_bits: int, appended: int | None = None, stages: int = PRODUCT_STAGES
    ):
        self.appended = appended
        self.stages = stages
        self.latency = 1 + stages
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
            The registers, adders and gates of the product.
        """
        raise NotImplementedError


class OutputProduct(Component):
    """A product whose register is all that it has: its operands come from registers elsewhere.

    ::

        product <= a * b

    Subclasses make it of one DSP block. Throughput: one product a cycle.

    Parameters
    ----------
    a_bits : int
        Width of one operand.
    b_bits : int
        Width of the other operand.

    Attributes
    ----------
    latency : int
        Cycles from the operands to ``product``.

    Members
    -------
    a : In(signed(a_bits))
        One operand.
    b : In(signed(b_bits))
        The other operand.
    product : Out(signed(a_bits + b_bits))
        The product.
    """

    latency = 1

    def __init__(self, a_bits: int, b_bits: int):
        super().__init__(
            {"a": In(signed(a_bits)), "b": In(signed(b_bits)), "product": Out(signed(a_bits + b_bits))}
        )

    @staticmethod
    def facts(a_bits: int, b_bits: int) -> Facts:
        """What the product is made of: a DSP block with its register."""
        return Facts(products=[Product(a_bits, b_bits)])


class PairedProduct(Component):
    """The registered products of two processing elements, neighbours in a row, which get their activation at once.

    They are computed in two stages.

    ::

        active      <= weights                  when swap
        products[n] <= previous x * active[n]

    Subclasses make them of one DSP block. Throughput: two products a cycle.

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

    latency = 1 + PRODUCT_STAGES

    def __init__(self, x_bits: int, weight_bits: int, appended: int | None = None):
        self.weight_bits = weight_bits
        self.appended = appended
        carried = signed(weight_bits - (appended is not None))
        super().__init__(
            {
                "x": In(signed(x_bits)),
                "weights": In(ArrayLayout(carried, 2)),
                "swap": In(1),
                "products": Out(ArrayLayout(signed(x_bits + weight_bits), 2)),
            }
        )

    @classmethod
    def takes(cls, x_bits: int, weight_bits: int) -> bool:
        """Whether operands of these widths fit."""
        raise NotImplementedError

    @classmethod
    def facts(cls, x_bits: int, weight_bits: int, *, appended: bool = False) -> Facts:
        """What the two products are made of; see :meth:`hwquant.rtl_templates.pe.RegisteredProduct.facts`."""
        raise NotImplementedError


def whole(weight: Value, appended: int | None) -> Value:
    """The weight with the bit that is appended to it at its low end, if any is."""
    return weight if appended is None else Cat(Const(appended, 1), weight).as_signed()
