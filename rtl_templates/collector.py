"""Everything below the array: accumulate, requantize, pool, and line the columns up again."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import MEMORY_LATENCY, ArrayConfig, index_bits
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.accumulator import Accumulator
from hwquant.rtl_templates.delay import Skew, delayed
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.jobs import instruction_layout, pixel_layout
from hwquant.rtl_templates.parameters import parameter_layout
from hwquant.rtl_templates.requantize import Requantizer, above

SUM_STAGE, TOTAL_STAGE = 2, 3
"""Stages in which a column's sum enters its accumulator, and in which the total appears; stage 0 presents the
accumulator's address."""


class Collector(Component):
    """``columns`` accumulators, requantizers and running maxima.

    Column ``c`` does everything ``c`` cycles after column 0. So the marks of a pixel travel through one
    chain of registers, and column ``c`` in stage ``s`` looks at position ``c + s`` of it.

    Members
    -------
    pixel : In, the marks of the pixel whose address leaves in this cycle
    sums : In, the array's sums
    bus : In, the parameter bus; parameters : Out, make its reader start
    clamp : In, low, high and zero point, constant during a layer
    outputs, valid : Out, ``columns`` finished output channels of one pixel
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        activation = signed(config.activation_bits)
        super().__init__(
            {
                "pixel": In(pixel_layout()),
                "sums": In(ArrayLayout(signed(config.column_bits), config.columns)),
                "bus": In(parameter_layout(config)),
                "parameters": Out(1),
                "clamp": In(instruction_layout(config, Opcode.CLAMP)),
                "outputs": Out(ArrayLayout(activation, config.columns)),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, columns = self.config, self.config.columns
        value_stage = TOTAL_STAGE + config.requantize_latency
        output_stage = value_stage + 1
        stage_zero = config.array_latency - 2

        # The marks wait until their pixel's sum approaches; the accumulator's address is counted there.
        early = delayed(m, self.pixel, stage_zero - MEMORY_LATENCY, name="early", reset_less=False)
        m.d.comb += self.parameters.eq(early.valid & early.parameters)
        marks = delayed(m, early, MEMORY_LATENCY - 1, name="marks", reset_less=False)
        tags = [delayed(m, marks, 1, name="tag0", reset_less=False)]
        address = Signal(index_bits(config.accumulator_depth), name="address0", reset_less=True)
        with m.If(marks.valid):
            m.d.sync += address.eq(Mux(marks.start, 0, address + ~marks.hold))
        addresses = [address]
        for n in range(1, columns + TOTAL_STAGE):
            addresses.append(delayed(m, addresses[-1], 1, name=f"address{n}"))
        for n in range(1, columns + output_stage):
            tags.append(delayed(m, tags[-1], 1, name=f"tag{n}", reset_less=False))
        # Each parameter is taken just before the stage that uses it, for the block before may still be there.
        bias_bus = delayed(m, self.bus, SUM_STAGE - 1, name="bias_bus")
        shift_bus = delayed(m, bias_bus, TOTAL_STAGE - SUM_STAGE, name="shift_bus")

        m.submodules.align = align = Skew(signed(config.activation_bits), columns, reverse=True)
        for c in range(columns):
            bias = Signal(signed(config.accumulator_bits), name=f"bias{c}", reset_less=True)
            shift = Signal(config.shift_bits, name=f"shift{c}", reset_less=True)
            with m.If(tags[c + SUM_STAGE - 1].parameters):
                m.d.sync += bias.eq(bias_bus.bias)
            with m.If(tags[c + TOTAL_STAGE - 1].parameters):
                m.d.sync += shift.eq(shift_bus.shift)

            m.submodules[f"accumulator{c}"] = accumulator = Accumulator(config)
            m.d.comb += [
                accumulator.read_address.eq(addresses[c]),
                accumulator.first.eq(tags[c + SUM_STAGE].first),
                accumulator.hold.eq(tags[c + SUM_STAGE].hold),
                accumulator.bias.eq(bias),
                accumulator.sum.eq(self.sums[c]),
                accumulator.write_address.eq(addresses[c + TOTAL_STAGE]),
                accumulator.write_enable.eq(tags[c + TOTAL_STAGE].valid),
            ]
            m.submodules[f"requantize{c}"] = requantizer = Requantizer(config)
            m.d.comb += [
                requantizer.total.eq(accumulator.total),
                requantizer.shift.eq(shift),
                requantizer.low.eq(self.clamp.low),
                requantizer.high.eq(self.clamp.high),
                requantizer.zero.eq(self.clamp.zero),
            ]
            if config.multiplier_bits:
                multiplier = Signal(signed(config.multiplier_bits), name=f"multiplier{c}", reset_less=True)
                with m.If(tags[c + TOTAL_STAGE - 1].parameters):
                    m.d.sync += multiplier.eq(shift_bus.multiplier)
                m.d.comb += requantizer.multiplier.eq(multiplier)

            # Pixels come in pooling-window order, so a maximum needs one register.
            tag = tags[c + value_stage]
            maximum = Signal(signed(config.activation_bits), name=f"maximum{c}", reset_less=True)
            with m.If(tag.valid & tag.last & (tag.pool_first | above(requantizer.value, maximum))):
                m.d.sync += maximum.eq(requantizer.value)
            m.d.comb += getattr(align, f"i{c}").eq(maximum)
            m.d.comb += self.outputs[c].eq(getattr(align, f"o{c}"))
        final = tags[columns - 1 + output_stage]
        m.d.comb += self.valid.eq(final.valid & final.last & final.pool_last)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The chain of marks, and for each column its parameters and its maximum."""
        columns, bits, address = config.columns, config.activation_bits, index_bits(config.accumulator_depth)
        early = config.array_latency - 2 - 1  # before stage 0
        tags = columns + TOTAL_STAGE + config.requantize_latency + 1
        unread = 1 + (not config.window_sums)  # start; hold
        parameters = config.parameter_bits
        return Facts(
            registers={
                "early": early * pixel_layout().size,
                "tags": tags * pixel_layout().size,
                "addresses": (columns + TOTAL_STAGE) * address,
                "bus": (TOTAL_STAGE - 1) * parameters,
                "bias": columns * config.accumulator_bits,
                "shift": columns * config.shift_bits,
                "multiplier": columns * config.multiplier_bits,
                "maximum": columns * bits,
            },
            redundant={
                "early": early * (unread - 1),
                "tags": tags * unread,
                "bus": (TOTAL_STAGE - SUM_STAGE) * config.accumulator_bits,
            },
            adders={"maximum": columns * bits, "address": address},
            gates={"control": 1, "columns": columns},
            inside=[
                Inside("align", Skew.facts(bits, columns)),
                Inside("accumulator", Accumulator.facts(config), columns),
                Inside("requantize", Requantizer.facts(config), columns),
            ],
        )
