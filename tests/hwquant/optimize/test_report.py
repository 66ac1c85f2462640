"""What is said of a result."""

from dataclasses import replace

import pytest

from hwquant.errors import DoesNotFit
from hwquant.optimize.report import comparison, describe_candidate, judge_pick, optimize_plot


def test_the_plot_is_a_png_and_the_same_again(result):
    plot = optimize_plot(result, result.pick())
    assert plot.startswith(b"\x89PNG")
    assert plot == optimize_plot(result, result.pick())
    assert plot != optimize_plot(result)


def test_the_pick_is_compared_with_the_8_bit_dense_build(result):
    picked = result.pick()
    assert comparison(result, picked).startswith(
        f"{result.improvement(picked):.2f} x the best 8-bit dense build"
    )
    clock = picked.measures["clock_mhz"]
    assert f"inferences a second of the core at {clock:.1f} MHz (estimated)" in describe_candidate(
        result, picked
    )
    assert judge_pick(result, picked) == ()


def test_a_pick_that_is_no_better_is_worth_a_word(result):
    (advice,) = judge_pick(result, result.baseline)
    assert (advice.kind, advice.option, advice.value) == ("nothing_found", "--max-drop", 1.0)


def test_where_no_8_bit_build_fits_the_reason_is_given(result):
    alone = replace(result, baseline=None, no_baseline="3x3 does not fit")
    assert comparison(alone, result.pick()) == "no 8-bit dense build to compare with: 3x3 does not fit"
    assert alone.improvement(result.pick()) is None
    assert alone.to_json()["no_baseline"] == "3x3 does not fit"


@pytest.mark.parametrize(
    ("min_fps", "float_accuracy", "ways"),
    [
        (1e12, 0.0, "lower --min-fps, raise --trials"),
        (None, 1.1, "raise --max-drop, train for more --epochs, raise --trials"),
    ],
)
def test_where_none_keeps_to_a_limit_it_is_named(result, min_fps, float_accuracy, ways):
    options = replace(result.options, min_fps=min_fps)
    wanted = replace(result, options=options, float_accuracy=float_accuracy)
    with pytest.raises(
        DoesNotFit, match=rf"loses \d+\.\d\d points at [\d,]+ inferences a second; {ways}"
    ) as caught:
        wanted.pick()
    assert caught.value.remedy == f"{ways}, or take a larger board"
