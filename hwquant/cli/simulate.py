"""``hwquant simulate``: a build's hardware against the golden model, bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.common import check_output_file, count_option, data_option, emit, json_option
from hwquant.cli.progress import progress
from hwquant.errors import HwquantError, Unsupported
from hwquant.progress import Progress
from hwquant.sim import LICENSED, SIMULATORS, VERILOG_SIMULATORS
from hwquant.sim.registry import find_simulator

if TYPE_CHECKING:
    from hwquant.boards.families.family import Device
    from hwquant.build import Build
    from hwquant.data import Samples
    from hwquant.sim.check import Verification

MISMATCH = 1
OTHERS = [name for name in SIMULATORS if name not in VERILOG_SIMULATORS]
WAVES = {
    suffix: ", ".join(name for name, simulator in SIMULATORS.items() if simulator.waves == suffix)
    for suffix in dict.fromkeys(simulator.waves for simulator in SIMULATORS.values())
    if suffix is not None
}
"""Names of the simulators that write waves, by the suffix of the file."""


def made_anew(build: Build, simulator: str) -> bool:
    """Whether a simulator reads Verilog that is not the build's own: that has no memory beside it."""
    return find_simulator(simulator).verilog and build.program.config.external_bits > 0


def verify_build(
    build: Build,
    samples: Samples,
    simulator: str,
    track: Progress,
    *,
    layers: bool,
    waves: Path | None = None,
    device: Device | None = None,
) -> Verification:
    """Simulate a build on samples, and compare it with the golden model.

    Parameters
    ----------
    build : Build
        The build. Simulators that read Verilog get its own file; where it has external memory, the same accelerator
        anew, with a memory at its port.
    samples : Samples
        The samples.
    simulator : str
        Name of the simulator.
    track : Progress
        Called with what is being done, steps done and steps in all.
    layers : bool
        Whether to compare every layer's tensor instead of the outputs alone.
    waves : Path or None, optional
        File that gets the waves.
    device : Device or None, optional
        The FPGA after whose synthesis the accelerator is simulated; None simulates it before synthesis.

    Raises
    ------
    Unsupported
        A netlist has no external memory, and the build needs some.
    HwquantError
        The simulator reads no netlists.
    """
    from hwquant.golden import quantize_input
    from hwquant.sim.check import verify

    reads_verilog, outside = find_simulator(simulator).verilog, build.program.config.external_bits > 0
    own = reads_verilog and not made_anew(build, simulator)
    verilog = build.verilog.read_text() if own else None
    if device is not None:
        from hwquant.boards.netlist import netlist

        if outside:
            raise Unsupported(
                f"{build.folder} has external memory, which netlists have not: simulate it without --netlist",
                where=str(build.folder),
            )
        if not reads_verilog:
            raise HwquantError(
                f"the simulator {simulator} reads no netlists; choose {' or '.join(VERILOG_SIMULATORS)}"
            )
        track(f"synthesis for {device.name}", 0, 0)
        verilog = netlist(build.program, device)
    return verify(
        build.program,
        build.qgraph,
        quantize_input(build.qgraph, samples.x),
        simulator=simulator,
        watch=len(samples) if layers else 0,
        waves=waves,
        progress=track,
        verilog=verilog,
    )


def summary(result: Verification, simulator: str) -> dict[str, Any]:
    """A verification as plain JSON values; "cycles" are those of one inference, which of a batch counts as a sample."""
    first = result.first
    return {
        "samples": result.samples,
        "batch": result.batch,
        "mismatches": result.mismatches,
        "cycles": result.cycles,
        "simulator": simulator,
        "samples_with_layers": result.watched,
        "simulated_cycles": result.simulated_cycles,
        "seconds": result.seconds,
        "first_mismatch": None if first is None else {**dataclasses.asdict(first), "text": str(first)},
    }


def lines(result: Verification, simulator: str) -> list[str]:
    """Lines on a verification."""
    compared = "every layer's tensor and the outputs" if result.watched else "the outputs"
    speed = f"{result.simulated_cycles:,} cycles in {result.seconds:.1f} s in {simulator}"
    count = f"{result.samples} samples"
    if result.batch > 1:
        count = f"{result.samples} inferences of {result.batch} samples each"
    if result.first is None:
        return [
            f"{count}, 0 mismatches: {compared} are those of the golden model ({speed})",
            f"{result.cycles:,} cycles an inference, as predicted",
        ]
    hint = "" if result.watched else "; --layers finds the first layer that differs"
    return [
        f"{count}, {result.mismatches} of them with mismatches in {compared} ({speed})",
        f"first mismatch: {result.first}{hint}",
    ]


def wave_path(folder: Path, simulator: str) -> Path:
    """Path of a simulator's waves, beside the build folder, which holds nothing but the build."""
    suffix = find_simulator(simulator).waves
    if suffix is None:
        raise HwquantError(f"the simulator {simulator} writes no waves; choose another one")
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}{suffix}")


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@data_option
@count_option
@click.option(
    "--simulator",
    default="verilator",
    show_default=True,
    type=click.Choice([*SIMULATORS, *LICENSED]),
    help=f"{', '.join([*VERILOG_SIMULATORS, *LICENSED])}: the build's Verilog under cocotb; {', '.join(OTHERS)}: the "
    "RTL behind it. External memory is simulated beside the accelerator, whose Verilog is then made anew.",
)
@click.option("--layers", is_flag=True, help="Compare every layer's tensor, not only the outputs.")
@click.option(
    "--waves",
    is_flag=True,
    help=f"Write the waves beside the build: {', '.join(f'BUILD{suffix} ({who})' for suffix, who in WAVES.items())}.",
)
@click.option(
    "--netlist",
    metavar="DEVICE",
    help="Synthesize the accelerator for a device (such as ecp5-85k, ice40-up5k, gw1n-9) and simulate its cells.",
)
@json_option
@click.pass_context
def simulate(
    context: click.Context,
    build: Path,
    data: Path,
    count: int | None,
    simulator: str,
    layers: bool,
    waves: bool,
    netlist: str | None,
    as_json: bool,
) -> None:
    """Simulate BUILD and compare it with the golden model.

    On the samples of DATA.npz, bit for bit; exit 1 if they differ.
    """
    from hwquant.boards.device import find_device
    from hwquant.build import load_build
    from hwquant.clipping import check_inputs
    from hwquant.data import load_samples

    device = None if netlist is None else find_device(netlist)
    loaded = load_build(build)
    samples = load_samples(data, loaded.qgraph.given_inputs, count)
    path = wave_path(build, simulator) if waves else None
    if path is not None:
        check_output_file(path)
    with progress() as track:
        result = verify_build(loaded, samples, simulator, track, layers=layers, waves=path, device=device)
    content, text = summary(result, simulator), lines(result, simulator)
    if device is not None:
        content["netlist"] = device.name
        text[0] = f"netlist for {device.name}: {text[0]}"
    content["verilog_made_anew"] = made_anew(loaded, simulator)
    if made_anew(loaded, simulator):
        text.append("the Verilog was made anew, with a memory beside it: the build's own has none")
    if path is not None:
        content["waves"] = str(path)
        text.append(f"wrote {path}")
    emit(as_json, content, *text, advice=check_inputs(loaded.qgraph, samples.x))
    if result.mismatches:
        context.exit(MISMATCH)
