"""Everything below the array: accumulate, requantize, pool, and line the columns up again."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.accumulator import Accumulator
from hwquant.rtl_templates.delay import Skew, delayed
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.jobs import instruction_layout, pixel_layout
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.ports import ParameterPort, ResultPort, parameter_layout
from hwquant.rtl_templates.requantize import Requantizer, above
from hwquant.rtl_templates.tables import COLUMNS, Lookup


def _sharing(config: ArrayConfig) -> list[int]:
    """The columns that share each table memory."""
    return [min(COLUMNS, config.columns - first) for first in range(0, config.columns, COLUMNS)]


def _of(array: int) -> str:
    """The end of the name of what belongs to an array."""
    return f"_{array}" if array else ""


class _Stages(NamedTuple):
    """The stages of a column, counted from the one that presents its accumulator's address.

    Attributes
    ----------
    sum : int
        The sum enters the accumulator.
    total : int
        The accumulator's total appears.
    clamped : int
        The requantized value appears.
    value : int
        What is looked up of it appears; the same where there are no tables.
    output : int
        The maximum appears, which is the column's output.
    """

    sum: int
    total: int
    clamped: int
    value: int
    output: int

    @classmethod
    def of(cls, config: ArrayConfig) -> Self:
        """The stages of an array."""
        total = Accumulator.latency
        clamped = total + config.requantize_latency
        value = clamped + config.table_latency
        return cls(total - Accumulator.sum_latency, total, clamped, value, value + 1)


class Collector(Component):
    """Everything below the array: ``columns`` accumulators, requantizers, perhaps tables, and running maxima.

    Column ``c`` does everything ``c`` cycles after column 0. So the marks of a pixel travel through one
    chain of registers, and column ``c`` in stage ``s`` looks at position ``c + s`` of it. Stage 0 presents the
    accumulator's address. Several arrays have columns of their own, which do everything at the same time.

    Throughput: one pixel of each array a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Widths and depths; ``config.array_latency`` cycles lie between a pixel's marks and its first sum.
    tables : Sequence of int
        Contents of the table memories, unsigned words.

    Attributes
    ----------
    latency : int
        Cycles from the first column's sum to ``results``: its addition, requantization, tables, the pooling maximum,
        and until the last column has caught up.

    Members
    -------
    pixel : In(pixel_layout())
        Marks of the pixel whose address leaves in this cycle.
    sums : In(ArrayLayout)
        Sums of the ``columns`` columns of each array, each ``signed(config.column_bits)``, skewed.
    parameters : Out(ParameterPort)
        Request for the parameters of new output channels.
    multiplies : In(1)
        The layer's sums are ``products``, which are earlier than those of the array; only where there are any. Constant
        during a layer.
    products : In(ArrayLayout)
        Products of the ``columns`` columns of each array, each ``signed(config.product_sum_bits)``, skewed,
        ``config.product_latency`` cycles after the pixel's marks; only where there are any.
    clamp : In(instruction_layout(config, Opcode.CLAMP))
        Bounds ``low`` and ``high`` of an output and its zero point ``zero``, which are taken as a layer's first pixel
        comes to them. Where they change, the last pixel before is so much earlier that all columns have used them.
    begins : Out(1)
        The results of a layer begin after this cycle; its ``clamp`` is taken.
    results : Out(ResultPort)
        Finished output channels.
    """

    def __init__(self, config: ArrayConfig, tables: Sequence[int] = ()):
        self.config = config
        self.tables = tables
        activation = signed(config.activation_bits)
        self.requantizers = [Requantizer(config) for _ in range(config.arrays * config.columns)]
        self.aligns = [Skew(activation, config.columns, reverse=True) for _ in range(config.arrays)]
        self.stages = _Stages.of(config)
        self.latency = self.stages.output - self.stages.sum + self.aligns[0].latency
        multiplied = {}
        if config.product_bits:
            products = ArrayLayout(signed(config.product_sum_bits), config.arrays * config.columns)
            multiplied = {"multiplies": In(1), "products": In(products)}
        super().__init__(
            {
                "pixel": In(pixel_layout()),
                "sums": In(ArrayLayout(signed(config.column_bits), config.arrays * config.columns)),
                "parameters": Out(ParameterPort(config)),
                "clamp": In(instruction_layout(config, Opcode.CLAMP)),
                "begins": Out(1),
                "results": Out(ResultPort(config)),
            }
            | multiplied
        )

    def elaborate(self, platform: object) -> Module:
        """Build the chain of marks, the columns, and the skew that lines their outputs up again."""
        m = Module()
        config = self.config
        # The marks wait until their pixel's sum approaches; there the parameters are asked for.
        early = self._approaching(m)
        m.d.comb += self.parameters.start.eq(early.valid & early.parameters)
        marks = delayed(m, early, ParameterReader.latency - 1, name="marks", reset_less=False)
        tags, addresses = self._stages(m, marks)
        # Each parameter is taken just before the stage that uses it, for the block before may still be there.
        bias_bus = delayed(m, self.parameters.bus, self.stages.sum - 1, name="bias_bus")
        shift_bus = delayed(m, bias_bus, self.stages.total - self.stages.sum, name="shift_bus")

        for array, align in enumerate(self.aligns):
            m.submodules["align" + _of(array)] = align
        # Where there is a multiplier, the zero point is needed a cycle before the bounds.
        clamp = Signal(instruction_layout(config, Opcode.CLAMP), reset_less=True)
        first = tags[self.stages.clamped - (3 if config.multiplier_bits else 2)]
        with m.If(first.valid & first.layer):
            m.d.sync += clamp.eq(self.clamp)
        lookups = [self._lookups(m, array, clamp) for array in range(config.arrays) if config.tables]
        for c in range(config.columns):
            totals = self._accumulate(m, c, tags[c:], addresses[c:], bias_bus)
            values = self._requantize(m, c, tags[c:], totals, shift_bus, clamp)
            for array, (value, align) in enumerate(zip(values, self.aligns)):
                if lookups:
                    value = self._look_up(m, c, lookups[array][c // COLUMNS], value)
                # Pixels come in pooling-window order, so a maximum needs one register.
                tag = tags[c + self.stages.value]
                maximum = Signal(
                    signed(config.activation_bits), name=f"maximum{c}{_of(array)}", reset_less=True
                )
                with m.If(tag.valid & tag.last & (tag.pool_first | above(value, maximum))):
                    m.d.sync += maximum.eq(value)
                m.d.comb += getattr(align, f"i{c}").eq(maximum)
                m.d.comb += self.results.channels[array * config.columns + c].eq(getattr(align, f"o{c}"))
        before, final = tags[config.columns - 2 + self.stages.output :]
        m.d.comb += self.begins.eq(before.valid & before.layer)
        m.d.comb += self.results.valid.eq(final.valid & final.last & final.pool_last)
        return m

    def _approaching(self, m: Module) -> Signal:
        """The marks of the pixel whose sum, or product, approaches.

        A layer of products waits until the one before it is written, and so does the one behind it: no marks are on
        their way where it changes what is waited for.
        """
        config, before = self.config, self.stages.sum + ParameterReader.latency
        wait = config.array_latency - before
        if not config.product_bits:
            return delayed(m, self.pixel, wait, name="early", reset_less=False)
        soon = delayed(m, self.pixel, config.product_latency - before, name="soon", reset_less=False)
        late = delayed(m, soon, wait - (config.product_latency - before), name="late", reset_less=False)
        early = Signal(pixel_layout())
        m.d.comb += early.eq(Mux(self.multiplies, soon.as_value(), late.as_value()))
        return early

    def _stages(self, m: Module, marks: Signal) -> tuple[list[Signal], list[Signal]]:
        """The marks, and the accumulators' addresses, in every stage of every column."""
        columns = self.config.columns
        tags = [delayed(m, marks, 1, name="tag0", reset_less=False)]
        address = Signal(index_bits(self.config.accumulator_depth), name="address0", reset_less=True)
        with m.If(marks.valid):
            m.d.sync += address.eq(Mux(marks.start, 0, address + ~marks.hold))
        addresses = [address]
        for n in range(1, columns + self.stages.total):
            addresses.append(delayed(m, addresses[-1], 1, name=f"address{n}"))
        for n in range(1, columns + self.stages.output):
            tags.append(delayed(m, tags[-1], 1, name=f"tag{n}", reset_less=False))
        return tags, addresses

    def _accumulate(
        self, m: Module, c: int, tags: list[Signal], addresses: list[Signal], bus: Signal
    ) -> list[Signal]:
        """Build the accumulators of a column, with the bias that they take from the bus; return each array's total."""
        bias = Signal(signed(self.config.stored_bias_bits), name=f"bias{c}", reset_less=True)
        with m.If(tags[self.stages.sum - 1].parameters):
            m.d.sync += bias.eq(bus.bias)
        totals = []
        for array in range(self.config.arrays):
            m.submodules[f"accumulator{c}{_of(array)}"] = accumulator = Accumulator(self.config)
            number = array * self.config.columns + c
            m.d.comb += [
                accumulator.read_address.eq(addresses[0]),
                accumulator.first.eq(tags[self.stages.sum].first),
                accumulator.hold.eq(tags[self.stages.sum].hold),
                accumulator.bias.eq(bias),
                accumulator.sum.eq(
                    Mux(self.multiplies, self.products[number], self.sums[number])
                    if self.config.product_bits
                    else self.sums[number]
                ),
                accumulator.write_address.eq(addresses[self.stages.total]),
                accumulator.write_enable.eq(tags[self.stages.total].valid),
            ]
            totals.append(accumulator.total)
        return totals

    def _requantize(
        self, m: Module, c: int, tags: list[Signal], totals: list[Signal], bus: Signal, clamp: Signal
    ) -> list[Signal]:
        """Build the requantizers of a column, with what they take from the bus; return their outputs."""
        requantizers = self.requantizers[c :: self.config.columns]
        for array, (requantizer, total) in enumerate(zip(requantizers, totals)):
            m.submodules[f"requantize{c}{_of(array)}"] = requantizer
            m.d.comb += [
                requantizer.total.eq(total),
                requantizer.low.eq(clamp.low),
                requantizer.high.eq(clamp.high),
                requantizer.zero.eq(clamp.zero),
            ]
        for name in ("shift", "multiplier") if self.config.multiplier_bits else ("shift",):
            register = Signal(parameter_layout(self.config)[name].shape, name=f"{name}{c}", reset_less=True)
            with m.If(tags[self.stages.total - 1].parameters):
                m.d.sync += register.eq(bus[name])
            m.d.comb += [getattr(requantizer, name).eq(register) for requantizer in requantizers]
        return [requantizer.value for requantizer in requantizers]

    def _lookups(self, m: Module, array: int, clamp: Signal) -> list[Lookup]:
        """Build the tables of all columns of an array, which read the layer's page."""
        lookups = [Lookup(self.config, self.tables, columns) for columns in _sharing(self.config)]
        for number, lookup in enumerate(lookups):
            m.submodules[f"table{number}{_of(array)}"] = lookup
            m.d.comb += lookup.page.eq(clamp.table)
        return lookups

    def _look_up(self, m: Module, c: int, lookup: Lookup, clamped: Signal) -> Signal:
        """Connect a column to its tables; return its output."""
        m.d.comb += getattr(lookup, f"address{c % COLUMNS}").eq(clamped)
        value: Signal = getattr(lookup, f"value{c % COLUMNS}")
        return value

    @staticmethod
    def facts(config: ArrayConfig, budget: DspBudget | None = None) -> Facts:
        """The chain of marks, and for each column its parameters, accumulators, requantizer, table and maximum.

        Parameters
        ----------
        config : ArrayConfig
            Shape and widths.
        budget : DspBudget or None
            What ``elaborate`` gets as its platform.
        """
        columns, bits, address = config.columns, config.activation_bits, index_bits(config.accumulator_depth)
        arrays, several = config.arrays, config.arrays * config.columns
        stages, sharing = _Stages.of(config), _sharing(config) if config.tables else []
        early = config.array_latency - stages.sum - 1  # before stage 0
        multiplied = config.product_bits > 0
        tags = columns + stages.output
        unread = 1 + (not config.window_sums)  # start; hold
        parameters = config.parameter_bits
        return Facts(
            registers={
                "early": early * pixel_layout().size,
                "tags": tags * pixel_layout().size,
                "addresses": (columns + stages.total) * address,
                "bus": (stages.total - 1) * parameters,
                "bias": columns * config.stored_bias_bits,
                "shift": columns * config.shift_bits,
                "multiplier": columns * config.multiplier_bits,
                "maximum": several * bits,
                "clamp": instruction_layout(config, Opcode.CLAMP).size,
            },
            redundant={
                "early": early * (unread - 1),
                "tags": tags * unread,
                "bus": (stages.total - stages.sum) * config.stored_bias_bits,
            },
            adders={"maximum": several * bits, "address": address},
            muxes={
                "sum": several * config.added_bits * multiplied,
                "early": pixel_layout().size * multiplied,
            },
            gates={"control": 1, "columns": several},
            inside=[
                Inside("align", Skew.facts(bits, columns), arrays),
                Inside("accumulator", Accumulator.facts(config), several),
                Inside("requantize", Requantizer.facts(config, budget), several),
                *(
                    Inside("table", Lookup.facts(config, count), arrays * sharing.count(count))
                    for count in sorted(set(sharing))
                ),
            ],
        )
