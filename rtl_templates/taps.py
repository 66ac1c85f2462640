"""The depthwise mode's input: one stream of pixels, delayed by one and more rows of the image."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.limits import MIN_TAP_DELAY
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.delay import check_latency
from hwquant.rtl_templates.facts import Facts, Inside, MemoryShape


class LineDelay(Component):
    """A delay of a vector of activations by a number of cycles that may change.

    ::

        o = i, delay cycles later

    A memory is written and read in every cycle. After a change of ``delay`` the output is undefined for as many
    cycles. Throughput: one vector a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Columns, widths, and the greatest delay.

    Attributes
    ----------
    latency : int
        The least ``delay``: a cycle to write, one to read, and a register.

    Members
    -------
    i : In(ArrayLayout)
        Activations of the ``columns`` columns, each ``signed(config.activation_bits)``.
    delay : In(index_bits(config.tap_depth + 1))
        Cycles from ``i`` to ``o``, at least ``latency`` and at most ``config.tap_depth``.
    o : Out(ArrayLayout)
        The activations of ``delay`` cycles ago.
    """

    latency = 3

    def __init__(self, config: ArrayConfig):
        self.config = config
        vector = ArrayLayout(signed(config.activation_bits), config.columns)
        super().__init__({"i": In(vector), "o": Out(vector), "delay": In(index_bits(config.tap_depth + 1))})

    def elaborate(self, platform: object) -> Module:
        """Build the memory, its two pointers, and the register behind it."""
        m = Module()
        check_latency("a line delay", self.latency, MIN_TAP_DELAY)
        bits = index_bits(self.config.tap_depth)
        m.submodules.memory = memory = Memory(
            shape=len(self.i.as_value()), depth=1 << bits, init=[], attrs={"no_rw_check": 1}
        )
        write, read = memory.write_port(), memory.read_port()
        pointer = Signal(bits)
        behind = Signal(bits)
        o = Signal(self.o.shape(), reset_less=True)
        # The word written now is addressed again `delay` cycles later, less those of memory and register.
        m.d.sync += [
            pointer.eq(pointer + 1),
            behind.eq(pointer + 1 + (self.latency - 1) - self.delay),
            o.eq(read.data),
        ]
        m.d.comb += [
            write.addr.eq(pointer),
            write.data.eq(self.i),
            write.en.eq(1),
            read.addr.eq(behind),
            self.o.eq(o),
        ]
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The memory, the register behind it, and two pointers."""
        bits, vector = index_bits(config.tap_depth), config.columns * config.activation_bits
        return Facts(
            registers={"lines": vector, "line pointers": 2 * bits},
            adders={"line pointers": 2 * bits},
            memories=[MemoryShape(1 << bits, vector, apart=True, register="lines")],
        )


class TapLines(Component):
    """The line memories of depthwise tiles: for each kernel row, a stream of pixels.

    ::

        line[k] = i, (config.tap_lines - 1 - k) * delay cycles later

    Throughput: one vector a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Lines, columns and widths.

    Attributes
    ----------
    latency : int
        Cycles from ``i`` to the last line, which the columns' skew counts on.

    Members
    -------
    i : In(ArrayLayout)
        Activations of the ``columns`` columns, each ``signed(config.activation_bits)``, skewed as the columns are.
    delay : In(index_bits(config.tap_depth + 1))
        Cycles from kernel row to kernel row; see :class:`LineDelay`.
    line{k} : Out(ArrayLayout)
        The stream of kernel row k, shaped as ``i``; 0 is the most delayed.
    """

    latency = 0

    def __init__(self, config: ArrayConfig):
        self.config = config
        vector = ArrayLayout(signed(config.activation_bits), config.columns)
        super().__init__(
            {"i": In(vector), "delay": In(index_bits(config.tap_depth + 1))}
            | {f"line{k}": Out(vector) for k in range(config.tap_lines)}
        )

    def elaborate(self, platform: object) -> Module:
        """Build a delay for each kernel row but the last."""
        m = Module()
        stream = self.i
        for k in reversed(range(self.config.tap_lines)):
            m.d.comb += getattr(self, f"line{k}").eq(stream)
            if k:
                line = LineDelay(self.config)
                m.submodules[f"line_delay{k}"] = line
                m.d.comb += [line.i.eq(stream), line.delay.eq(self.delay)]
                stream = line.o
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """A delay for each kernel row but the last."""
        delays = config.tap_lines - 1
        return Facts(inside=[Inside("line_delay", LineDelay.facts(config), delays)] if delays else [])
