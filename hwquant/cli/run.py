"""``hwquant run``: inference on a board, or on a simulated one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from hwquant.cli.common import count_option, data_option, emit, json_option
from hwquant.cli.outputs import check_ignored
from hwquant.cli.progress import progress
from hwquant.errors import Damaged, HwquantError
from hwquant.packages import load_package
from hwquant.progress import Progress
from hwquant.sim import BOARD_SIMULATORS

if TYPE_CHECKING:
    from hwquant.build import Build
    from hwquant.data import Samples
    from hwquant.driver import Connection

SIMULATED, USB = "sim", "usb"
"""Ports that are none of the system's: a simulated board, and the board that is found by its USB numbers."""
NETWORK = r"udp://([^/:]+)(?::([0-9]{1,5}))?"
"""A board on a network."""
MISMATCH = 1


@contextmanager
def open_board(
    build: Build, port: str, baud: int | None, simulator: str, track: Progress | None = None
) -> Iterator[Connection]:
    """Open a session with a board on a port, or with a simulated one, that holds the build's program."""
    from hwquant.driver import connect
    from hwquant.link import SerialLink
    from hwquant.link.transport import BAUD, UdpLink, usb_port

    if network := re.fullmatch(NETWORK, port):
        with UdpLink(network[1], *([int(network[2])] if network[2] else [])) as link:
            yield connect(link, build.qgraph, build.program, track)
        return
    load_package("serial", "pyserial", "link", "a serial port")  # before a simulator is built
    rate = baud or (BAUD if port in (SIMULATED, USB) else built_baud(build.folder))
    options = {}
    with ExitStack() as stack:
        if port == SIMULATED:
            from hwquant.sim.board import TIMEOUT, SimulatedBoard

            port = stack.enter_context(SimulatedBoard(build.program, simulator=simulator)).port
            options["timeout"] = TIMEOUT
        elif port == USB:
            port = usb_port()
        link = stack.enter_context(SerialLink(port, rate))
        yield connect(link, build.qgraph, build.program, track, **options)


def built_baud(folder: Path) -> int:
    """The rate in bit/s of the boards that were built in a build folder; any where no link is a UART.

    Raises
    ------
    HwquantError
        There are none, they have different rates, or a report does not say its rate.
    """
    from hwquant.board_report import read_board_report
    from hwquant.build import board_reports
    from hwquant.link.transport import BAUD

    reports = {path: read_board_report(path.parent) for path in board_reports(folder)}
    rates = {}
    for path, report in reports.items():
        rate = report.get("baud")
        if report.get("link") in ("usb", "ethernet"):
            continue
        if type(rate) is not int or rate < 1:
            message = f"{path} does not say the baud rate; build for this board again, or give --baud"
            raise Damaged(message, path=str(path))
        rates[path.parent.name] = rate
    if not reports:
        raise HwquantError(f"no board was built in {folder}; say with --baud which rate its bitstream has")
    if len(set(rates.values())) > 1:
        found = ", ".join(f"{name} {rate}" for name, rate in rates.items())
        raise HwquantError(
            f"the boards in {folder} have different baud rates ({found}); say which with --baud"
        )
    return next(iter(rates.values()), BAUD)


def run_samples(
    connection: Connection, build: Build, samples: Samples, track: Progress, *, check: bool
) -> dict[str, Any]:
    """Run samples and compare them with the golden model; returns what the command reports."""
    from hwquant.golden import deliver, quantize_given, quantize_input
    from hwquant.golden import run as golden
    from hwquant.host import before
    from hwquant.states import given

    inner = before(build.qgraph, samples.x)
    q = quantize_input(build.qgraph, inner) if check else quantize_given(build.qgraph, inner)
    data = {
        item.name: q[item.name] for item in given(build.qgraph.inputs)
    }  # the connection carries the states
    begin = time.perf_counter()
    tensors = connection.run(data, track)
    seconds = time.perf_counter() - begin
    result: dict[str, Any] = {
        "samples": len(samples),
        "accuracy": samples.accuracy(deliver(build.qgraph, inner, tensors)[0]),
        "frames_per_second": len(samples) / seconds,
        "cycles": connection.cycles(),
        "stalled": connection.stalled(),
        "requests": connection.statistics.requests,
        "retries": connection.statistics.retries,
        "timeouts": connection.statistics.timeouts,
        "mismatches": None,
        "first_mismatch": None,
    }
    if check:
        expected = golden(build.qgraph, q)
        wrong = np.zeros(len(samples), bool)
        for name, tensor in tensors.items():
            wrong |= (tensor != expected[name]).reshape(len(samples), -1).any(axis=1)
        result["mismatches"] = int(wrong.sum())
        result["first_mismatch"] = int(wrong.argmax()) if wrong.any() else None
    return result


def lines(result: dict[str, Any], port: str) -> list[str]:
    """Lines on a run."""
    stalled = (
        "" if result["stalled"] is None else f", {result['stalled']:,} of them waiting for external memory"
    )
    text = [
        f"{result['samples']} samples on {port}: {result['frames_per_second']:.1f} a second, "
        f"{result['cycles']:,} cycles an inference{stalled}; {result['requests']} requests, {result['retries']} "
        "retries",
    ]
    if result["accuracy"] is not None:
        text.append(f"accuracy {result['accuracy']:.2%}")
    if result["mismatches"]:
        text.append(
            f"{result['mismatches']} samples differ from the golden model, the first is {result['first_mismatch']}"
        )
    elif result["mismatches"] == 0:
        text.append("0 mismatches: the outputs are those of the golden model")
    return text


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--port",
    required=True,
    help=f"Serial port of the board, such as /dev/ttyUSB0; {USB}: the board at a USB cable of its own; "
    f"udp://ADDRESS: a board on a network; {SIMULATED}: the whole board, simulated.",
)
@data_option
@count_option
@click.option(
    "--baud",
    type=click.IntRange(min=300),
    help="Rate that the bitstream was built for.  [default: that of the boards in BUILD/boards]",
)
@click.option(
    "--simulator",
    default="cxxrtl",
    show_default=True,
    type=click.Choice(BOARD_SIMULATORS),
    help=f"What simulates the board with --port {SIMULATED}; cxxrtl builds fastest and needs only g++.",
)
@click.option("--no-check", is_flag=True, help="Do not compare with the golden model.")
@json_option
@click.pass_context
def run(
    context: click.Context,
    build: Path,
    port: str,
    data: Path,
    count: int | None,
    baud: int | None,
    simulator: str,
    no_check: bool,
    as_json: bool,
) -> None:
    """Run BUILD on a board and compare it with the golden model.

    On the samples of DATA.npz; exit 1 if they differ.
    """
    from hwquant.build import load_build
    from hwquant.clipping import check_inputs
    from hwquant.data import load_samples

    other = port == USB or re.fullmatch(NETWORK, port)
    meaningless = ("baud", "simulator") if other else ("baud",) if port == SIMULATED else ("simulator",)
    check_ignored(context, *meaningless, reason=f"means nothing with --port {port}; leave it out")
    loaded = load_build(build)
    samples = load_samples(data, loaded.qgraph.given_inputs, count)
    if (
        port != SIMULATED
        and not other
        and not Path(port).exists()
        and not re.fullmatch(r"COM[0-9]+", port, re.IGNORECASE)
    ):
        raise HwquantError(
            f"there is no port {port}; connect the board, or use --port {SIMULATED} for a simulated one"
        )
    with progress() as track:
        track("open the board", 0, 0)
        with open_board(loaded, port, baud, simulator, track) as connection:
            result = run_samples(connection, loaded, samples, track, check=not no_check)
    advice = check_inputs(loaded.qgraph, samples.x)
    emit(as_json, {**result, "port": port}, *lines(result, port), advice=advice)
    if result["mismatches"]:
        context.exit(MISMATCH)
