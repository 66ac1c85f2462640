"""Simulators around the emitted Verilog, built with cocotb's runner."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from hwquant.errors import HwquantError, MissingPackage, ToolStopped
from hwquant.files import cache_folder, cached, entry_name, leave, make_folder, write_bytes
from hwquant.packages import load_package
from hwquant.program.config import ArrayConfig
from hwquant.program.program import Program
from hwquant.program.registers import REGISTER_BITS, Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.external_memory import hardware

WRAPPER = Path(__file__).with_name("testbench.v")
"""Verilog around the accelerator, with the clock."""
TOP = "testbench"
"""Name of the top module."""


@dataclass(frozen=True)
class Tool:
    """A simulator as cocotb's runner knows it.

    Attributes
    ----------
    name : str
        Cocotb's name for it.
    build_args : tuple of str
        Options for building.
    version : str, default ""
        Version of the simulator; another one builds anew.
    product : str, default ""
        File name of what building leaves.
    waves_at_build : bool, default False
        Whether only a simulator that was built for it can write waves.
    wave_arguments : callable or None, default None
        From a path to what cocotb's runner must be told to write waves there; None where it writes none.
    environment : Mapping of str to str, optional
        Changes of the environment for building and running.
    in_place : bool, default False
        Whether it runs only in the folder where it was built, so that nothing is kept.
    parameters_at_run : bool, default False
        Whether it is told the top module's parameters when it runs, not when it is built.
    """

    name: str
    build_args: tuple[str, ...]
    version: str = ""
    product: str = ""
    waves_at_build: bool = False
    wave_arguments: Callable[[Path], dict[str, list[str]]] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    in_place: bool = False
    parameters_at_run: bool = False


def check_python(tool: str) -> None:
    """Check that cocotb is there, and the shared Python library that it puts into the simulator.

    Parameters
    ----------
    tool : str
        Name of the simulator, for the message.

    Raises
    ------
    HwquantError
        One of the two is missing; says how to get it.
    """
    load_package("cocotb_tools", "cocotb", "sim", f"simulation in {tool}")
    from find_libpython import find_libpython

    if find_libpython() is None:
        raise HwquantError(
            f"simulation in {tool} needs Python as a shared library, which {sys.executable} does not have; "
            "use a Python built with --enable-shared (Debian: apt install libpython3-dev)"
        )


def find_program(name: str, tool: str, remedy: str) -> str:
    """Find a program that a simulator needs.

    Parameters
    ----------
    name : str
        Name of the program.
    tool : str
        Name of the simulator, for the message.
    remedy : str
        How to get the program, for the message.

    Returns
    -------
    str
        Path of the program.

    Raises
    ------
    MissingPackage
        It is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingPackage(
            f"simulation in {tool} needs {name}, which is not installed; {remedy}", package=name
        )
    return path


def build(
    tool: Tool,
    program: Program,
    folder: Path | None,
    *,
    work: Path,
    waves: bool = False,
    verilog: str | None = None,
) -> Path:
    """Build a simulator, or find one that was built from the same Verilog with the same tools.

    Parameters
    ----------
    tool : Tool
        The simulator.
    program : Program
        What the accelerator holds.
    folder : Path or None
        Where built simulators are kept; None: the user's cache folder.
    work : Path
        Where it will run, so where one is built that runs in place.
    waves : bool
        Whether it will write waves.
    verilog : str or None
        What is simulated in place of the program's accelerator.

    Returns
    -------
    Path
        Folder of the built simulator.

    Raises
    ------
    ToolStopped
        The tool refused; says where its log is.
    """
    text = _verilog(program) if verilog is None else verilog
    waves = waves and tool.waves_at_build
    parameters = parameters_of(program.config)
    if tool.in_place:
        _build_in(tool, text, parameters, waves, work)
        return work
    if folder is not None:
        make_folder(folder)
    name = entry_name(
        tool.name,
        text,
        WRAPPER.read_text(),
        repr((tool.version, tool.build_args, waves, parameters)),
        version("cocotb"),
        sys.prefix,
    )
    return cached(
        folder or cache_folder(),
        name,
        [tool.product],
        lambda place: _build_in(tool, text, parameters, waves, place),
    )


def _build_in(tool: Tool, text: str, parameters: Mapping[str, object], waves: bool, work: Path) -> None:
    """Build a simulator of Verilog text in a folder."""
    from cocotb_tools.runner import get_runner

    source, log = work / "hwquant.v", work / "build.log"
    write_bytes(source, text.encode())
    try:
        # Temporary files of compilers stay in the folder: one that is killed leaves them behind.
        with environment({**tool.environment, "TMPDIR": str(work.absolute())}):
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
        raise ToolStopped(
            f"{tool.name} could not build the simulation ({error}); see {leave(log)}"
        ) from error


@lru_cache(maxsize=16)
def _verilog(program: Program) -> str:
    return to_verilog(hardware(program))


def parameters_of(config: ArrayConfig) -> dict[str, object]:
    """The parameters of the top module, by name."""
    return {
        "BEAT": config.frame_bits,
        "WORD": config.word_bits,
        "WORDS": config.arrays * config.word_bits,
        "ADDRESS": config.activation_address_bits,
        "ENABLES": config.enables,
        "REGISTER": index_bits(len(Register)),
        "VALUE": REGISTER_BITS,
    }


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set the environment for cocotb's runner, which reads that of this process.

    What would confuse the runner is not in it. The environment of before is there again afterwards.

    Parameters
    ----------
    changes : Mapping of str to str
        Variables to set.
    """
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
