"""An SDR SDRAM at the pins of its controller, which watches the rules of its data sheet."""

from collections.abc import Sequence
from enum import IntEnum

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.program.registers import MemoryRegister
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.sdram import SdramController, SdramPort
from hwquant.rtl_templates.sdram_chips import MODE_CYCLES, REFRESHES, SdramChip

POSTPONED = 9
"""Refreshes that may be due at a time, at most: eight may be postponed."""


class Rule(IntEnum):
    """Rules of an SDR SDRAM's data sheet, as bits of ``broken``."""

    POWER_UP = 0
    """The chip is initialized: a pause, PRECHARGE of all banks, refreshes, LOAD MODE REGISTER, in this order."""
    MODE = 1
    """Bursts of one word, and the CAS latency that the clock asks for; tMRD until the next command."""
    PRECHARGED = 2
    """ACTIVE and REFRESH find the bank, or all banks, precharged, tRP before."""
    OPEN = 3
    """READ and WRITE find an open row, tRCD after ACTIVE."""
    ACTIVE = 4
    """A row is open for tRAS before PRECHARGE."""
    CYCLE = 5
    """tRC from ACTIVE to ACTIVE of a bank, tRRD to that of another."""
    REFRESHING = 6
    """tRFC from REFRESH to any other command."""
    RECOVERY = 7
    """tWR from the last data written to PRECHARGE of the bank; a READ with PRECHARGE waits for its word."""
    DATA = 8
    """Nobody drives the pins while the chip does, or in the cycle before."""
    INTERVAL = 9
    """As many refreshes as the time asks for."""
    KNOWN = 10
    """There is such a command."""


class SdramModel(Component):
    """A chip with the registers at the controller's pins, in the controller's clock domain.

    Once a rule is broken, what is read is wrong.

    Parameters
    ----------
    chip : SdramChip
        The chip.
    hertz : float
        Its clock.
    depth : int
        Words that are stored; addresses beyond wrap around.
    init : Sequence of int
        The first of them.

    Members
    -------
    pins : In(SdramPort(chip))
        The controller's signals.
    broken : Out(len(Rule))
        Rules that have been broken.
    """

    def __init__(self, chip: SdramChip, hertz: float, depth: int, init: Sequence[int] = ()):
        self.chip, self.hertz, self.depth, self.init = chip, hertz, depth, init
        super().__init__({"pins": In(SdramPort(chip)), "broken": Out(len(Rule))})

    def elaborate(self, platform: object) -> Module:
        """Build the registers at the pins, the banks with their clocks, and the store."""
        m = Module()
        chip, pins = self.chip, self.pins
        code, bank, address = Signal(4, init=0b1111), Signal(chip.bank_bits), Signal(chip.address_bits)
        driven, mask, data = Signal(), Signal(), Signal(chip.data_bits)
        m.d.sync += [
            code.eq(Cat(pins.we_n, pins.cas_n, pins.ras_n, pins.cs_n)),
            bank.eq(pins.bank),
            address.eq(pins.address),
            driven.eq(pins.write_enable),
            mask.eq(pins.mask),
            data.eq(pins.write_data),
        ]
        is_command = {
            name: Signal(name=name) for name in ("active", "read", "write", "precharge", "refresh", "mode")
        }
        for name, value in zip(is_command, (0b0011, 0b0101, 0b0100, 0b0010, 0b0001, 0b0000)):
            m.d.comb += is_command[name].eq(code == value)
        active, read, write, precharge, refresh, mode = is_command.values()
        anything = Cat(*is_command.values()).any()
        faults: list[tuple[Rule, Value]] = [
            (Rule.KNOWN, ~code[3] & (code != 0b0111) & ~anything),
        ]

        # Cycles since something, up to more than any rule asks for.
        def ago(event: Value, name: str, start: int = 255) -> Signal:
            count = Signal(8, name=f"since_{name}", init=start)
            with m.If(event):
                m.d.sync += count.eq(1)
            with m.Elif(count != 255):
                m.d.sync += count.eq(count + 1)
            return count

        def least(time: float) -> int:
            return chip.cycles(time, self.hertz)

        every = precharge & address[10]
        banks = 1 << chip.bank_bits
        opened = Array(Signal(name=f"open_{k}") for k in range(banks))
        rows = Array(Signal(chip.row_bits, name=f"row_{k}") for k in range(banks))
        # A READ or WRITE with A10 precharges its bank as soon as it may.
        closing = [Signal(name=f"closing_{k}") for k in range(banks)]
        active_ago, closed_ago, written_ago = [], [], []
        any_active = ago(active, "active")
        busy = []
        for k in range(banks):
            mine = bank == k
            since = ago(active & mine, f"active_{k}")
            written = ago(write & mine, f"written_{k}")
            itself = Signal(name=f"itself_{k}")
            m.d.comb += itself.eq(
                closing[k] & (since >= least(chip.t_ras)) & (written >= max(1, least(chip.t_wr)))
            )
            closes = every | precharge & mine | itself
            closed = ago(closes & opened[k], f"closed_{k}")
            active_ago.append(since)
            closed_ago.append(closed)
            written_ago.append(written)
            busy.append(opened[k] | (closed < least(chip.t_rp)))
            with m.If(itself):
                m.d.sync += closing[k].eq(0)
            with m.If((read | write) & mine & address[10]):
                m.d.sync += closing[k].eq(1)
            with m.If(closes):
                m.d.sync += opened[k].eq(0)
            with m.If(active & mine):
                m.d.sync += [opened[k].eq(1), rows[k].eq(address)]
            faults += [
                (Rule.PRECHARGED, active & mine & busy[k]),
                (Rule.OPEN, (read | write) & mine & (~opened[k] | closing[k] | (since < least(chip.t_rcd)))),
                (Rule.ACTIVE, (every | precharge & mine) & opened[k] & (since < least(chip.t_ras))),
                (Rule.CYCLE, active & mine & (since < least(chip.t_rc))),
                (
                    Rule.RECOVERY,
                    (every | precharge & mine) & opened[k] & ((written < least(chip.t_wr)) | closing[k]),
                ),
            ]
        refreshed = ago(refresh, "refresh")
        set_ago = ago(mode, "mode")
        faults += [
            (Rule.CYCLE, active & (any_active < least(chip.t_rrd))),
            (Rule.PRECHARGED, (refresh | mode) & Cat(busy).any()),
            (Rule.REFRESHING, anything & (refreshed < least(chip.t_rfc))),
            (Rule.MODE, anything & (set_ago < MODE_CYCLES)),
            (Rule.MODE, mode & ((address != chip.cas_latency(self.hertz) << 4) | (bank != 0))),
        ]
        self._power_up(m, anything, every, refresh, mode, faults)
        self._interval(m, refresh, faults)
        self._data(m, read, write, (bank, address, rows), (driven, mask, data), faults)
        for rule in Rule:
            found = [fault for which, fault in faults if which == rule]
            with m.If(Cat(*found).any()):
                m.d.sync += self.broken[rule].eq(1)
        return m

    def _power_up(
        self,
        m: Module,
        anything: Value,
        every: Value,
        refresh: Value,
        mode: Value,
        faults: list[tuple[Rule, Value]],
    ) -> None:
        """Watch how the chip is initialized."""
        pause = self.chip.cycles(self.chip.power_up, self.hertz)
        waited = Signal(range(pause + 1))
        with m.If(waited != pause):
            m.d.sync += waited.eq(waited + 1)
        cleared, count, ready = Signal(), Signal(range(REFRESHES + 1)), Signal()
        with m.If(every):
            m.d.sync += cleared.eq(1)
        with m.If(refresh & (count != REFRESHES)):
            m.d.sync += count.eq(count + 1)
        with m.If(mode):
            m.d.sync += ready.eq(1)
        early = anything & ~every & ~cleared | anything & ~(every | refresh | mode) & ~ready
        faults += [
            (Rule.POWER_UP, anything & (waited != pause)),
            (Rule.POWER_UP, early),
            (Rule.POWER_UP, mode & (count != REFRESHES)),
        ]

    def _interval(self, m: Module, refresh: Value, faults: list[tuple[Rule, Value]]) -> None:
        """Count the refreshes that are due, from the first one on."""
        interval = self.chip.refresh_cycles(self.hertz)
        begun, phase, due = Signal(), Signal(range(interval)), Signal(range(POSTPONED + 2))
        passes = begun & (phase == interval - 1)
        with m.If(refresh):
            m.d.sync += begun.eq(1)
        with m.If(begun):
            m.d.sync += phase.eq(Mux(passes, 0, phase + 1))
        with m.If(passes & ~refresh & (due != POSTPONED + 1)):
            m.d.sync += due.eq(due + 1)
        with m.Elif(refresh & ~passes & (due != 0)):
            m.d.sync += due.eq(due - 1)
        faults.append((Rule.INTERVAL, due > POSTPONED))

    def _data(
        self,
        m: Module,
        read: Value,
        write: Value,
        place: tuple[Value, Value, Array],
        driven: tuple[Value, Value, Value],
        faults: list[tuple[Rule, Value]],
    ) -> None:
        """Store what is written, and drive what is read: both behind the rising edge of the chip's clock."""
        chip, (bank, address, rows), (enable, mask, data) = self.chip, place, driven
        m.submodules.store = store = Memory(shape=chip.data_bits, depth=self.depth, init=self.init)
        reader, writer = store.read_port(domain="comb"), store.write_port()
        word = Cat(address[: chip.column_bits], bank, rows[bank])
        m.d.comb += [
            reader.addr.eq(word),
            writer.addr.eq(word),
            writer.data.eq(data),
            writer.en.eq(write & enable & ~mask),
        ]
        latency = chip.cas_latency(self.hertz)
        value, drives = reader.data, read
        driving = []
        for stage in range(latency):
            later, known = Signal(chip.data_bits, name=f"data_{stage}"), Signal(name=f"drives_{stage}")
            m.d.sync += [later.eq(value), known.eq(drives)]
            value, drives = later, known
            driving.append(known)
        taken = Signal(chip.data_bits)
        # Where the chip does not drive them, the pins have any level.
        m.d.sync += taken.eq(Mux(drives & ~self.broken.any(), value, ~value))
        m.d.comb += self.pins.read_data.eq(taken)
        faults += [
            (Rule.DATA, enable & Cat(driving[-2:]).any()),
            (Rule.DATA, write & (~enable | mask)),
            (Rule.DATA, read & mask),
        ]


class WithSdram(Component):
    """An accelerator with an SDRAM at its port: it has the ports of one without external memory, and ``broken``.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator.
    chip : SdramChip
        The chip, as wide as the accelerator's port.
    hertz : float
        The clock.
    init : Sequence of int
        Contents of the memory.

    Members
    -------
    broken : Out(len(Rule))
        Rules of the chip's data sheet that have been broken, a bit each.
    """

    def __init__(self, accelerator: Accelerator, chip: SdramChip, hertz: float, init: Sequence[int] = ()):
        self.accelerator = accelerator
        self.controller = SdramController(chip, hertz)
        self.chip = SdramModel(chip, hertz, 1 << accelerator.config.external_address_bits, init)
        members = accelerator.signature.members
        inner = {name: members[name] for name in members if name not in ("memory", "begins")}
        super().__init__(inner | {"broken": Out(len(Rule))})

    def elaborate(self, platform: object) -> Module:
        """Connect the three."""
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        m.submodules.controller = controller = self.controller
        m.submodules.chip = chip = self.chip
        connect(m, accelerator.memory, controller.port)
        connect(m, controller.pins, chip.pins)
        m.d.comb += self.broken.eq(chip.broken)
        for name in accelerator.signature.members:
            if name not in ("memory", "begins"):
                connect(m, flipped(getattr(self, name)), getattr(accelerator, name))
        # The first thing that the accelerator is told is where its memory begins: at 0.
        told = Signal()
        m.d.sync += told.eq(1)
        bus = accelerator.bus
        with m.If(~told):
            m.d.comb += [bus.address.eq(MemoryRegister.MEMORY), bus.write.eq(1), bus.write_data.eq(0)]
        return m
