"""A board's top with its external memory: an SDRAM behind its controller, or one that only has a timing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, connect

from hwquant.program.external import MemoryTiming
from hwquant.rtl_templates.board import LinkedAccelerator
from hwquant.rtl_templates.sdram import SdramController, core_verilog
from hwquant.rtl_templates.sdram_chips import SdramChip
from hwquant.sim.external_memory import SimulatedMemory, settings_of
from hwquant.sim.sdram import SdramModel


@dataclass(frozen=True)
class ClockedSdram:
    """An SDRAM that a simulated board has.

    Attributes
    ----------
    chip : SdramChip
        The chip, as wide as the accelerator's port.
    hertz : float, default 100e6
        Clock of the board, by which the controller counts the chip's times.
    """

    chip: SdramChip
    hertz: float = 100e6

    def verilog(self) -> str:
        """The controller's Verilog."""
        return core_verilog(self.chip, self.hertz, self.hertz)

    @property
    def hasty(self) -> ClockedSdram:
        """The same, but the chip is initialized without the long pause behind power-up."""
        return replace(self, chip=replace(self.chip, power_up=2000))


class BoardWithMemory(Component):
    """A board's top with external memory: it has the ports of one without.

    Parameters
    ----------
    board : LinkedAccelerator
        The top.
    sdram : ClockedSdram or None
        What it has; None: a memory whose timing and faulty address are in a memory ``settings``, which a simulator may
        write (:func:`~hwquant.sim.external_memory.settings_of`).
    """

    def __init__(self, board: LinkedAccelerator, sdram: ClockedSdram | None):
        self.board, self.sdram = board, sdram and sdram.hasty
        members = board.signature.members
        super().__init__({name: members[name] for name in members if name != "memory"})

    def elaborate(self, platform: object) -> Module:
        """Connect the board and its memory."""
        m = Module()
        m.submodules.board = board = self.board
        config = board.accelerator.config
        depth = 1 << config.external_address_bits
        if self.sdram is None:
            settings = settings_of(MemoryTiming())
            m.submodules.external = memory = SimulatedMemory(config.external_bits, depth, (), settings)
            connect(m, board.memory, memory.port)
        else:
            chip, hertz = self.sdram.chip, self.sdram.hertz
            m.submodules.controller = controller = SdramController(chip, hertz)
            m.submodules.chip = model = SdramModel(chip, hertz, depth)
            connect(m, board.memory, controller.port)
            connect(m, controller.pins, model.pins)
        for name, member in self.signature.members.items():
            outer, inner = getattr(self, name), getattr(board, name)
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        return m
