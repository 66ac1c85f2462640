"""Simulation as compiled C++: Yosys' CXXRTL, driven through ctypes.

One shared object is built for each hardware configuration; programs and weights are written into its
memories at run time, so a regression over many networks compiles once. It needs g++ and nothing else.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import MissingPackage, ToolStopped
from hwquant.files import cache_folder, cached, entry_name, write_bytes
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.verilog import to_rtlil, without_zeros
from hwquant.rtl_templates.yosys import cxxrtl_headers, run_yosys, yosys_version
from hwquant.sim.contract import COUNTER, LINGER, Task
from hwquant.sim.external_memory import WithMemory, settings
from hwquant.sim.memories import chunks, pointer, write_external, write_program
from hwquant.sim.options import SimulationOptions
from hwquant.sim.recorder import offers
from hwquant.sim.trace import PATTERN, Log, Write

DRIVER = Path(__file__).with_name("cxxrtl_driver.cpp")
MEMORY = DRIVER.with_name("cxxrtl_memory.cpp")
COMPILE = (
    *("g++", "-std=c++17", "-O2", "-DNDEBUG", "-shared", "-fPIC"),
    *("-fno-tree-dse", "-fno-tree-pre", "-fno-gcse", "-fno-schedule-insns2", "-fno-tree-slp-vectorize"),
)
# NDEBUG: an address beyond a memory reads zero there, as in Amaranth, instead of stopping the program.
# The passes that are left out take a fifth of the time to compile, and the hardware does not run faster with them.
SIMPLIFY = "proc\nflatten\nopt_expr\nopt_merge\n"
"""Passes before the C++ is written, for less to compile; none that removes memories, which are filled later."""
LIBRARY = "design.so"
SLICE = 100_000
"""Clock cycles in one call of the compiled code, between two reports of progress."""


def compile_design(design: str, driver: str) -> Path:
    """Compile a design and the C++ that drives it, or take them from the cache.

    Parameters
    ----------
    design : str
        RTLIL of the design.
    driver : str
        C++ of the driver.

    Returns
    -------
    Path
        The shared object.

    Raises
    ------
    MissingPackage
        There is no g++; says how to get it.
    ToolStopped
        Yosys or g++ stopped.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise MissingPackage(
            "the cxxrtl simulator needs g++; install it (Debian: apt install g++)", package="g++"
        )
    driver += MEMORY.read_text()
    # Its memories are zero anyway, and g++ takes minutes over lists of a million zeros.
    design = without_zeros(design)
    name = entry_name("cxxrtl", design, driver, SIMPLIFY, *COMPILE, yosys_version())

    def fill(work: Path) -> None:
        script = f"read_rtlil <<rtlil\n{design}\nrtlil\n{SIMPLIFY}write_cxxrtl -g1\n"
        source = run_yosys(script) + driver
        write_bytes(work / "design.cpp", source.encode())
        command = [*COMPILE, "-I", str(cxxrtl_headers()), "design.cpp", "-o", LIBRARY]
        # Temporary files of a compiler that is killed stay, so they belong into the folder.
        environment = {**os.environ, "TMPDIR": str(work.absolute())}
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ToolStopped(
                f"g++ failed on the generated simulator: {done.stderr.strip()[:2000] or f'status {done.returncode}'}"
            )

    return cached(cache_folder(), name, [LIBRARY], fill) / LIBRARY


class _Task(ctypes.Structure):
    """The structure ``Task`` of cxxrtl_driver.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("payloads", "idle", "busy")),
        *(
            (name, ctypes.c_uint64)
            for name in (
                *("words_in", "frame_out", "words_out", "watched_out", "chunks"),
                *("pattern", "patience", "linger", "counter"),
            )
        ),
    )


@lru_cache(maxsize=64)
def _library(config: ArrayConfig) -> ctypes.CDLL:
    """Compile the hardware of an array, its memories still empty."""
    outside = WithMemory(Accelerator(config, page=0)) if config.external_bits else None
    return load(to_rtlil(outside or Accelerator(config)))


@lru_cache(maxsize=64)
def load(design: str, more: str = "") -> ctypes.CDLL:
    """Compile a design with cxxrtl_driver.cpp, and load the functions of the driver.

    Parameters
    ----------
    design : str
        RTLIL of the design, an accelerator with or without its memory.
    more : str, default ""
        C++ behind the driver.

    Returns
    -------
    ctypes.CDLL
        For :func:`play`.
    """
    loaded = ctypes.CDLL(str(compile_design(design, DRIVER.read_text() + more)))
    loaded.hwquant_create.restype = ctypes.c_void_p
    loaded.hwquant_destroy.argtypes = [ctypes.c_void_p]
    loaded.hwquant_begin.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Task)]
    loaded.hwquant_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    loaded.hwquant_cycles.argtypes = [ctypes.c_void_p]
    loaded.hwquant_cycles.restype = ctypes.c_uint64
    loaded.hwquant_table.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    loaded.hwquant_table.restype = ctypes.POINTER(ctypes.c_uint32)
    return loaded


def record(task: Task, options: SimulationOptions) -> Log:
    """Run a task in CXXRTL; what is built is kept in the cache folder.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    options : SimulationOptions
        What is simulated, and who is told of progress.

    Returns
    -------
    Log
        What the driver has seen, not judged.

    Raises
    ------
    MissingPackage
        There is no g++; says how to get it.
    ToolStopped
        Yosys or g++ stopped.
    """
    report = options.reporter(len(task.frames))
    library = _library(task.program.config) if options.design is None else load(to_rtlil(options.design))
    return play(library, task, report=report, fill=options.design is None)


def play(
    library: ctypes.CDLL,
    task: Task,
    *,
    report: Callable[[int], None] | None = None,
    fill: bool = True,
    prepare: Callable[[int], None] | None = None,
    finish: Callable[[int], None] | None = None,
    limit: int | None = None,
) -> Log:
    """Run a task in a compiled design.

    Parameters
    ----------
    library : ctypes.CDLL
        The design, of :func:`load`.
    task : Task
        What is sent, and what is looked at.
    report : callable, optional
        Called with the number of finished frames.
    fill : bool, default True
        Whether the program is written into the design's memories.
    prepare : callable, optional
        Called with the handle of the instance, after its memories are filled and before its reset.
    finish : callable, optional
        Called with the handle at the end.
    limit : int, optional
        Clock cycles after which it ends in any case, up to :data:`SLICE` later.

    Returns
    -------
    Log
        What the driver has seen, not judged.
    """
    handle = library.hwquant_create()
    outside = task.program.config.external_bits > 0
    try:
        if fill:
            write_program(library, handle, task.program, place="accelerator " if outside else "")
            if outside:
                write_external(library, handle, task.program, settings(task))
        if prepare is not None:
            prepare(handle)
        begin = time.perf_counter()
        size = _run(library, handle, task, report, limit)
        seconds = time.perf_counter() - begin
        if finish is not None:
            finish(handle)
        return _log(library, handle, task, size, seconds)
    finally:
        library.hwquant_destroy(handle)


def _run(
    library: ctypes.CDLL,
    handle: int,
    task: Task,
    report: Callable[[int], None] | None,
    limit: int | None,
) -> int:
    """Run the task to its end; return how many 32-bit chunks the longest word has."""
    # The stream's payload has the mark of the last word above the data; all banks are written together.
    config = task.program.config
    size = -(-max(config.word_bits + 1, config.arrays * config.word_bits) // 32)
    payloads = chunks(task.payloads(), 32 * size)
    idle, busy = task.idle.astype(np.uint8), task.busy.astype(np.uint8)
    settings = _Task(
        *(pointer(array) for array in (payloads, idle, busy)),
        *(len(payloads), task.words_out, task.results, task.watch * task.words_out, size),
        *(PATTERN, task.patience, LINGER, COUNTER),
    )
    library.hwquant_begin(handle, ctypes.byref(settings))
    done = 0
    while library.hwquant_run(handle, SLICE if limit is None else min(SLICE, limit)):
        if limit is not None and library.hwquant_cycles(handle) >= limit:
            break
        if report and (frames := len(_table(library, handle, 2, 1))) > done:
            report(done := frames)
    if report and (frames := len(_table(library, handle, 2, 1))) > done:
        report(frames)
    return size


def _log(library: ctypes.CDLL, handle: int, task: Task, size: int, seconds: float) -> Log:
    inputs = _cycles(_table(library, handle, 0, 2))
    results = _table(library, handle, 1, 5 + size)
    writes = _table(library, handle, 3, 4 + size)
    rows = zip(
        _integers(results[:, 5:]),
        _cycles(results[:, 0:2]).tolist(),
        _cycles(results[:, 2:4]).tolist(),
        results[:, 4].tolist(),
    )
    mask = (1 << task.program.config.arrays * task.program.config.word_bits) - 1
    return Log(
        sent=inputs[: len(inputs) // 2 * 2].reshape(-1, 2),
        results=offers([list(row) for row in rows], task.lanes, task.bits),
        counters=tuple(_table(library, handle, 2, 1)[:, 0].tolist()),
        writes=tuple(
            (cycle, Write(address, enable, data & mask))
            for cycle, address, enable, data in zip(
                _cycles(writes[:, :2]).tolist(),
                *(writes[:, 2].tolist(), writes[:, 3].tolist()),
                _integers(writes[:, 4:]),
            )
        ),
        cycles=library.hwquant_cycles(handle),
        seconds=seconds,
    )


def _table(library: ctypes.CDLL, handle: int, index: int, width: int) -> NDArray[np.uint32]:
    """Copy a table of the driver's log, in rows of so many entries."""
    size = ctypes.c_uint64()
    data = library.hwquant_table(handle, index, ctypes.byref(size))
    array = np.ctypeslib.as_array(data, (size.value,)).copy() if size.value else np.zeros(0, np.uint32)
    return array.reshape(-1, width)


def _cycles(halves: NDArray[np.uint32]) -> NDArray[np.int64]:
    return halves[:, 0].astype(np.int64) | halves[:, 1].astype(np.int64) << 32


def _integers(rows: NDArray[np.uint32]) -> list[int]:
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in rows]
