"""Layouts of what the sequencer hands to the engines, cached because many components ask for them."""

from functools import lru_cache

from amaranth.hdl import signed
from amaranth.lib.data import ArrayLayout, StructLayout

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import LEVELS, Opcode, fields
from hwquant.program.widths import index_bits


@lru_cache(maxsize=64)
def instruction_layout(config: ArrayConfig, opcode: Opcode) -> StructLayout:
    """The fields of an instruction as a structure, in the order in which they are packed."""
    return StructLayout({f.name: signed(f.width) if f.signed else f.width for f in fields(config)[opcode]})


@lru_cache(maxsize=64)
def job_layout(config: ArrayConfig) -> StructLayout:
    """A tile to load and stream: TILE's fields, with the block's pixel count and the weights' offset and format.

    With external memory also whether its ``weights`` are not those behind the ones before (``jump``), and where.
    """
    tile = instruction_layout(config, Opcode.TILE)
    packed = {"format": instruction_layout(config, Opcode.FORMAT)} if config.formatted else {}
    if config.external_bits:
        address = instruction_layout(config, Opcode.WEIGHTS)["address"].shape
        packed["weights"] = StructLayout({"jump": 1, "address": address})
    return StructLayout(
        {name: field.shape for name, field in tile}
        | {
            "count": instruction_layout(config, Opcode.COUNT)["count"].shape,
            "offset": signed(config.offset_bits),
        }
        | packed
    )


@lru_cache(maxsize=64)
def move_layout(config: ArrayConfig) -> StructLayout:
    """A move to queue: MOVE's fields, and the address in external memory."""
    address = instruction_layout(config, Opcode.EXTERNAL)["address"].shape
    fields = {name: field.shape for name, field in instruction_layout(config, Opcode.MOVE)}
    return StructLayout({**fields, "external": address})


def tiles_bits(config: ArrayConfig) -> int:
    """Width of the number of tiles that are issued and not finished: two held, and what is on its way."""
    return index_bits(config.drain_latency + 4)


@lru_cache(maxsize=64)
def geometry_layout(config: ArrayConfig) -> StructLayout:
    """How pixels are visited: the loop levels, and the bounds of the tensor that is read."""
    level = instruction_layout(config, Opcode.LEVEL)
    taps = {"taps": instruction_layout(config, Opcode.TAPS)} if config.tap_lines else {}
    return StructLayout(
        {
            "levels": ArrayLayout(
                StructLayout({name: field.shape for name, field in level if name != "level"}), LEVELS
            ),
            "plane": instruction_layout(config, Opcode.PLANE),
        }
        | taps
    )


@lru_cache(maxsize=1)
def pixel_layout() -> StructLayout:
    """The marks that accompany an output pixel through the pipeline, a bit each.

    ``valid``: there is a pixel. ``start``: it is the first of a tile. ``hold``: it adds to the sum of the one before.
    ``first``, ``last``: its tile is the first or the last of the block. ``parameters``: its block has new output
    channels. ``layer``: it is the first of its layer. ``pool_first``, ``pool_last``: it is the first or the last of its
    pooling window.
    """
    return StructLayout(
        dict.fromkeys(
            ("valid", "start", "hold", "first", "last", "parameters", "layer", "pool_first", "pool_last"), 1
        )
    )
