"""The testbench that goes with a core: it checks itself, in any simulator of Verilog, without Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwquant.golden import run as golden
from hwquant.program.batch import all_together
from hwquant.program.cycles import timing
from hwquant.program.layout import Placement, words_to_integers
from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, MemoryRegister, Register
from hwquant.qgraph import IntArray, QGraph
from hwquant.rtl_templates.wishbone import BusRegister

FRAMES = 3
"""Frames that the testbench sends."""
TEXTS = Path(__file__).with_name("core")
"""Folder of the parts that testbenches are made of."""


def core_bench(
    qgraph: QGraph, program: Program, bus: str, name: str, stem: str | None = None, *, seed: int = 0
) -> dict[str, str]:
    """Make a testbench for a core, with frames at random and the golden model's results.

    Parameters
    ----------
    qgraph : QGraph
        The network that ``program`` was compiled from.
    program : Program
        What the core executes.
    bus : str
        A key of :data:`~hwquant.rtl_templates.ip_core.BUSES`.
    name : str
        Name of the core's module.
    stem : str or None, default None
        What the names of the core's files begin with; None: ``name``.
    seed : int, default 0
        Which integers the frames have, over the whole range of every input.

    Returns
    -------
    dict of str to str
        Contents by file name: the Verilog, and the hex files that it reads. Of a core with external memory there is
        one of its contents, and cycles, which follow from the memory, are not compared.
    """
    stem = stem or name
    config, (beats, words) = program.config, program.frame_words
    q = _random_inputs(qgraph, FRAMES * program.batch, seed)
    expected = all_together(golden(qgraph, q), program.batch)
    results = [_words(item.to_words(expected[item.name]), config.activation_bits) for item in program.outputs]
    ones = [_words(_mask(item), config.activation_bits)[0] for item in program.outputs]
    frames = _words(program.frame(q), config.activation_bits)
    cycles, outside = timing(program).cycles, config.external_bits > 0
    parts = [bus] if bus == "wishbone" else [bus, "streams"]
    values = {
        "FRAMES": FRAMES,
        "BEATS": beats,
        "BEAT": config.frame_bits,
        "WORDS": words,
        "WORD": config.word_bits,
        "RESULT_LAST": "WORD_BYTES * 8" if bus == "axi" else "WORD",
        "CYCLES": 0 if outside else cycles,
        "REGISTERS": _registers(),
        "IDENTITY": f"{IDENTITY:08x}",
        "CHECKSUM": f"{program.checksum:08x}",
        "START": "    write_register(MEMORY_PAGE, PAGE * 4096);\n" if outside else "",
        "LIMIT": 1000 + FRAMES * 40 * (beats + words + cycles) * (1 + config.frame_bits // 32),
        "MEMORY": _text(f"{bus}_memory").rstrip() if outside else "",
        "MEMORY_BITS": config.external_bits,
        "MEMORY_DEPTH": 1 << config.external_address_bits,
    }
    bus_text = (_text("memory") if outside else "") + "".join(_text(part) for part in parts)
    verilog = _text("testbench").replace("@BUS@", bus_text)
    for key, value in {**values, "NAME": name, "STEM": stem}.items():
        verilog = verilog.replace(f"@{key}@", str(value))
    files = {
        f"{stem}_tb.v": verilog,
        f"{stem}_frames.hex": _hex((beat for frame in frames for beat in frame), config.frame_bits),
        f"{stem}_results.hex": _hex(
            (word for parts in zip(*results) for part in parts for word in part), config.word_bits
        ),
        f"{stem}_mask.hex": _hex((word for part in ones for word in part), config.word_bits),
    }
    if outside:
        contents = [int.from_bytes(beat.tobytes(), "little") for beat in program.external_image]
        contents += [0] * ((1 << config.external_address_bits) - len(contents))
        files[f"{stem}_memory.hex"] = _hex(contents, config.external_bits)
    return files


def _random_inputs(qgraph: QGraph, samples: int, seed: int) -> dict[str, IntArray]:
    """Integers of every input, over all of its range."""
    rng = np.random.default_rng(seed)
    tensors = [qgraph.tensors[item.name] for item in qgraph.inputs]
    return {
        tensor.name: rng.integers(tensor.limits[0], tensor.limits[1] + 1, (samples, *tensor.shape))
        for tensor in tensors
    }


def _mask(place: Placement) -> IntArray:
    """A frame's words of an output, all bits set in the lanes that have a channel."""
    return replace(place, zero_point=0).to_words(np.full((1, *place.shape), -1, np.int64))


def _words(words: IntArray, bits: int) -> list[list[int]]:
    """Words (N, words, lanes) as unsigned integers."""
    return [words_to_integers(frame, bits) for frame in words]


def _hex(values: Iterable[int], bits: int) -> str:
    return "".join(f"{value:0{-(-bits // 4)}x}\n" for value in values)


def _registers() -> str:
    """The numbers of the registers that the testbench uses."""
    numbers = {
        "IDENTITY": Register.IDENTITY,
        "CHECKSUM": Register.CHECKSUM,
        "CYCLES_OF_LATEST": Register.CYCLES,
        "INFERENCES": Register.INFERENCES,
        "MEMORY_PAGE": MemoryRegister.MEMORY,
        "FRAME": BusRegister.FRAME,
        "LAST": BusRegister.LAST,
        "RESULT": BusRegister.RESULT,
        "STREAMS": BusRegister.STREAMS,
    }
    return "".join(f"  localparam [3:0] {name} = {int(number)};\n" for name, number in numbers.items())


def _text(name: str) -> str:
    return (TEXTS / f"{name}.v").read_text(encoding="utf-8")
