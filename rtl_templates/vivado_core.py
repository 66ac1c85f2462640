"""Scripts by which Vivado makes an IP of a core with AXI ports, and an overlay for Zynq with AXI DMA around it.

(AMD, "AXI DMA LogiCORE IP Product Guide", PG021; "AXI4-Stream Infrastructure IP Suite", PG085; "Creating and Packaging
Custom IP", UG1118; "Designing IP Subsystems Using IP Integrator", UG994.)
"""

import re
from pathlib import Path

from hwquant.link.protocol import word_bytes
from hwquant.program.program import Program

IP = Path(__file__).with_name("ip")
"""Folder of the files that go along with a core, and that scripts are made of."""

LEAST_LENGTH_BITS = 14
"""Bits in which AXI DMA counts the bytes of a transfer, unless more are asked for."""

MOST_LENGTH_BITS = 26
"""Most of these."""

LEAST_MEMORY_BITS = 32
"""Width of the narrowest port that SmartConnect takes."""


def dma_bytes(bits: int) -> int:
    """Bytes that a beat of a stream takes in memory: streams of AXI DMA have a power of two of them."""
    return 1 << (word_bytes(bits) - 1).bit_length()


def transfer_bytes(program: Program) -> int:
    """Bytes of a program's longest transfer: of a frame, or of a result."""
    return max(number * dma_bytes(bits) for number, bits in program.frame_sizes)


def no_overlay(program: Program) -> str | None:
    """Say why no overlay with AXI DMA and SmartConnect can be made of a program's core, and what can; else None."""
    width, longest = program.config.external_bits, transfer_bytes(program)
    if 0 < width < LEAST_MEMORY_BITS:
        return (
            f"SmartConnect takes no port to external memory of {width} bits; compile with --external "
            f"axi{LEAST_MEMORY_BITS} or wider, or put the packaged IP into a block design of your own"
        )
    if longest.bit_length() > MOST_LENGTH_BITS:
        return (
            f"AXI DMA moves {(1 << MOST_LENGTH_BITS) - 1} bytes at a time, a frame or a result has {longest}; take "
            "smaller inputs, or put the packaged IP behind another DMA"
        )
    return None


def vivado_scripts(program: Program, top: str, stem: str) -> dict[str, str]:
    """Make the scripts for a core with AXI ports.

    Parameters
    ----------
    program : Program
        What the core executes.
    top : str
        Name of the core's module.
    stem : str
        What the names of the core's files begin with.

    Returns
    -------
    dict of str to str
        Contents by file name: a script that packages the core and, unless :func:`no_overlay` says why not, one that
        makes a block design and its bitstream.
    """
    (_, frame_bits), (_, word_bits) = program.frame_sizes
    frame, result = dma_bytes(frame_bits), dma_bytes(word_bits)
    outside = program.config.external_bits > 0
    narrow, widen = frame != word_bytes(frame_bits), result != word_bytes(word_bits)
    links = ["link core/m_axi memory/S02_AXI"] if outside else []
    links += (
        ["link dma/M_AXIS_MM2S narrow/S_AXIS", "link narrow/M_AXIS core/s_axis"]
        if narrow
        else ["link dma/M_AXIS_MM2S core/s_axis"]
    )
    links += (
        ["link core/m_axis widen/S_AXIS", "link widen/M_AXIS dma/S_AXIS_S2MM"]
        if widen
        else ["link core/m_axis dma/S_AXIS_S2MM"]
    )
    converters = [name for name, needed in (("narrow", narrow), ("widen", widen)) if needed]
    config = program.config
    values = {
        "NAME": top,
        "STEM": stem,
        "VERILOG": f"{stem}.v",
        "ROWS": config.rows,
        "COLUMNS": config.columns,
        "CHECKSUM": f"{program.checksum:#010x}",
        "REVISION": program.checksum & 0x7FFFFFFF,
        "BUSES": " ".join(["s_axi", "s_axis", "m_axis", *(["m_axi"] if outside else [])]),
        "MEMORY_NAMED": ", m_axi" if outside else "",
        "LENGTH_BITS": max(LEAST_LENGTH_BITS, transfer_bytes(program).bit_length()),
        "FRAME_BITS": 8 * frame,
        "FRAME_MEMORY_BITS": max(32, 8 * frame),
        "RESULT_BITS": 8 * result,
        "RESULT_MEMORY_BITS": max(32, 8 * result),
        "MASTERS": 3 if outside else 2,
        "CONVERTERS": (_converter("narrow", frame, word_bytes(frame_bits)) if narrow else "")
        + (_converter("widen", word_bytes(word_bits), result) if widen else ""),
        "LINKS": "".join(f"{line}\n" for line in links),
        "CONVERTER_CLOCKS": "".join(f" {name}/aclk" for name in converters),
        "CONVERTER_RESETS": "".join(f" {name}/aresetn" for name in converters),
    }
    return {
        f"{stem}_{kind}.tcl": re.sub(
            "@([A-Z_]+)@",
            lambda match: str(values[match[1]]),
            (IP / f"{kind}.tcl").read_text(encoding="utf-8"),
        )
        for kind in (("package",) if no_overlay(program) else ("package", "design"))
    }


def _converter(name: str, source: int, target: int) -> str:
    """A cell that takes the low bytes of a beat, or adds bytes of zeros above it."""
    data = f"tdata[{8 * min(source, target) - 1}:0]"
    zeros = f"{8 * (target - source)}'b{'0' * (8 * (target - source))}," if target > source else ""
    keep = f"{target}'b{'1' * target}"
    return (
        f"create_bd_cell -type ip -vlnv xilinx.com:ip:axis_subset_converter {name}\n"
        f"set_property -dict {{CONFIG.S_TDATA_NUM_BYTES {source} CONFIG.M_TDATA_NUM_BYTES {target}\n"
        "  CONFIG.S_HAS_TKEEP 1 CONFIG.M_HAS_TKEEP 1 CONFIG.S_HAS_TLAST 1 CONFIG.M_HAS_TLAST 1\n"
        f"  CONFIG.TDATA_REMAP {{{zeros}{data}}} CONFIG.TKEEP_REMAP {{{keep}}} CONFIG.TLAST_REMAP {{tlast[0]}}}} "
        f"[get_bd_cells {name}]\n\n"
    )
