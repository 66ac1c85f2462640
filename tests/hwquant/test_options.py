"""Options that say once what they may be."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from hwquant.errors import HwquantError
from hwquant.optimize import OptimizeOptions
from hwquant.options import NAMES, NUMBERS, Range, check, chosen, declared, option
from hwquant.pruning.options import PruneOptions, RetrainOptions
from hwquant.quantize.options import QuantizeOptions
from hwquant.search.options import Constraints, SearchOptions
from hwquant.training.options import ProgressiveOptions, TrainOptions, TuneOptions

CLASSES = (
    QuantizeOptions,
    TrainOptions,
    RetrainOptions,
    TuneOptions,
    ProgressiveOptions,
    PruneOptions,
    SearchOptions,
    Constraints,
    OptimizeOptions,
)


@dataclass(frozen=True)
class Some:
    """An options class."""

    bits: int | Mapping[str, int] = option(8, "Bits.", range=Range(1, 8, noun="an integer"))
    share: float = option(0.5, "A share.", range=Range(0, 1, above=True))
    side: Literal["left", "right"] = option("left", "A side.", flag="--which")
    count: int | None = option(None, "A number.", range=Range(1))
    plain: bool = False

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize("kind", CLASSES)
def test_defaults_are_allowed_and_every_option_has_help_and_a_type(kind):
    kind()
    for item in declared(kind):
        assert item.option.help.endswith(".")
        assert item.kind in (int, float, str, bool, tuple)
        assert (item.kind is tuple) <= (item.option.spelling is not None)
        assert not item.choices or item.default in item.choices
        if item.option.spelling is not None:
            assert item.option.spelling.parse(item.option.spelling.show(item.default)) == item.default


def test_a_field_is_read_as_it_is_declared():
    bits, share, side, count = declared(Some)
    assert [(item.flag, item.kind) for item in (bits, share, side, count)] == [
        ("--bits", int),
        ("--share", float),
        ("--which", str),
        ("--count", int),
    ]
    assert side.choices == ("left", "right")
    assert (bits.optional, count.optional) == (False, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 9}, "bits must be an integer from 1 to 8, not 9"),
        ({"bits": 4.0}, "bits must be an integer from 1 to 8, not 4.0"),
        ({"bits": True}, "bits must be an integer from 1 to 8, not True"),
        ({"bits": {"a": 4, "b": 0}}, "bits of 'b' must be an integer from 1 to 8, not 0"),
        ({"share": 0}, "share must be above 0 and at most 1, not 0"),
        ({"share": math.nan}, "share must be above 0 and at most 1, not nan"),
        ({"share": "half"}, "share must be above 0 and at most 1, not 'half'"),
        ({"side": "up"}, "side must be one of left, right, not 'up'"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"count": math.inf}, "count must be at least 1, not inf"),
    ],
)
def test_values_that_are_not_declared_are_refused(change, message):
    with pytest.raises(HwquantError) as error:
        Some(**change)
    assert str(error.value) == message


def test_what_is_declared_is_allowed():
    Some(bits={"a": 1, "b": 8}, share=1, side="right", count=None)
    Some(share=1e-9, count=10**9)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Range(0, above=True), "above 0"),
        (Range(1), "at least 1"),
        (Range(0, noun="a number"), "a number of at least 0"),
        (Range(0, 100, unit="points"), "from 0 to 100 points"),
    ],
)
def test_a_range_says_what_it_holds(limits, text):
    assert str(limits) == text


def test_a_field_of_two_types_is_a_mistake_in_the_class():
    made = dataclasses.make_dataclass("Wrong", [("size", int | str, option(1, "A size."))])
    with pytest.raises(TypeError, match="option size has several types"):
        declared(made)


def test_options_are_given_at_once_or_by_name():
    assert chosen(Some, None, {"bits": 4}) == Some(bits=4)
    assert chosen(Some, Some(bits=4), {}) == Some(bits=4)
    with pytest.raises(TypeError, match="not both"):
        chosen(Some, Some(), {"bits": 4})


def test_lists_are_written_with_commas():
    assert NUMBERS.parse("2, 4,8") == (2, 4, 8)
    assert NAMES.parse("a, b") == ("a", "b")
    with pytest.raises(ValueError, match="is not a list of numbers such as"):
        NUMBERS.parse("2;4")
