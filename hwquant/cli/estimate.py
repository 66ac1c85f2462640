"""``hwquant estimate``: cycles, utilization and memories of a build, and what it takes of a device."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType

from hwquant.cli.common import emit, json_option
from hwquant.cli.progress import progress
from hwquant.cli.tables import external_tables, hardware_table, layer_table
from hwquant.cli.types import ByName
from hwquant.errors import HwquantError

if TYPE_CHECKING:
    from hwquant.boards.asic import Library
    from hwquant.boards.families.family import Device
    from hwquant.program.external import ExternalMemory
    from hwquant.program.program import Program
    from hwquant.qgraph import QGraph

LABELS = {
    "lut": "LUT",
    "ff": "flip-flop",
    "cell": "logic cell",
    "dsp": "DSP block",
    "ram": "block RAM",
    "large_ram": "large RAM",
}


def targets() -> list[str]:
    """Names of all targets: FPGAs and ASIC processes."""
    from hwquant.boards.asic import LIBRARIES
    from hwquant.boards.device import DEVICES

    return sorted([*LIBRARIES, *DEVICES])


def on_target(
    program: Program, name: str, synthesize: bool
) -> tuple[dict[str, Any], Iterable[RenderableType]]:
    """What a program's hardware takes of a target, as plain JSON values and as what is shown to people.

    Raises
    ------
    HwquantError
        There is no such target, or it is an ASIC process and there is no synthesis.
    """
    from hwquant.boards.asic import LIBRARIES
    from hwquant.boards.device import DEVICES

    if name not in targets():
        raise HwquantError(f"there is no target {name!r}; there are {', '.join(targets())}")
    if name in LIBRARIES:
        if not synthesize:
            raise HwquantError(f"what {name} takes is not estimated but synthesized; add --synthesize")
        result = in_library(program, LIBRARIES[name])
        return result, library_lines(result)
    result = on_device(program, DEVICES[name], synthesize)
    return result, device_lines(result)


def on_device(program: Program, device: Device, synthesize: bool) -> dict[str, Any]:
    """Resources of an FPGA that the accelerator takes, alone and with a board's UART and protocol."""
    from hwquant.boards.contents import Contents
    from hwquant.boards.needs import needs, shortage
    from hwquant.boards.resources import estimate_resources, model_errors

    contents = Contents.of_program(program)
    core, board = (
        dataclasses.asdict(estimate_resources(program.config, device, link=link, contents=contents))
        for link in (False, True)
    )
    available = dict(device.resources)
    result: dict[str, Any] = {
        "device": device.name,
        "family": device.family.name,
        "core": {kind: core[kind] for kind in available},
        "board": {kind: board[kind] for kind in available},
        "available": available,
        "shortage": shortage(needs(program.config, device, contents)),
        "model_error": model_errors(device.family),
    }
    result["fits"] = not result["shortage"]
    if synthesize:
        counts = synthesized_core(program, device)
        result["synthesized"] = {kind: counts.get(kind, 0) for kind in available}
        result["difference"] = {
            kind: None if not count else round(core[kind] / count - 1, 4)
            for kind, count in result["synthesized"].items()
        }
    return result


def synthesized_core(program: Program, device: Device) -> dict[str, int]:
    """Resources that Yosys counts for the accelerator; earlier counts come from the cache folder."""
    from hwquant.boards.budget import dsp_budget
    from hwquant.boards.large_ram import weights_in_large_ram
    from hwquant.boards.synthesis import synthesized
    from hwquant.files import cache_folder
    from hwquant.rtl_templates.build import accelerator

    component = accelerator(program, loadable=weights_in_large_ram(program.config, device))
    with progress() as track:
        track(f"synthesis for {device.name}", 0, 0)
        synthesis = synthesized(component, device, dsp_budget(program.config, device), cache_folder())
    return synthesis.used(device.family)


def device_lines(result: dict[str, Any]) -> list[RenderableType]:
    """The table of :func:`on_device`'s result, and a line on whether the device has enough."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=f"{result['device']} ({result['family']})", title_justify="left")
    table.add_column("")
    headings = ["core", "with UART", "available", "share", "error of the model"]
    headings += ["Yosys, core", "difference"] if "synthesized" in result else []
    for heading in headings:
        table.add_column(heading, justify="right")
    for kind, available in result["available"].items():
        error = result["model_error"].get(kind)
        needed = result["board"][kind]
        row = [f"{result['core'][kind]:,}", f"{needed:,}", f"{available:,}"]
        row += [f"{needed / available:.0%}" if available else "-"]
        row += [f"{error['median']:.1%}, at most {error['worst']:.1%}" if error else "-"]
        if "synthesized" in result:
            difference = result["difference"][kind]
            row += [f"{result['synthesized'][kind]:,}", "-" if difference is None else f"{difference:+.1%}"]
        table.add_row(LABELS[kind], *row)
    if result["fits"]:
        verdict = f"it fits {result['device']}, by this estimate"
    else:
        verdict = f"it does not fit {result['device']}: it needs {result['shortage']}, by this estimate"
    return [table, verdict]


def in_library(program: Program, library: Library) -> dict[str, Any]:
    """Area and timing of the accelerator in the cells of an ASIC process, and its memories, in neither."""
    from hwquant.boards.asic import implement_asic
    from hwquant.files import cache_folder
    from hwquant.program.cycles import timing
    from hwquant.rtl_templates.build import accelerator

    with progress() as track:
        track(f"synthesis for {library.name}", 0, 0)
        asic = implement_asic(accelerator(program), library, cache_folder())
    return {
        **dataclasses.asdict(asic),
        "process": {"nanometres": library.nanometres, "volts": library.volts},
        "area_mm2": round(asic.area_um2 / 1e6, 4),
        "memory_bits": asic.memory_bits,
        "memory_ns": None if asic.memory_ns is None else round(asic.memory_ns, 4),
        "frames_per_second": round(asic.megahertz * 1e6 / timing(program).frame_cycles, 1),
    }


def library_lines(result: dict[str, Any]) -> list[RenderableType]:
    """Lines and tables of :func:`in_library`'s result."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    process, slowest = result["process"], result["slowest"]
    title = f"{result['library']} ({process['nanometres']} nm, {process['volts']} V)"
    memories = Table(box=SIMPLE_HEAD, title="memories (macros, not in the area)", title_justify="left")
    memories.add_column("")
    for heading in ("words", "bits a word", "bits", "read ports", "write ports"):
        memories.add_column(heading, justify="right")
    for item in result["memories"]:
        numbers = (item["words"], item["width"], item["words"] * item["width"], item["reads"], item["writes"])
        memories.add_row(item["name"], *(f"{number:,}" for number in numbers))
    memories.add_section()
    memories.add_row("all", "", "", f"{result['memory_bits']:,}", "", "")
    most = sorted(result["cells"].items(), key=lambda pair: -pair[1])
    lines: list[RenderableType] = [
        f"{title}: {result['area_um2']:,.0f} um2 ({result['area_mm2']} mm2) of cells, as much as {result['gates']:,} "
        f"NAND2 gates; {result['flip_flops']:,} flip-flops take {result['flip_flop_area_um2']:,.0f} um2 of it",
        f"{sum(result['cells'].values()):,} cells: " + ", ".join(f"{count:,} {name}" for name, count in most),
        f"{result['megahertz']} MHz: the slowest path takes {slowest['ns']:.2f} ns, from {slowest['start']} to "
        f"{slowest['end']}; {result['frames_per_second']:,} frames per second at that clock",
    ]
    if result["memory_ns"] is not None:
        lines.append(f"memories may answer {result['memory_ns']:.2f} ns after the clock's edge at that clock")
    return [*lines, memories, *(f"note: {note}" for note in result["notes"])]


def with_timing(program: Program, changes: dict[str, int] | int) -> Program:
    """The program with a memory of known timing: that which it was compiled for, but for changes by name.

    Raises
    ------
    HwquantError
        The program has no external memory, or it has no such timing.
    """
    from hwquant.program.external import MemoryTiming

    if program.memory is None:
        raise HwquantError("--memory-timing is for a build with external memory; this one has all inside")
    names = [field.name for field in dataclasses.fields(MemoryTiming)]
    if isinstance(changes, int) or not changes.keys() <= set(names):
        raise HwquantError(f"--memory-timing takes values by name, such as latency=30: {', '.join(names)}")
    known = dataclasses.replace(program.memory.timing, **changes)
    return dataclasses.replace(
        program, memory=dataclasses.replace(program.memory, timing=known, quickest=known)
    )


def with_doubled(qgraph: QGraph, program: Program) -> dict[str, int]:
    """Cycles of a network with twice of one thing that external memory goes through, by what that is.

    Raises
    ------
    HwquantError
        The program has no external memory.
    """
    from hwquant.program.compiler import compile_network
    from hwquant.program.cycles import timing
    from hwquant.program.limits import EXTERNAL_BITS

    memory, config = program.memory, program.config
    if memory is None:
        raise HwquantError("--doubled is for a build with external memory; this one has all inside")
    depths = ("activation_depth", "weight_depth", "parameter_depth", "accumulator_depth", "program_depth")
    limits = {name: getattr(config, name) for name in depths}

    def cycles(external: ExternalMemory, **changes: int) -> int:
        offset = "auto" if config.offset == "none" else config.offset
        return timing(
            compile_network(qgraph, config.array, offset=offset, limits=limits | changes, external=external)
        ).cycles

    found = {}
    wide = 2 * memory.data_bits
    if wide in EXTERNAL_BITS:
        found[f"a port of {wide} bits"] = cycles(dataclasses.replace(memory, data_bits=wide))
    for name, what in (("activation_depth", "an activation memory"), ("weight_depth", "a weight memory")):
        words = 2 * limits[name]
        found[f"{what} of {words:,} words"] = cycles(memory, **{name: words})
    return found


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--target",
    metavar="NAME",
    help="Also what it takes of a device: LUTs, flip-flops, DSP blocks and RAMs, estimated without synthesis. "
    "Such as ecp5-85k, ice40-up5k, gw1n-9, gw2a-18, xc7a35t. With --synthesize also osu018 and osu035, ASIC processes: "
    "area and clock.",
)
@click.option(
    "--synthesize",
    is_flag=True,
    help="Run Yosys on the core for the target, and compare; for ASIC processes ABC and OpenSTA (minutes; kept).",
)
@click.option(
    "--memory-timing",
    type=ByName(int),
    metavar="NAME=N,...",
    help="Of a build with external memory: cycles with a memory that serves so, such as latency=30,gap=2,outstanding=4,"
    "refresh_interval=780,refresh_cycles=12; what is not named is as compiled for.",
)
@click.option(
    "--doubled",
    is_flag=True,
    help="Of a build with external memory: cycles with a port of twice the width, and with memories inside of twice "
    "the depth; compiled for (seconds to minutes).",
)
@json_option
def estimate(
    build: Path,
    target: str | None,
    synthesize: bool,
    memory_timing: dict[str, int] | int | None,
    doubled: bool,
    as_json: bool,
) -> None:
    """Cycles, utilization and memories of BUILD, layer by layer.

    Exact, without simulating it; with external memory, for one of known timing.
    """
    from hwquant.build import load_build
    from hwquant.program.idle import judge_array
    from hwquant.report import make_report

    if synthesize and target is None:
        raise HwquantError("--synthesize needs a target, such as --target ecp5-85k")
    loaded = load_build(build)
    program = loaded.program
    if memory_timing is not None:
        program = with_timing(program, memory_timing)
    report = loaded.report if memory_timing is None else make_report(program)
    content = report.to_json()
    lines: list[RenderableType] = [layer_table(report), *external_tables(report), hardware_table(report)]
    if doubled:
        found = with_doubled(loaded.qgraph, program)
        content["external"]["doubled"] = found
        lines += [f"{name}: {cycles:,} cycles instead of {report.cycles:,}" for name, cycles in found.items()]
    if target is not None:
        result, more = on_target(loaded.program, target, synthesize)
        content["target"] = result
        lines += more
    emit(as_json, content, *lines, advice=judge_array(loaded.qgraph, loaded.program))
