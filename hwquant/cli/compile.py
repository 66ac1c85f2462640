"""``hwquant compile``: an integer network to a program and Verilog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwquant.cli.common import Command, emit, json_option, write_report
from hwquant.cli.progress import progress
from hwquant.cli.tables import external_tables, hardware_table, layer_table
from hwquant.errors import HwquantError, Unsupported
from hwquant.program.limits import EXTERNAL_BITS

if TYPE_CHECKING:
    from hwquant.boards.outside import ExternalChoice
    from hwquant.program.external import ExternalMemory
    from hwquant.program.raw_choice import PackInput
    from hwquant.program.sizing import OffsetChoice

LIMITS = {
    "activation_depth": "words of the activation memory (ROWS channels of a pixel each)",
    "weight_depth": "rows of the weight memory (COLUMNS weights each)",
    "parameter_depth": "words of the parameter memory (an output channel each)",
    "program_depth": "instructions",
    "accumulator_depth": "pixels that are accumulated at a time",
    "accumulator_bits": "bits of an accumulator",
}


def limit_options(command: Command) -> Command:
    """Add an option for each limit; what none is given for gets as small as the network allows."""
    for name, what in reversed(LIMITS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, type=click.IntRange(min=1), metavar="N", help=f"At most N {what}.")(
            command
        )
    return command


def offset_option(command: Command) -> Command:
    """Add the option ``--offset``."""
    return click.option(
        "--offset",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "edge", "sum"]),
        help="Where integer offsets are added: where weights enter, or by one more column that sums the inputs.",
    )(command)


def pack_input_option(command: Command) -> Command:
    """Add the option ``--pack-input``."""
    return click.option(
        "--pack-input",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "none"]),
        help="Whether the host sends inputs as they are, pixel by pixel, and the hardware packs them into words: where "
        "that saves cycles or bytes on the link, or never.",
    )(command)


def external_option(command: Command) -> Command:
    """Add the option ``--external``."""
    return click.option(
        "--external",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "none", "axi", *(f"axi{bits}" for bits in EXTERNAL_BITS)]),
        help="A memory outside, behind an AXI4 port of so many bits, where weights and parameters lie, and tensors "
        "that --activation-depth words do not hold; --weight-depth, --parameter-depth and, where a program is longer, "
        "--program-depth are then those of buffers. With a board the memory that it has; auto: where the network does "
        "not fit without, and never without a board.",
    )(command)


def external_memory(choice: str) -> ExternalMemory | None:
    """The memory that a value of ``--external`` means where there is no board."""
    from hwquant.program.external import ExternalMemory

    if choice in ("auto", "none"):
        return None
    width = choice.removeprefix("axi")
    return ExternalMemory(int(width)) if width else ExternalMemory()


@click.command()
@click.argument("network", type=click.Path(path_type=Path), metavar="NET.hwq")
@click.option(
    "--array",
    metavar="[Kx]RxC",
    help="Rows and columns of the array, 2x2 to 32x32; with --board, the fastest that fits it if not given.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="BUILD/")
@offset_option
@click.option(
    "--board",
    metavar="BOARD",
    help="For this board (hwquant boards; or a TOML file): choose an array that fits, as `hwquant fit` does, and add "
    "offsets where weights enter as long as its multipliers are wide enough, else as long as those of every board are.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Samples that an inference computes side by side; of fully connected networks, which load their weights once "
    "for all of them.",
)
@pack_input_option
@external_option
@limit_options
@json_option
def compile(
    network: Path,
    array: str | None,
    output: Path,
    offset: OffsetChoice,
    board: str | None,
    batch: int,
    pack_input: PackInput,
    external: ExternalChoice,
    as_json: bool,
    **limits: int | None,
) -> None:
    """Compile NET.hwq for one or several arrays, or for a board.

    BUILD/ gets the program, the Verilog and a report.
    """
    from hwquant import hwq
    from hwquant.boards.board import load_board
    from hwquant.boards.fit import choose_fitting
    from hwquant.boards.outside import compiled_for
    from hwquant.boards.shapes import Shapes
    from hwquant.build import check_target, write_build
    from hwquant.program.batch import batched
    from hwquant.program.compiler import compile_network
    from hwquant.program.idle import judge_array
    from hwquant.program.sides import parse_array
    from hwquant.program.sizing import DSP_OPERAND_BITS

    fixed = parse_array(array) if array is not None else None
    target = load_board(board) if board else None
    memory = None if target else external_memory(external)
    if target and target.device is None and external not in ("auto", "none"):
        raise Unsupported(
            f"the board {target.name} has no memory: compile for an --array, without --board",
            where=target.name,
        )
    if batch > 1:
        external = _inside_alone(external)
    check_target(output)
    qgraph = hwq.load(network)
    given = {name: value for name, value in limits.items() if value is not None}
    lines = []
    with progress() as track:
        shape, program = fixed, None
        if target is not None and (fixed is None or target.device is not None):
            shapes = Shapes(batched(qgraph, batch), offset=offset, limits=given, pack_input=pack_input)
            found = choose_fitting(shapes, target, fixed, external=external, progress=track)
            shape = found.chosen.array
            lines.append(found.reason)
            if found.chosen.outside and target.device:
                program = compiled_for(
                    shapes, shape, target.device, found.chosen.outside.memory, target.link
                ).program
        if shape is None:
            raise HwquantError("give --array RxC, or --board BOARD for the fastest array that fits it")
        track("compile", 0, 0)
        device = target.device if target else None
        operand_bits = device.operand_bits if device else DSP_OPERAND_BITS
        program = program or compile_network(
            qgraph,
            shape,
            offset=offset,
            limits=given,
            operand_bits=operand_bits,
            batch=batch,
            pack_input=pack_input,
            external=memory,
        )
        # A board's array was chosen among all that fit it.
        judged = fixed is not None
        advice = judge_array(batched(qgraph, batch), program, given) if judged else ()
        track("write Verilog", 0, 0)
        build = write_build(qgraph, program, output)
    page = write_report(build, "compile")
    paths = {"build": str(output), "verilog": str(build.verilog), "page": str(page)}
    emit(
        as_json,
        {**build.report.to_json(), **paths},
        layer_table(build.report),
        *external_tables(build.report),
        hardware_table(build.report),
        *lines,
        f"wrote {output}; the Verilog is {build.verilog}",
        f"the report is {page}",
        advice=advice,
    )


def _inside_alone(external: ExternalChoice) -> ExternalChoice:
    """What is left of the choice of a memory where several samples are computed side by side."""
    if external not in ("auto", "none"):
        raise Unsupported(
            f"--batch and --external {external} do not go together: samples side by side are for weights inside"
        )
    return "none"
