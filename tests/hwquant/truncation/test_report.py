"""Tables have a row for everything; a plot is a picture."""

import io
import sys

import pytest
from rich.console import Console

from hwquant.cli.results import layers_table, operators_table
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.truncation import truncate
from hwquant.truncation.report import parity_plot, plotting


@pytest.fixture(scope="module", params=["float16", "int8"])
def parity(request, digits_graph, digits):
    _, (x, y), calibration = digits
    return truncate(digits_graph, calibration, request.param, test=Samples(x, y)).parity


def text(table):
    buffer = io.StringIO()
    Console(file=buffer, width=140).print(table)
    return buffer.getvalue().splitlines()


def test_tables_show_every_row_with_its_numbers(parity):
    lines = text(operators_table(parity))
    for row in parity.operators:
        (line,) = (line for line in lines if line.startswith((f" {row.name} ", f"{row.name} ")))
        assert row.kind in line
        assert ("exact" if row.kind == "reshape" else f"{row.error.sqnr_db:.1f}") in line
    lines = text(layers_table(parity))
    for row in parity.layers:
        (line,) = (line for line in lines if line.split()[:1] == [row.name])
        assert line.split()[-1] == f"{row.accuracy:.2%}"
        assert f"{row.output.largest:.3g}" in line
    assert f"float: {parity.float_accuracy:.2%}" in "\n".join(lines)


def test_the_plot_is_a_picture_and_the_same_every_time(parity):
    picture = parity_plot(parity)
    assert picture.startswith(b"\x89PNG")
    assert parity_plot(parity) == picture


def test_a_plot_without_labels_or_noise_is_drawn_too(build, samples):
    assert parity_plot(truncate(build("concat", 0), samples).parity).startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HwquantError, match=r"a parity plot needs .*'hwquant\[plot\]'"):
        plotting()
