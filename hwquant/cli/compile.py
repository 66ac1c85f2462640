"""``hwquant compile``: an integer network to a program and Verilog."""

from __future__ import annotations

from pathlib import Path

import click

from hwquant.cli.common import Command, emit, json_option, progress, write_report

LIMITS = {
    "activation_depth": "words of the activation memory (ROWS channels of a pixel each)",
    "weight_depth": "rows of the weight memory (COLUMNS weights each)",
    "parameter_depth": "words of the parameter memory (an output channel each)",
    "program_depth": "instructions",
    "accumulator_depth": "pixels that are accumulated at a time",
    "accumulator_bits": "bits of an accumulator",
}


def limit_options(command: Command) -> Command:
    """An option for each memory; what is not given is chosen as small as the network allows."""
    for name, what in reversed(LIMITS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, type=click.IntRange(min=1), metavar="N", help=f"At most N {what}.")(
            command
        )
    return command


@click.command()
@click.argument("network", type=click.Path(path_type=Path), metavar="NET.hwq")
@click.option("--array", required=True, metavar="RxC", help="Rows and columns of the array, 2x2 to 32x32.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--offset",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "edge", "sum"]),
    help="Where integer offsets are added: where weights enter, or by one more column that sums the inputs.",
)
@click.option(
    "--board",
    metavar="BOARD",
    help="For this board (hwquant boards; or a TOML file): offsets are added where weights enter as long as its "
    "multipliers are wide enough, else as long as those of every board are.",
)
@limit_options
@json_option
def compile(
    network: Path,
    array: str,
    output: Path,
    offset: str,
    board: str | None,
    as_json: bool,
    **limits: int | None,
) -> None:
    """Compile NET.hwq for an array of RxC: program, Verilog and report in a folder."""
    from hwquant import hwq
    from hwquant.boards.board import load_board
    from hwquant.build import check_target, write_build
    from hwquant.program.compiler import compile_network
    from hwquant.program.config import parse_array
    from hwquant.program.sizing import DSP_OPERAND_BITS
    from hwquant.report import hardware_table, layer_table

    shape = parse_array(array)
    operand_bits = load_board(board).device.operand_bits if board else DSP_OPERAND_BITS
    check_target(output)
    qgraph = hwq.load(network)
    given = {name: value for name, value in limits.items() if value is not None}
    with progress() as track:
        track("compile", 0, 0)
        program = compile_network(qgraph, shape, offset=offset, limits=given, operand_bits=operand_bits)
        track("write Verilog", 0, 0)
        build = write_build(qgraph, program, output)
    page = write_report(build, "compile")
    paths = {"build": str(output), "verilog": str(build.verilog), "page": str(page)}
    emit(
        as_json,
        {**build.report.to_json(), **paths},
        layer_table(build.report),
        hardware_table(build.report),
        f"wrote {output}; the Verilog is {build.verilog}",
        f"the report is {page}",
    )
