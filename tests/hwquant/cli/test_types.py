"""Values of options: for all, or by name."""

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hwquant.cli.types import ByName, LateChoice, Spelled
from hwquant.options import NUMBERS

BITS = ByName(click.IntRange(1, 8))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("conv1=3", {"conv1": 3}),
        ("conv1=3,fc=8", {"conv1": 3, "fc": 8}),
        ("4,fc=8", {"*": 4, "fc": 8}),
        ("fc=8, 4", {"*": 4, "fc": 8}),
        ("*=2,a=b=3", {"*": 2, "a=b": 3}),
    ],
)
def test_a_value_for_all_or_by_name(text, value):
    assert BITS.convert(text, None, None) == value


@pytest.mark.parametrize(
    "text", ["", "0", "9", "x", "conv1=", "=3", "conv1=9", "4,5", "a=3,a=4", "4,", ",", "4,*=5"]
)
def test_what_makes_no_sense_is_refused(text):
    with pytest.raises(click.BadParameter):
        BITS.convert(text, None, None)


@given(st.dictionaries(st.text("abc_/.=*", min_size=1), st.integers(1, 8), min_size=1))
def test_every_text_of_names_and_numbers_is_read_back(bits):
    assert BITS.convert(",".join(f"{name}={value}" for name, value in bits.items()), None, None) == bits
    assert BITS.convert(bits, None, None) == bits


def test_a_list_is_read_as_the_text_that_it_stands_for():
    assert (
        Spelled(NUMBERS).convert([2, 4], None, None) == Spelled(NUMBERS).convert("2,4", None, None) == (2, 4)
    )
    for wrong in (["a"], [2.5], "2,x"):
        with pytest.raises(click.BadParameter):
            Spelled(NUMBERS).convert(wrong, None, None)


def test_a_late_choice_is_loaded_when_it_is_used():
    loaded = []

    def load():
        loaded.append(1)
        return ["a", "b"]

    option = click.option("--which", type=LateChoice(load), default="a")
    assert loaded == []
    found = []
    command = click.command()(option(lambda which: found.append(which)))
    assert CliRunner().invoke(command, ["--which", "b"]).exit_code == 0
    assert found == ["b"]
    assert loaded
    assert "'c' is not one of 'a', 'b'" in CliRunner().invoke(command, ["--which", "c"]).output
    assert "[a|b]" in CliRunner().invoke(command, ["--help"]).output
