"""Cocotb tests, run in a simulator that was built for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from hwquant.errors import ToolStopped
from hwquant.files import working_folder, write_bytes
from hwquant.program.cycles import timing
from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, VERSION, Register
from hwquant.qgraph import IntArray
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.cocotb_build import TOP, Tool, build, environment, parameters_of
from hwquant.sim.contract import LINGER, Task
from hwquant.sim.external_memory import hardware, settings
from hwquant.sim.options import SimulationOptions
from hwquant.sim.stimulus import PROGRESS, RESULTS, STIMULUS, Stimulus, load_log
from hwquant.sim.trace import NO_STALLS, Log, Stalls

SCENARIOS = ("reset_in_the_middle", "wrong_frame_lengths", "registers")
"""Tests in :mod:`hwquant.sim.scenarios` that :func:`run_scenario` takes, by name."""

Reporter = Callable[[int], None]
"""A function that is told the number of finished frames."""


def record(tool: Tool, task: Task, options: SimulationOptions) -> Log:
    """Run frames through the accelerator in a simulator under cocotb.

    Parameters
    ----------
    tool : Tool
        The simulator.
    task : Task
        What is sent, and what is looked at.
    options : SimulationOptions
        Where simulators and waves are kept, and what is simulated.

    Returns
    -------
    Log
        What the testbench has seen, not judged.

    Raises
    ------
    ToolStopped
        The simulator could not be built, or did not run to its end.
    """
    stimulus = make_stimulus(task)
    report, waves = options.reporter(len(task.frames)), options.wave_path
    design = options.design
    if design is None and options.verilog is None and task.program.config.external_bits:
        design = hardware(task.program, settings(task))
    verilog = options.verilog if design is None else to_verilog(design)
    with working_folder() as folder:
        built = build(
            tool, task.program, options.build_path, work=folder, waves=waves is not None, verilog=verilog
        )
        _run(tool, built, task.program, stimulus, "inferences", folder, waves, report)
        return load_log(folder / "results.npz", stimulus.bits)


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
    """Run one of :data:`SCENARIOS`.

    Parameters
    ----------
    tool : Tool
        The simulator.
    program : Program
        What the accelerator holds.
    frames : ndarray of int64, shape (N, words, lanes)
        Input frames.
    expected : ndarray of int64, shape (N, words, lanes)
        Output frames of the golden model.
    name : str
        Name of the scenario.
    stalls : Stalls
        Pauses of the host, and the seed of random choices.
    build_dir : Path or None
        Folder of built simulators; None: the user's cache folder.

    Raises
    ------
    ToolStopped
        The hardware did something else; names what and the seed.
    """
    stimulus = make_stimulus(Task(program, frames, stalls=stalls), expected)
    with working_folder() as folder:
        built = build(tool, program, build_dir, work=folder)
        _run(tool, built, program, stimulus, name, folder, None, None)


def make_stimulus(task: Task, expected: IntArray | None = None) -> Stimulus:
    """Collect what the testbench has to know.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    expected : ndarray of int64, shape (N, words, lanes), or None
        Output frames, for scenarios.

    Returns
    -------
    Stimulus
        Frames, predictions, and the values of registers after a reset.
    """
    program = task.program
    config, predicted = program.config, timing(program, task.memory)
    shapes = [replace(item, zero_point=0) for item in program.outputs]
    compared = [item.to_words(np.ones((1, *item.shape), np.int64))[0] for item in shapes]
    compared = np.concatenate(compared) != 0
    return Stimulus(
        frames=task.frames,
        expected=np.zeros((0, *compared.shape), np.int64) if expected is None else expected,
        compared=compared,
        bits=config.activation_bits,
        patience=task.patience,
        linger=LINGER,
        watch=task.watch,
        stalls=task.stalls,
        cycles=predicted.cycles,
        frame_cycles=predicted.frame_cycles,
        banks=config.arrays,
        values={
            "IDENTITY": IDENTITY,
            "VERSION": VERSION,
            "CHECKSUM": program.checksum,
            "CONTROL": Register.CONTROL.pack(repeat=1),
            "STATUS": Register.STATUS.pack(busy=1),  # it waits for a frame
            "CYCLES": 0,
            "INFERENCES": 0,
            "SHAPE": Register.SHAPE.pack(
                rows=config.rows, columns=config.columns, lanes=config.lanes, others=config.arrays - 1
            ),
        },
    )


def _run(
    tool: Tool,
    built: Path,
    program: Program,
    stimulus: Stimulus,
    test: str,
    folder: Path,
    waves: Path | None,
    report: Reporter | None,
) -> None:
    """Run one cocotb test in a process of its own, in ``folder``."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    files = {
        STIMULUS: folder / "stimulus.npz",
        RESULTS: folder / "results.npz",
        PROGRESS: folder / "progress",
    }
    stimulus.save(files[STIMULUS])
    write_bytes(files[PROGRESS], b"0")
    log, xml = folder / "simulation.log", folder / "results.xml"
    options: dict[str, Any] = {}
    if waves is not None and tool.wave_arguments is not None:
        options = {"waves": True, **tool.wave_arguments(waves.absolute())}
    if tool.parameters_at_run:
        options["parameters"] = parameters_of(program.config)

    failure: BaseException | None = None
    with environment(tool.environment), _reporting(files[PROGRESS], report):
        try:
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
        except (Exception, SystemExit) as error:
            failure = error
    if failure is not None or not xml.exists() or get_results(xml) != (1, 0):
        text = log.read_text(errors="replace") if log.exists() else ""
        raise ToolStopped(f"{tool.name}, {test}, seed {stimulus.stalls.seed}: {_reason(text, failure)}")


@contextmanager
def _reporting(path: Path, report: Reporter | None) -> Iterator[None]:
    """Report, from another thread, how far the simulation is.

    This thread waits for the simulation, so that Ctrl-C ends both.
    """
    if report is None:
        yield
        return
    ended = Event()

    def watch() -> None:
        done = 0
        while not ended.wait(0.05):
            done = _report(path, done, report)
        _report(path, done, report)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(watch)
        try:
            yield
        finally:
            ended.set()
    future.result()


def _report(path: Path, done: int, report: Reporter) -> int:
    text = path.read_text()
    if text and int(text) > done:
        done = int(text)
        report(done)
    return done


def _reason(log: str, failure: BaseException | None) -> str:
    """The assertion that failed, else the end of the log."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("AssertionError", "ValueError"))]
    if errors:
        return errors[0].partition(": ")[2]
    return " / ".join(["the simulation failed", *([str(failure)] if failure else []), *lines[-5:]])
