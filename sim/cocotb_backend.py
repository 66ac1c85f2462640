"""Building a simulator around the emitted Verilog, and running cocotb tests in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hwquant.errors import HwquantError, require
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.registers import IDENTITY, VERSION, Register
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.cache import cache_folder
from hwquant.sim.stimulus import PROGRESS, RESULTS, STIMULUS, Stimulus, load_run
from hwquant.sim.trace import NO_STALLS, Run, Stalls

WRAPPER = Path(__file__).with_name("testbench.v")
TOP = "testbench"
SCENARIOS = ("reset_in_the_middle", "wrong_frame_lengths", "registers")
"""Names in :mod:`hwquant.sim.scenarios` for :func:`run_scenario`."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Tool:
    """A simulator as cocotb's runner knows it.

    Attributes
    ----------
    name : cocotb's name for it
    version : of the simulator; another one builds anew
    product : file name of what building leaves
    build_args : options for building
    waves_at_build : whether only a simulator that was built for it can write waves
    wave_arguments : what cocotb's runner must be told to write waves to a path
    environment : changes for building and running
    """

    name: str
    version: str
    product: str
    build_args: tuple[str, ...]
    waves_at_build: bool
    wave_arguments: Callable[[Path], dict[str, list[str]]]
    environment: Mapping[str, str] = field(default_factory=dict)


def check_python(tool: str) -> None:
    """Raises unless cocotb is there, and the shared Python library that it puts into the simulator."""
    if find_spec("cocotb_tools") is None:
        raise require("cocotb", "sim", f"simulation in {tool}")
    from find_libpython import find_libpython

    if find_libpython() is None:
        raise HwquantError(
            f"simulation in {tool} needs Python as a shared library, which {sys.executable} does not have; "
            "use a Python built with --enable-shared (Debian: apt install libpython3-dev)"
        )


def simulate(
    tool: Tool,
    program: Program,
    frames: IntArray,
    *,
    watch: int,
    waves: Path | None,
    build_dir: Path | None,
    progress: Progress | None,
    stalls: Stalls,
    verilog: str | None,
) -> Run:
    """Runs frames through the accelerator; see :func:`hwquant.sim.simulate`."""
    stimulus = make_stimulus(program, frames, watch=watch, stalls=stalls)
    built = build(tool, program, build_dir, waves=waves is not None, verilog=verilog)
    with tempfile.TemporaryDirectory(prefix="hwquant-") as folder:
        _run(tool, built, stimulus, "inferences", Path(folder), waves, progress)
        return load_run(Path(folder, "results.npz"), watch, stimulus.bits)


def run_scenario(
    tool: Tool,
    program: Program,
    frames: IntArray,
    expected: IntArray,
    name: str,
    *,
    stalls: Stalls = NO_STALLS,
    build_dir: Path | None = None,
) -> None:
    """Runs one of :data:`SCENARIOS`; ``expected`` are the golden output frames (N, words, lanes).

    Raises
    ------
    HwquantError : the hardware did something else; names what and the seed
    """
    stimulus = make_stimulus(program, frames, expected=expected, stalls=stalls)
    built = build(tool, program, build_dir)
    with tempfile.TemporaryDirectory(prefix="hwquant-") as folder:
        _run(tool, built, stimulus, name, Path(folder), None, None)


def make_stimulus(
    program: Program,
    frames: IntArray,
    *,
    expected: IntArray | None = None,
    watch: int = 0,
    stalls: Stalls = NO_STALLS,
) -> Stimulus:
    """What the testbench has to know."""
    config, predicted = program.config, timing(program)
    shapes = [replace(item, zero_point=0) for item in program.outputs]
    compared = [item.to_words(np.ones((1, *item.shape), np.int64))[0] for item in shapes]
    compared = np.concatenate(compared) != 0
    return Stimulus(
        frames=frames,
        expected=np.zeros((0, *compared.shape), np.int64) if expected is None else expected,
        compared=compared,
        bits=config.activation_bits,
        patience=2 * predicted.frame_cycles + 1000,
        watch=watch,
        stalls=stalls,
        cycles=predicted.cycles,
        frame_cycles=predicted.frame_cycles,
        addresses={register.name: int(register) for register in Register},
        values={
            "IDENTITY": IDENTITY,
            "VERSION": VERSION,
            "CHECKSUM": program.checksum,
            "CONTROL": 2,
            "INFERENCES": 0,
            "SHAPE": config.rows | config.columns << 8 | config.lanes << 16,
        },
    )


def build(
    tool: Tool,
    program: Program,
    folder: Path | None,
    *,
    waves: bool = False,
    verilog: str | None = None,
) -> Path:
    """The folder of the built simulator: built now, or before from the same Verilog with the same tools.

    Raises
    ------
    HwquantError : the tool refused; ``build.log`` in the folder says why
    """
    from cocotb_tools.runner import get_runner

    text = to_verilog(accelerator(program)) if verilog is None else verilog
    root = folder or cache_folder()
    waves = waves and tool.waves_at_build
    parameters = _parameters(program.config)
    identity = [
        text,
        WRAPPER.read_text(),
        repr((tool.version, tool.build_args, waves, parameters)),
        version("cocotb"),
        sys.prefix,
    ]
    key = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:24]
    target = root / f"{tool.name}-{key}"
    if (target / tool.product).exists():
        return target
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target) as work, _environment(tool.environment):
            source, log = Path(work, "hwquant.v"), target / "build.log"
            source.write_text(text)
            try:
                get_runner(tool.name).build(
                    sources=[WRAPPER, source],
                    hdl_toplevel=TOP,
                    parameters=parameters,
                    build_args=tool.build_args,
                    build_dir=work,
                    timescale=("1ns", "1ps"),
                    waves=waves,
                    log_file=log,
                    always=True,
                )
            except (RuntimeError, SystemExit) as error:
                raise HwquantError(
                    f"{tool.name} could not build the simulation ({error}); see {log}"
                ) from error
            # Whole or not at all, also when two processes build the same.
            Path(work, tool.product).replace(target / tool.product)
    except OSError as error:
        raise HwquantError(
            f"cannot write the simulator to {root}: {error.strerror}; choose another folder"
        ) from error
    return target


def _parameters(config: ArrayConfig) -> dict[str, object]:
    return {
        "WORD": config.word_bits,
        "ADDRESS": config.activation_address_bits,
        "GROUPS": config.groups,
    }


def _run(
    tool: Tool,
    built: Path,
    stimulus: Stimulus,
    test: str,
    folder: Path,
    waves: Path | None,
    progress: Progress | None,
) -> None:
    """Runs one cocotb test in a process of its own, in ``folder``."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    files = {
        STIMULUS: folder / "stimulus.npz",
        RESULTS: folder / "results.npz",
        PROGRESS: folder / "progress",
    }
    stimulus.save(files[STIMULUS])
    files[PROGRESS].write_text("0")
    log, xml = folder / "simulation.log", folder / "results.xml"
    options: dict[str, Any] = (
        {} if waves is None else {"waves": True, **tool.wave_arguments(waves.absolute())}
    )

    def work() -> None:
        get_runner(tool.name).test(
            test_module="hwquant.sim.scenarios",
            testcase=test,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=folder,
            results_xml=str(xml),
            seed=stimulus.stalls.seed,
            extra_env={name: str(path) for name, path in files.items()},
            log_file=log,
            **options,
        )

    # The runner blocks, so it has a thread of its own, and this one reports progress.
    with _environment(tool.environment), ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        done = 0
        while progress and not future.done():
            done = _report(files[PROGRESS], done, progress)
            time.sleep(0.05)
        failure = future.exception()
    if progress:
        _report(files[PROGRESS], done, progress)
    if failure is not None or not xml.exists() or get_results(xml) != (1, 0):
        text = log.read_text(errors="replace") if log.exists() else ""
        raise HwquantError(f"{tool.name}, {test}, seed {stimulus.stalls.seed}: {_reason(text, failure)}")


def _report(path: Path, done: int, progress: Progress) -> int:
    text = path.read_text()
    if text and int(text) > done:
        done = int(text)
        progress(done)
    return done


def _reason(log: str, failure: BaseException | None) -> str:
    """The assertion that failed, else the end of the log."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("AssertionError", "ValueError"))]
    if errors:
        return errors[0].partition(": ")[2]
    return " / ".join(["the simulation failed", *([str(failure)] if failure else []), *lines[-5:]])


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment for cocotb's runner, which reads this process' own, and nothing that would confuse it."""
    before = dict(os.environ)
    for name in (
        "PYTEST_CURRENT_TEST",
        "WAVES",
        "GUI",
        "SIM_CMD_PREFIX",
        "SIM_CMD_SUFFIX",
        "COCOTB_TEST_FILTER",
    ):
        os.environ.pop(name, None)
    os.environ.update({"COCOTB_REWRITE_ASSERTION_FILES": "", **changes})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def find_program(name: str, tool: str, remedy: str) -> str:
    """Path of a program that a simulator needs."""
    path = shutil.which(name)
    if path is None:
        raise HwquantError(f"simulation in {tool} needs {name}, which is not installed; {remedy}")
    return path
