"""What the sequencer remembers."""

from amaranth.hdl import Signal, signed

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import (
    Opcode,
    program_bits,
)
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout, job_layout, move_layout


class SequencerRegisters:
    """What the sequencer remembers from cycle to cycle, and what goes between its parts.

    Parameters
    ----------
    config : ArrayConfig
        Depth and widths.
    """

    def __init__(self, config: ArrayConfig):
        # Fetch: address, memory, register; all three stand still while the register's word waits.
        self.pc = Signal(index_bits(config.program_depth))
        self.fetched = Signal()
        self.valid = Signal()
        self.word = Signal(program_bits(config))
        self.fresh = Signal()
        self.running = Signal()
        self.wait = Signal()
        # Double-buffered registers, and whether a job, or what comes behind the array, is to take them.
        self.pending = Signal()
        self.coming = Signal()
        self.geometry = Signal(geometry_layout(config), reset_less=True)
        self.write = Signal(instruction_layout(config, Opcode.WRITE), reset_less=True)
        self.clamp = Signal(instruction_layout(config, Opcode.CLAMP), reset_less=True)
        if config.product_bits:
            self.product = Signal(instruction_layout(config, Opcode.PRODUCT), reset_less=True)
        # What tiles are made of beside their own words.
        self.offset = Signal(signed(config.offset_bits), reset_less=True)
        self.count = Signal(instruction_layout(config, Opcode.COUNT)["count"].shape, reset_less=True)
        self.form = Signal(instruction_layout(config, Opcode.FORMAT))
        # A repeated tile: how many are to come, whether one is, whether one was.
        self.repeat = Signal(instruction_layout(config, Opcode.REPEAT)["count"].shape)
        self.step = Signal(config.activation_address_bits, reset_less=True)
        self.repeating = Signal()
        self.repeated = Signal()
        self.skipped = Signal(config.activation_address_bits, reset_less=True)
        # Where the next move begins outside, and where the weights of the next tile are.
        if config.external_bits:
            self.external = Signal(move_layout(config)["external"].shape, reset_less=True)
            self.weights = Signal(job_layout(config)["weights"].shape)
        # The first half of the program is to come, and is on its way.
        if config.program_half:
            self.absent = Signal(init=1)
            self.moving = Signal()
