"""The sequencer's instructions: one table that the compiler packs, the RTL unpacks and `inspect` prints.

A word is the opcode in the low bits, then the fields in order, least significant first.

========  =====================================================================================================
END       the inference is over: start again at word 0
INPUT     accept a frame of ``count`` words from the host into ``address``...; or, where the hardware has a packer, a
          frame that it makes words of at so many addresses, and go on at once (``early``) or when all of them are
          written. Of several arrays without one: into the ``banks`` that have a bit. There, and with external memory,
          a frame may come in several inputs, of which the ``last`` ends it
OUTPUT    when the pipeline is empty, send ``count`` words from ``address`` to the host; the ``last`` of a network's
          outputs ends the frame. Of several arrays: from the bank that has a bit in ``banks``
LEVEL     loop level ``level`` of the pixel order (0 window column, 1 window row, 2 pixel column, 3 pixel row):
          its last index, and what its step adds to the address and to the coordinates. Of several arrays: ``y`` is
          a row of a strip, and ``strip`` what the step adds to the strip's number
PLANE     height and width of the tensor that is read, and the value outside of it. Of several arrays: the height of its
          last strip, and that strip's number; rows and words of the other strips, after which the next one begins
WRITE     where the layer's outputs go, and the words of one plane of them; where layers overlap, the cycles from the
          last pixel before the layer to the start of its first tile, at least (``wait``: none, or two or more); where
          the hardware writes to every n-th pixel: the outputs of a row, and what is added to the address from one to
          the next, from the last of a row to the next row, and from the last of a plane to the next plane. Of several
          arrays: ``alone`` if array 0's outputs go to all banks; or, if they ``spread``, to one bank after the other,
          ``words`` of a plane each
CLAMP     least and greatest output; output zero point (used by multiplier requantization only). Where the hardware has
          tables they are those of what is looked up, in the page ``table``
OFFSET    integer offset of the weights, as the hardware adds it
COUNT     pixels of a block
REPEAT    the next TILE stands for ``count + 1`` tiles whose addresses are ``step`` apart
TILE      load the next ``rows`` weight rows and stream a block of pixels through them
FORMAT    of the weights: the binary logarithm of the rows that share a word, and whether a 1 is appended to each
          stored weight (``odd``, which exists where the hardware has both kinds)
PRODUCT   of a product: the zero points of its pixels and of its factors (only where the hardware multiplies them)
TAPS      of a depthwise layer: delay from kernel row to kernel row, outputs of a row, pixels before the first
          output, and pixels after the last
EXTERNAL  ``address`` in external memory, in beats, where the next MOVE begins
MOVE      queue a move of ``count`` words between external memory and ``address``... of the memory that its ``kind``
          names (:class:`MoveKind`). It begins when the moves before it have, and when all tiles before it in the
          program are finished: their outputs are written
WAIT      until at most ``moves`` of the moves that were queued are not complete
WEIGHTS   the weights of the next TILE begin at ``address`` of the weight memory; those of the tiles after it follow
========  =====================================================================================================

The last four exist where the hardware has a port to external memory; their order is all that keeps moves and tiles
apart (:mod:`hwquant.program.external`). The program itself may come from there, half by half
(:mod:`hwquant.program.fetched_program`). Those of :data:`BUFFERED` are double-buffered: they take effect with the next
TILE that has ``source`` or ``layer`` set; those of :data:`LAYER` where the first pixel of that layer comes to what they
are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from hwquant.errors import DoesNotFit, HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits


class Opcode(IntEnum):
    """The kinds of instructions, as numbered in a word; the table above says what each does."""

    END = 0
    INPUT = 1
    OUTPUT = 2
    LEVEL = 3
    PLANE = 4
    WRITE = 5
    CLAMP = 6
    OFFSET = 7
    COUNT = 8
    REPEAT = 9
    TILE = 10
    TAPS = 11
    FORMAT = 12
    PRODUCT = 13
    EXTERNAL = 14
    MOVE = 15
    WAIT = 16
    WEIGHTS = 17


class MoveKind(IntEnum):
    """What a MOVE moves, as numbered in its word."""

    WEIGHTS = 0
    """External memory to weight memory."""

    PARAMETERS = 1
    """External memory to parameter memory."""

    LOAD = 2
    """External memory to activation memory."""

    STORE = 3
    """Activation memory to external memory."""

    PROGRAM = 4
    """External memory to program memory; only where the program comes from there."""


QUEUE = 16
"""Moves that may be queued and not complete; a MOVE beyond them waits."""

SOURCE = (Opcode.LEVEL, Opcode.PLANE, Opcode.TAPS)
"""Instructions that say how a term's input is read: they take effect with a TILE's ``source``."""

LAYER = (Opcode.WRITE, Opcode.CLAMP, Opcode.PRODUCT)
"""Instructions that say what becomes of a layer's sums: they take effect with a TILE's ``layer``."""

BUFFERED = (*SOURCE, *LAYER)
"""Double-buffered instructions: one waits until what those of its kind have set before has taken effect."""

REGISTERS = (*BUFFERED, Opcode.OFFSET, Opcode.COUNT, Opcode.FORMAT)
"""Instructions that set a register, for all tiles until it is set again."""

REPEAT_BITS = 12
LEVELS = 4


class Field(NamedTuple):
    """A field of an instruction.

    Attributes
    ----------
    name : str
        Unique within its instruction.
    width : int
        Number of bits.
    signed : bool, default False
        Whether the value is in two's complement.
    wraps : bool, default False
        Whether the value counts modulo ``2 ** width``, so that any integer fits.
    """

    name: str
    width: int
    signed: bool = False
    wraps: bool = False


FLAGS = (
    *("first", "last", "parameters", "offsets", "source", "layer", "summed", "taps", "settle"),
    *("product", "held"),
)
"""Flags of a TILE: first and last of a block; the block has new output channels; an offset row comes before the
weight rows; a new geometry takes effect; a new layer begins (waits until the one before it is written, or for as long
as WRITE says); sums are taken over windows of pixels; pixels enter from above (depthwise); the accumulators are
visited again so soon that the tile waits until the one before it has written them; it has no weights, but reads
factors and pixels by turns; or one factor, and then all pixels. The last five exist where the hardware has them."""

TAIL_BITS = 4


def opcode_bits(config: ArrayConfig) -> int:
    """Width of an opcode: one more bit where there are instructions for external memory."""
    return _code_bits(fields(config))


def fields(config: ArrayConfig) -> dict[Opcode, tuple[Field, ...]]:
    """Lay out the instructions that one accelerator has: by opcode the fields, the least significant first."""
    address = Field("address", config.activation_address_bits)
    count = Field("count", config.activation_address_bits + 1)
    several = config.arrays > 1
    last = (Field("last", 1),)
    ends = (*last, Field("banks", config.arrays)) if several else last
    early = (Field("early", 1),) if config.raw_inputs else ()
    # A plane is in all banks together.
    plane = Field(
        "plane", index_bits(config.arrays * config.activation_depth + 1) if several else address.width
    )
    strip = Field("strip", config.strip_bits, True)
    coordinate, activation = config.coordinate_bits, config.activation_bits
    requantized = config.requantized_bits
    absent = {"summed": not config.window_sums, "taps": not config.tap_lines, "settle": not config.settles}
    absent |= dict.fromkeys(("product", "held"), not config.product_bits)
    products = {
        Opcode.PRODUCT: (
            Field("pixel", config.product_bits, True),
            Field("factor", config.product_bits, True),
        )
    }
    strides = (
        Field("width", coordinate),
        *(Field(name, config.activation_address_bits, wraps=True) for name in ("step", "jump", "skip")),
    )
    flags = [flag for flag in FLAGS if not absent.get(flag)]
    weight, parameter = index_bits(config.weight_depth), index_bits(config.parameter_depth)
    moved = max(
        weight,
        parameter,
        config.activation_address_bits if config.half_depth else 0,
        index_bits(config.program_depth) if config.program_half else 0,
    )
    kind = Field("kind", 3 if config.program_half else 2)
    external = {
        Opcode.EXTERNAL: (Field("address", config.external_address_bits),),
        Opcode.MOVE: (kind, Field("address", moved), Field("count", moved + 1)),
        Opcode.WAIT: (Field("moves", index_bits(QUEUE + 1)),),
        Opcode.WEIGHTS: (Field("address", weight),),
    }
    return {
        Opcode.END: (),
        # Beside those of OUTPUT, in the same places.
        Opcode.INPUT: (address, count, *(early or (ends if config.in_pieces else ()))),
        Opcode.OUTPUT: (address, count, *ends),
        Opcode.LEVEL: (
            Field("level", 2),
            Field("limit", coordinate),
            Field("step", config.activation_address_bits, wraps=True),
            Field("y", coordinate, True),
            Field("x", coordinate, True),
            *((strip,) if several else ()),
        ),
        Opcode.PLANE: (
            Field("height", coordinate),
            Field("width", coordinate),
            Field("pad", activation, True),
            *(
                (
                    Field("rows", coordinate),
                    plane._replace(name="words"),
                    strip._replace(name="last_strip"),
                )
                if several
                else ()
            ),
        ),
        Opcode.WRITE: (
            address,
            plane,
            *((Field("wait", index_bits(config.drain_latency + 1)),) if config.overlap else ()),
            *(strides if config.strided_writes else ()),
            *((plane._replace(name="words"), Field("alone", 1), Field("spread", 1)) if several else ()),
        ),
        Opcode.CLAMP: (
            Field("low", requantized, True),
            Field("high", requantized, True),
            Field("zero", requantized, True),
            *([Field("table", index_bits(config.tables))] if config.tables else []),
        ),
        Opcode.OFFSET: (Field("offset", config.offset_bits, True),),
        Opcode.COUNT: (Field("count", config.count_bits),),
        Opcode.REPEAT: (
            Field("count", REPEAT_BITS),
            Field("step", config.activation_address_bits, wraps=True),
        ),
        Opcode.TILE: (
            Field("address", config.activation_address_bits, wraps=True),
            Field("part", index_bits(config.selections)),
            Field("y", coordinate, True),
            Field("x", coordinate, True),
            *((strip,) if several else ()),
            *(Field(flag, 1) for flag in flags),
        ),
        Opcode.TAPS: (
            Field("delay", index_bits(config.tap_depth + 1)),
            Field("width", coordinate),
            Field("lead", coordinate + 2),
            Field("tail", TAIL_BITS),
        ),
        Opcode.FORMAT: (
            Field("packing", index_bits(config.weight_packing.bit_length())),
            *([Field("odd", 1)] if config.odd_weights == "some" else []),
        ),
        **(products if config.product_bits else {}),
        **(external if config.external_bits else {}),
    }


def program_bits(config: ArrayConfig) -> int:
    """Width of a word of the program memory."""
    return opcode_bits(config) + max(
        sum(field.width for field in format_) for format_ in fields(config).values()
    )


@lru_cache(maxsize=64)
def moved_bits(config: ArrayConfig) -> dict[MoveKind, int]:
    """Width of the words of each kind of move that hardware with external memory has."""
    activations = (MoveKind.LOAD, MoveKind.STORE) if config.half_depth else ()
    return {
        MoveKind.WEIGHTS: config.columns * config.slot_bits,
        MoveKind.PARAMETERS: config.parameter_bits,
        **dict.fromkeys(activations, config.word_bits),
        **({MoveKind.PROGRAM: program_bits(config)} if config.program_half else {}),
    }


@dataclass(frozen=True)
class Instruction:
    """An opcode with its field values.

    Attributes
    ----------
    opcode : Opcode
        What to do.
    values : mapping of int
        Values by name of field.
    """

    opcode: Opcode
    values: Mapping[str, int]

    def __str__(self) -> str:
        flags = [name for name in FLAGS if self.values.get(name) == 1 and self.opcode is Opcode.TILE]
        shown = [f"{k}={v}" for k, v in self.values.items() if k not in FLAGS]
        return " ".join([self.opcode.name, *shown, *flags])


def _code_bits(formats: Mapping[Opcode, tuple[Field, ...]]) -> int:
    """Width of an opcode among the instructions of an accelerator: see :func:`opcode_bits`."""
    return max(formats).bit_length()


def encode(instruction: Instruction, formats: Mapping[Opcode, tuple[Field, ...]]) -> int:
    """Pack an instruction into its word.

    Parameters
    ----------
    instruction : Instruction
        The opcode, and a value for each of its fields.
    formats : mapping of tuple of Field
        What :func:`fields` says of the accelerator.

    Raises
    ------
    DoesNotFit
        A value is outside its field; the message names both.
    """
    word, position = int(instruction.opcode), _code_bits(formats)
    for field in formats[instruction.opcode]:
        value = int(instruction.values[field.name])
        if field.wraps:
            value &= (1 << field.width) - 1
        low, high = (
            (-(1 << (field.width - 1)), 1 << (field.width - 1)) if field.signed else (0, 1 << field.width)
        )
        if not low <= value < high:
            raise DoesNotFit(
                f"{instruction.opcode.name}: {field.name} = {value} does not fit its {field.width} bits",
                resource=f"{instruction.opcode.name}.{field.name}",
            )
        word |= (value & ((1 << field.width) - 1)) << position
        position += field.width
    return word


def decode(word: int, formats: Mapping[Opcode, tuple[Field, ...]]) -> Instruction:
    """Unpack a word into its instruction.

    Parameters
    ----------
    word : int
        A word of the program memory.
    formats : mapping of tuple of Field
        What :func:`fields` says of the accelerator.

    Raises
    ------
    HwquantError
        The word has an unknown opcode.
    """
    code = word & ((1 << _code_bits(formats)) - 1)
    if code not in formats:
        raise HwquantError(f"program word {word:#x} has the unknown opcode {code}")
    opcode, position, values = Opcode(code), _code_bits(formats), {}
    for field in formats[opcode]:
        value = (word >> position) & ((1 << field.width) - 1)
        if field.signed and value >> (field.width - 1):
            value -= 1 << field.width
        values[field.name] = value
        position += field.width
    return Instruction(opcode, values)


def disassemble(words: list[int], config: ArrayConfig) -> Iterator[Instruction]:
    """Unpack all words of a program, in order.

    Raises
    ------
    HwquantError
        A word has an unknown opcode; it is raised when that word is reached.
    """
    formats = fields(config)
    return (decode(word, formats) for word in words)
