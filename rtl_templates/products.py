"""Products of two activations: a multiplier a column, below the array and beside it."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.delay import Skew, delayed
from hwquant.rtl_templates.dsp import DspBudget, blocks_of
from hwquant.rtl_templates.facts import Facts, Inside, Product
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.registered_product import RegisteredProduct


class LaneSkew(Component):
    """All lanes of a word for the columns, of arrays whose rows take a part of a word.

    ::

        lanes[c] = data[c], 1 + c cycles later

    Where a word has no more lanes than the array has rows, the array's own input has them.

    Throughput: one word a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape and widths.

    Attributes
    ----------
    latency : int
        Cycles from ``data`` to the first lane.

    Members
    -------
    data : In(config.word_bits)
        A word of the activation memory.
    lanes : Out(ArrayLayout)
        Its lanes, each ``signed(config.activation_bits)``, skewed.
    """

    latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        lanes = ArrayLayout(signed(config.activation_bits), config.lanes)
        super().__init__({"data": In(config.word_bits), "lanes": Out(lanes)})

    def elaborate(self, platform: object) -> Module:
        """Build the register of the word, and the skew behind it."""
        m = Module()
        word = Signal(self.lanes.shape(), reset_less=True)
        m.d.sync += word.eq(self.data)
        m.submodules.skew = skew = Skew(signed(self.config.activation_bits), self.config.lanes)
        for c in range(self.config.lanes):
            m.d.comb += [getattr(skew, f"i{c}").eq(word[c]), self.lanes[c].eq(getattr(skew, f"o{c}"))]
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The register of the word, and the skew."""
        return Facts(
            registers={"word": config.word_bits},
            inside=[Inside("skew", Skew.facts(config.activation_bits, config.lanes))],
        )


class Products(Component):
    """The products of two activations, for each column: ``(pixel - zeros.pixel) * (factor - zeros.factor)``.

    A lane that is a ``factor`` is kept, and multiplies all lanes after it up to the next factor.

    Throughput: one lane of each column a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape and widths.

    Attributes
    ----------
    latency : int
        Cycles from a pixel's lane to its product.

    Members
    -------
    lanes : In(ArrayLayout)
        Activations of the columns that a word has lanes for, each ``signed(config.activation_bits)``, skewed.
    factor : In(1)
        The first lane is a factor.
    zeros : In(instruction_layout(config, Opcode.PRODUCT))
        The zero points of pixels and factors, constant during a layer.
    products : Out(ArrayLayout)
        Products of the ``columns`` columns, each ``signed(config.product_sum_bits)``, skewed; 0 where a word has no
        lane for the column.
    """

    latency = 2

    def __init__(self, config: ArrayConfig):
        self.config = config
        self.columns = product_columns(config)
        super().__init__(
            {
                "lanes": In(ArrayLayout(signed(config.activation_bits), self.columns)),
                "factor": In(1),
                "zeros": In(instruction_layout(config, Opcode.PRODUCT)),
                "products": Out(ArrayLayout(signed(config.product_sum_bits), config.columns)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build for each column what subtracts the zero point, what keeps a factor, and the product.

        Parameters
        ----------
        platform : object
            The budget of DSP blocks, whose device may have a component for a product with its registers.
        """
        m = Module()
        bits = self.config.product_bits
        block = _block(self.config, platform if isinstance(platform, DspBudget) else None)
        mark = self.factor
        for c in range(self.columns):
            lane = self.lanes[c][:bits].as_signed()
            centred = Signal(signed(bits + 1), name=f"centred{c}", reset_less=True)
            difference = Signal.like(centred, name=f"difference{c}")
            m.d.comb += difference.eq(lane - Mux(mark, self.zeros.factor, self.zeros.pixel))
            m.d.sync += centred.eq(difference)
            mark = delayed(m, mark, 1, name=f"factor_column{c + 1}", reset_less=False)
            factor = Signal(signed(bits + 1), name=f"factor{c}", reset_less=True)
            if block:
                # Blocks share few enables of their registers, so that this one has none.
                following = Signal.like(factor, name=f"following{c}")
                m.submodules[f"product{c}"] = multiplier = block(bits + 1, bits + 1, stages=1)
                m.d.sync += factor.eq(following)
                m.d.comb += [
                    following.eq(Mux(mark, centred, factor)),
                    multiplier.x.eq(difference),
                    multiplier.weight.eq(following),
                    multiplier.swap.eq(1),
                    self.products[c].eq(multiplier.product),
                ]
                continue
            # "keep" as in the processing element.
            product = Signal(
                signed(self.config.product_sum_bits), name=f"product{c}", reset_less=True, attrs={"keep": 1}
            )
            m.d.sync += product.eq(centred * factor)
            with m.If(mark):
                m.d.sync += factor.eq(centred)
            m.d.comb += self.products[c].eq(product)
        return m

    @staticmethod
    def facts(config: ArrayConfig, budget: DspBudget | None = None) -> Facts:
        """The operands and the product of each column, and the chain of marks.

        Parameters
        ----------
        config : ArrayConfig
            Shape and widths.
        budget : DspBudget or None
            What ``elaborate`` gets as its platform.
        """
        columns, operand = product_columns(config), config.product_bits + 1
        block = _block(config, budget)
        inside = [Inside("product", block.facts(operand, operand, stages=1), columns)] if block else []
        return Facts(
            registers={
                "operands": 2 * columns * operand,
                "products": 0 if block else columns * config.product_sum_bits,
                "marks": columns,
            },
            adders={"centred": columns * operand},
            muxes={"zero": columns * config.product_bits} | ({"factors": columns * operand} if block else {}),
            products=[] if block else [Product(operand, operand)] * columns,
            inside=inside,
        )


def _block(config: ArrayConfig, budget: DspBudget | None) -> type[RegisteredProduct] | None:
    """A device's component for a product with its registers, where one DSP block holds it."""
    operand = config.product_bits + 1
    if budget is None or blocks_of(budget.dsp, operand, operand, budget.dsp.least_product) != 1:
        return None
    return budget.dsp.product


def product_columns(config: ArrayConfig) -> int:
    """Count the columns that a word of the activation memory has a lane for."""
    return min(config.columns, config.lanes)
