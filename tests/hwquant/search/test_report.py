"""Table and plot."""

import io

import pytest
from rich.console import Console

from hwquant.cli.results import front_table
from hwquant.search import Constraints, search
from hwquant.search.report import front_plot


@pytest.fixture(scope="module")
def result(digits_graph, calibration, few):
    return search(digits_graph, calibration, few, bits=(2, 8), jobs=1, constraints=Constraints(1.0, "int8"))


def test_the_table_has_the_front_and_marks_the_pick(result):
    console = Console(file=io.StringIO(), width=150)
    console.print(front_table(result, result.pick()))
    lines = console.file.getvalue().splitlines()
    for item in result.front:
        (line,) = [line for line in lines if line.strip().startswith(" ".join(map(str, item.configuration)))]
        assert f"{item.measures['weight_bytes']:,}" in line
        assert f"{item.measures['accuracy']:.2%}" in line
        assert ("picked" in line) == (item == result.pick())


def test_the_plot_is_a_png(result):
    picture = front_plot(result, result.pick())
    assert picture.startswith(b"\x89PNG\r\n")
    assert front_plot(result) != picture
