"""Names of networks, layers and files that would act on a terminal or a page."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from hwquant import hwq
from hwquant.cli.results import layers_table, operators_table
from hwquant.cli.tables import layer_table
from hwquant.report import make_report
from hwquant.truncation.parity import Error, LayerParity, OperatorParity, ParityReport

EVIL = "\x1b[31m\u202e[bold]x[/]\r"
SHOWN = r"\x1b[31m\u202e[bold]x[/]\r"


@pytest.fixture(scope="module")
def evil(digits_qgraph):
    """The demo's network under another name."""
    return dataclasses.replace(digits_qgraph, name=EVIL)


def test_a_network_s_name_is_printable_on_the_terminal_and_exact_in_json(
    hwquant, evil, tmp_path, demo_folder
):
    hwq.save(evil, tmp_path / "net.hwq")
    for command in (["inspect"], ["evaluate", "-d", demo_folder / "digits.npz", "-n", "5"]):
        shown = hwquant(command[0], tmp_path / "net.hwq", *command[1:])
        assert shown.status == 0
        assert SHOWN in shown.stdout
        assert all(line.isprintable() for line in (shown.stdout + shown.stderr).splitlines())
    assert json.loads(hwquant("inspect", tmp_path / "net.hwq", "--json").stdout)["name"] == EVIL


def test_a_file_s_name_is_printable_in_results_and_errors(hwquant, network, tmp_path):
    outcome = hwquant("export", network, "-o", tmp_path / f"{EVIL}/n.onnx")
    assert (
        SHOWN.removesuffix(r"\r") in outcome.fails("does not exist").stderr
    )  # spaces of all kinds become one
    place = tmp_path / f"{EVIL.replace('/', '')}.onnx"
    outcome = hwquant("export", network, "-o", place)
    assert (outcome.status, outcome.stdout.count("\x1b")) == (0, 0)
    assert json.loads(hwquant("export", network, "-o", place, "--json").stdout)["model"] == str(place)


def test_a_report_has_printable_names(evil, digits_program, tmp_path):
    from hwquant.build import write_build
    from hwquant.page import write_page

    program = dataclasses.replace(digits_program, name=EVIL)
    text = write_page(write_build(evil, program, tmp_path / "build")).read_text()
    assert f"<title>{SHOWN} on 8x8</title>" in text
    assert not {"\x1b", "\u202e", "\r"} & set(text)


def shown(table):
    """What a table looks like on a wide terminal, line by line."""
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue().splitlines()


def test_the_name_of_a_layer_does_not_break_its_row(digits_program):
    evil, text = f"{EVIL}\nend", rf"{SHOWN}\nend"
    first, *others = digits_program.layers
    report = make_report(
        dataclasses.replace(digits_program, layers=(dataclasses.replace(first, covers=(evil,)), *others))
    )
    assert any(text in row and f"{report.layers[0].cycles:,}" in row for row in shown(layer_table(report)))
    error = Error(0.5, 0.25, 12.0)
    parity = ParityReport(
        "int8",
        3,
        (OperatorParity(evil, "convolution", error),),
        (LayerParity(evil, (evil,), error, error, None),),
        None,
    )
    (row,) = (line for line in shown(operators_table(parity)) if "convolution" in line)
    assert text in row
    (row,) = (line for line in shown(layers_table(parity)) if "12.0" in line)
    assert row.count(text) == 2
