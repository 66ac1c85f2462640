"""The bundles of wires between components; directions are those of the component that leads."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Member, Out, Signature

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.program.registers import REGISTER_BITS, Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.jobs import instruction_layout, job_layout


def word_layout(config: ArrayConfig) -> StructLayout:
    """The layout of a beat of results.

    It is a word of the activation memory, and whether it is the ``last`` of its frame.
    """
    return StructLayout({"data": config.word_bits, "last": 1})


def frame_layout(config: ArrayConfig) -> StructLayout:
    """The layout of a beat of the host's input frames: that of a word, or, where a packer makes words, its values."""
    return StructLayout({"data": config.frame_bits, "last": 1})


def parameter_layout(config: ArrayConfig) -> StructLayout:
    """The parameters of one output channel, a word of the parameter memory.

    ``bias`` has rounding and zero points folded in, and lacks ``config.bias_zeros`` low bits; ``shift`` is a number of
    bits; ``multiplier`` is there only where the array requantizes with one.
    """
    fields = {"bias": signed(config.stored_bias_bits), "shift": unsigned(config.shift_bits)}
    if config.multiplier_bits:
        fields["multiplier"] = signed(config.multiplier_bits)
    return StructLayout(fields)


class ReadPort(Signature):
    """What is read from the activation memory.

    Its data are there ``ActivationMemory.latency`` advancing cycles later.

    Members
    -------
    address : Out(config.activation_address_bits)
        Address of the word.
    advance : Out(1)
        The stages of the memory move on; they stand still while it is low.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({"address": Out(config.activation_address_bits), "advance": Out(1)})


class WritePort(Signature):
    """What is written to the activation memory.

    Members
    -------
    address : Out(config.activation_address_bits)
        Address of the word.
    data : Out(config.arrays * config.word_bits)
        The word of each bank.
    enable : Out(config.enables)
        Write groups of the words that are written, a bit for each; of several arrays, then the banks.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "address": Out(config.activation_address_bits),
                "data": Out(config.arrays * config.word_bits),
                "enable": Out(config.enables),
            }
        )


class WriteMonitor(Signature):
    """What is written to the activation memory, for testbenches: unconnected, it costs nothing.

    Members
    -------
    valid : Out(1)
        A whole word of outputs is written.
    address : Out(config.activation_address_bits)
        Address of the word.
    data : Out(config.arrays * config.word_bits)
        The word of each bank.
    enable : Out(config.enables)
        Write groups of the words that are written, a bit for each; of several arrays, then the banks.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({"valid": Out(1), **WritePort(config).members})


class LaneSelection(Signature):
    """The lanes that go to the arrays, of the words whose address leaves in this cycle.

    Members
    -------
    part : Out(index_bits(config.selections))
        Part of the word, or, for depthwise tiles, the write group.
    outside : Out(config.arrays)
        The pixel is padding, for each array.
    pad : Out(signed(config.activation_bits))
        Value of padding.
    banks : Out(ArrayLayout)
        The bank that each array reads, each ``index_bits(config.arrays)``; only where there are several.
    """

    def __init__(self, config: ArrayConfig):
        banks = {"banks": Out(ArrayLayout(index_bits(config.arrays), config.arrays))}
        super().__init__(
            {
                "part": Out(index_bits(config.selections)),
                "outside": Out(config.arrays),
                "pad": Out(signed(config.activation_bits)),
            }
            | (banks if config.arrays > 1 else {})
        )


class TilePort(Signature):
    """The start of something with a tile: loading its weights, or streaming its pixels.

    Members
    -------
    start : Out(1)
        Begin; only while ``ready``.
    job : Out(job_layout(config))
        The tile.
    ready : In(1)
        What was begun ends in this cycle, or has ended.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({"start": Out(1), "job": Out(job_layout(config)), "ready": In(1)})


class EntryPort(Signature):
    """Weights that enter the array at rows below the first, those of ``config.entries``.

    Members
    -------
    weight{row} : Out(ArrayLayout)
        Weights of the ``columns`` columns for the row, each ``signed(config.entry_bits(row))``.
    enter : Out(len(config.entries))
        Rows that load these weights instead of their upper neighbours', a bit for each; only where there are any.
    """

    def __init__(self, config: ArrayConfig):
        members: dict[str, Member] = {
            f"weight{row}": Out(ArrayLayout(signed(config.entry_bits(row)), config.columns))
            for row in config.entries
        }
        if config.entries:
            members["enter"] = Out(len(config.entries))
        super().__init__(members)


class WeightPort(Signature):
    """Adjusted weights on their way into the array.

    Members
    -------
    weight : Out(ArrayLayout)
        Weights of the ``columns`` columns for the first row, each ``signed(config.carried_bits)``.
    load : Out(array_rows(config))
        Rows of the array that shift, a bit for each.
    entries : Out(EntryPort)
        Weights for other rows.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "weight": Out(ArrayLayout(signed(config.carried_bits), config.columns)),
                "load": Out(array_rows(config)),
                "entries": Out(EntryPort(config)),
            }
        )


def array_rows(config: ArrayConfig) -> int:
    """Count the rows of processing elements.

    With channel offsets in the sum column, there is one more than the array has.
    """
    return config.rows + (1 if config.offset == "sum" and config.channel_offsets else 0)


class RunPort(Signature):
    """What the sequencer does, and whether it may.

    Members
    -------
    enable : In(1)
        An inference may begin.
    begin : Out(1)
        The first word of an inference is executed.
    done : Out(1)
        END is executed.
    illegal : Out(1)
        An unknown opcode was met, and execution has stopped; high until a reset.
    """

    def __init__(self) -> None:
        super().__init__({"enable": In(1), "begin": Out(1), "done": Out(1), "illegal": Out(1)})


class TransferPort(Signature):
    """Words to move between the host and the activation memory.

    Members
    -------
    receive : Out(1)
        Begin with an input.
    send : Out(1)
        Begin with an output.
    words : Out(instruction_layout(config, Opcode.OUTPUT))
        First ``address`` of the words, their ``count``, and whether an output is the ``last`` of its frame. Where a
        frame may come in pieces: the same of an input; of several arrays, and the ``banks``.
    done : In(1)
        The last word has moved in the cycle before.
    again : In(1)
        A frame was dropped in the cycle before, and its first input is to begin again; only where frames may come in
        pieces.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "receive": Out(1),
                "send": Out(1),
                "words": Out(instruction_layout(config, Opcode.OUTPUT)),
                "done": In(1),
            }
            | ({"again": In(1)} if config.in_pieces else {})
        )


class PackerPort(Signature):
    """An input frame to receive, and what has become of it.

    Members
    -------
    start : Out(1)
        Begin with a frame.
    address : Out(config.activation_address_bits)
        Address of its first word, until it is received.
    received : In(1)
        Its last beat is taken, in this cycle.
    dropped : In(1)
        A frame ended early or late.
    busy : In(1)
        A frame is received, or words of it are still being written.
    done : In(1)
        The last word is written, in this cycle.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "start": Out(1),
                "address": Out(config.activation_address_bits),
                "received": In(1),
                "dropped": In(1),
                "busy": In(1),
                "done": In(1),
            }
        )


class RegisterPort(Signature):
    """Access to the registers; reads are combinational, writes take effect at the clock.

    Members
    -------
    address : Out(index_bits(len(Register)))
        Number of the register, as of :class:`~hwquant.program.registers.Register`.
    write : Out(1)
        Write the register.
    write_data : Out(REGISTER_BITS)
        What is written.
    read_data : In(REGISTER_BITS)
        Value of the register.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "address": Out(index_bits(len(Register))),
                "write": Out(1),
                "write_data": Out(REGISTER_BITS),
                "read_data": In(REGISTER_BITS),
            }
        )


BASE_BITS = 20
"""Width of an address in external memory in pages of 4 KiB: byte addresses have 32 bits."""


class FillPort(Signature):
    """Words that the mover writes into a memory.

    Members
    -------
    enable : Out(1)
        A word is written.
    address : Out(index_bits(depth))
        Its address.
    data : Out(width)
        The word.
    """

    def __init__(self, depth: int, width: int):
        super().__init__({"enable": Out(1), "address": Out(index_bits(depth)), "data": Out(width)})


class AxiMemoryPort(Signature):
    """A port to a memory behind AXI4: what of its channels is not the same all the time.

    Addresses are those of bytes; bursts are of type INCR, their beats as wide as the port, all with the identifier 0,
    and all bytes of a beat are written. (AMBA AXI and ACE Protocol Specification, IHI 0022.)

    Members
    -------
    ar, aw : Out(stream.Signature(StructLayout))
        Bursts to read and to write: the ``address`` of the first beat, 32 bits, and their ``length`` less one, 8 bits.
    w : Out(stream.Signature(StructLayout))
        Beats that are written: ``data``, and ``last`` of a burst.
    r : In(stream.Signature(StructLayout))
        Beats that were read: ``data``, the response ``resp``, 2 bits, and ``last`` of a burst; always accepted.
    b : In(stream.Signature(StructLayout))
        Answers to written bursts: the response ``resp``, 2 bits; always accepted.
    """

    def __init__(self, data_bits: int):
        address = StructLayout({"address": 32, "length": 8})
        super().__init__(
            {
                "ar": Out(stream.Signature(address)),
                "aw": Out(stream.Signature(address)),
                "w": Out(stream.Signature(StructLayout({"data": data_bits, "last": 1}))),
                "r": In(stream.Signature(StructLayout({"data": data_bits, "resp": 2, "last": 1}))),
                "b": In(stream.Signature(StructLayout({"resp": 2}))),
            }
        )


class FrameEvents(Signature):
    """What the register file counts of the host's frames.

    Members
    -------
    received : Out(1)
        The last word of an input has moved in the cycle before.
    sending : Out(1)
        An output begins.
    dropped : Out(1)
        An input frame ended early or late.
    """

    def __init__(self) -> None:
        super().__init__({"received": Out(1), "sending": Out(1), "dropped": Out(1)})


class ParameterPort(Signature):
    """A request for the parameters of ``columns`` output channels, and the bus on which they come.

    Members
    -------
    start : Out(1)
        Begin to send; again no sooner than ``columns`` cycles later.
    bus : In(parameter_layout(config))
        Parameters of a channel in each cycle, from ``ParameterReader.latency`` cycles after ``start`` on.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({"start": Out(1), "bus": In(parameter_layout(config))})


class ResultPort(Signature):
    """Finished outputs.

    Members
    -------
    valid : Out(1)
        There are outputs in this cycle.
    channels : Out(ArrayLayout)
        Output channels of one pixel of each array, ``columns`` of them, each ``signed(config.activation_bits)``.
    """

    def __init__(self, config: ArrayConfig):
        channels = ArrayLayout(signed(config.activation_bits), config.arrays * config.columns)
        super().__init__({"valid": Out(1), "channels": Out(channels)})
