"""Simulation as compiled C++: Yosys' CXXRTL, driven by whole frames through ctypes.

One shared object is built for each hardware configuration; programs and weights are written into its
memories at run time, so a regression over many networks compiles once. It needs g++ and nothing else.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
from amaranth._toolchain.yosys import find_yosys
from numpy.typing import NDArray

from hwquant.errors import HwquantError, MissingPackage
from hwquant.files import cache_folder, cached, write_bytes
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.verilog import to_rtlil
from hwquant.sim.trace import NO_STALLS, Run, Stalls, Write

DRIVER = Path(__file__).with_name("cxxrtl_driver.cpp")
MEMORY = DRIVER.with_name("cxxrtl_memory.cpp")
COMPILE = ("g++", "-std=c++17", "-O2", "-DNDEBUG", "-shared", "-fPIC")
LIBRARY = "design.so"
# NDEBUG: an address beyond a memory reads zero there, as in Amaranth, instead of stopping the program.
PATIENCE = 50_000_000
"""Cycles without a word moving after which a simulation counts as hung."""


def memory_chunks(values: list[int], bits: int) -> NDArray[np.uint32]:
    """Unsigned integers of ``bits`` bits as rows of 32-bit chunks, least significant first."""
    width = 4 * -(-bits // 32)
    raw = b"".join(value.to_bytes(width, "little") for value in values)
    return np.frombuffer(raw, "<u4").reshape(len(values), width // 4).copy()


def _integers(chunks: NDArray[np.uint32]) -> list[int]:
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in chunks]


def pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def compile_design(design: str, driver: str) -> Path:
    """A shared object of a design in RTLIL and the C++ that drives it, from the cache where it was built before."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise MissingPackage(
            "the cxxrtl simulator needs g++; install it (Debian: apt install g++)", package="g++"
        )
    yosys = find_yosys(lambda version: version >= (0, 40))
    driver += MEMORY.read_text()
    digest = hashlib.sha256("\0".join([design, driver, *COMPILE, str(yosys.version())]).encode()).hexdigest()

    def fill(work: Path) -> None:
        script = f"read_rtlil <<rtlil\n{design}\nrtlil\nwrite_cxxrtl -g1\n"
        source = yosys.run(["-q", "-"], script, ignore_warnings=True) + driver
        include = Path(str(yosys.data_dir())) / "include" / "backends" / "cxxrtl" / "runtime"
        write_bytes(work / "design.cpp", source.encode())
        command = [*COMPILE, "-I", str(include), "design.cpp", "-o", LIBRARY]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if done.returncode:
            raise HwquantError(f"g++ failed on the generated simulator: {done.stderr.strip()[:2000]}")

    return cached(cache_folder(), f"cxxrtl-{digest[:24]}", [LIBRARY], fill) / LIBRARY


@lru_cache(maxsize=64)
def library(config: ArrayConfig) -> ctypes.CDLL:
    """The compiled hardware, from the cache where it was built before."""
    target = compile_design(to_rtlil(Accelerator(config)), DRIVER.read_text())
    loaded = ctypes.CDLL(str(target))
    loaded.hwquant_create.restype = ctypes.c_void_p
    loaded.hwquant_destroy.argtypes = [ctypes.c_void_p]
    loaded.hwquant_poke.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_void_p,
        *[ctypes.c_size_t] * 2,
    ]
    loaded.hwquant_reset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    loaded.hwquant_run.restype = ctypes.c_int64
    loaded.hwquant_run.argtypes = [
        *[ctypes.c_void_p] * 3,
        *[ctypes.c_size_t] * 4,
        *[ctypes.c_uint32] * 2,
        *[ctypes.c_uint64] * 2,
        *[ctypes.c_void_p] * 3,
        ctypes.c_size_t,
    ]
    return loaded


class Bench:
    """One instance of the hardware, with a program in its memories; close it, or use it in a ``with`` block."""

    def __init__(self, program: Program):
        self.program = program
        self._library = library(program.config)
        self._handle = self._library.hwquant_create()
        config = program.config
        self._poke("sequencer memory", list(program.words), program_bits(config))
        self._poke("weights memory", program.weight_image, config.columns * config.slot_bits)
        self._poke("parameter_reader memory", program.parameter_image, config.parameter_bits)
        self._library.hwquant_reset(self._handle, 2)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the instance."""
        if self._handle:
            self._library.hwquant_destroy(self._handle)
            self._handle = None

    def _poke(self, name: str, values: list[int], bits: int) -> None:
        words = memory_chunks(values, bits)
        if not self._library.hwquant_poke(self._handle, name.encode(), pointer(words), bits, len(values)):
            raise HwquantError(f"the simulator has no memory {name!r} of {bits} bits and {len(values)} words")

    def run(self, frames: IntArray, watch: int = 0, stalls: Stalls = NO_STALLS) -> Run:
        """Frames (N, words, lanes) through the hardware; the writes of the first ``watch`` are recorded."""
        config = self.program.config
        count, words_in, lanes = frames.shape
        words_out = sum(item.words for item in self.program.outputs)
        bits = config.word_bits
        # The stream's payload has the mark of the last word above the data.
        chunks = -(-(bits + 1) // 32)
        sent = words_to_integers(frames.reshape(-1, lanes), config.activation_bits)
        data = memory_chunks(sent, 32 * chunks)
        result = np.zeros((count * words_out, chunks), np.uint32)
        counters = np.zeros(count, np.uint32)
        periods = np.zeros(count, np.uint64)
        # Every word of every tensor is written at most once in a frame.
        limit = watch * sum(item.words for item in self.program.tensors.values()) * config.groups
        log = np.zeros((max(limit, 1), 3 + chunks), np.uint32)
        written = self._library.hwquant_run(
            self._handle,
            pointer(data),
            pointer(result),
            count,
            words_in,
            words_out,
            chunks,
            round(1000 * stalls.idle),
            round(1000 * stalls.busy),
            stalls.seed,
            PATIENCE,
            pointer(counters),
            pointer(periods),
            pointer(log) if limit else None,
            limit,
        )
        if written < 0:
            raise HwquantError(f"the simulated hardware stopped: no word moved for {PATIENCE} cycles")
        mask = (1 << bits) - 1
        received = [value & mask for value in _integers(result)]
        words = integers_to_words(received, lanes, config.activation_bits).reshape(count, words_out, lanes)
        writes: list[list[Write]] = [[] for _ in range(watch)]
        for entry in log[: min(written, limit)]:
            if entry[0] < watch:
                data_word = int.from_bytes(entry[3:].astype("<u4").tobytes(), "little") & mask
                writes[entry[0]].append(Write(int(entry[1]), int(entry[2]), data_word))
        return Run(
            words,
            cycles=tuple(counters.tolist()),
            writes=tuple(tuple(item) for item in writes),
            periods=tuple(periods.tolist()),
        )
