"""What is said of samples whose range is not the one in calibration."""

import dataclasses

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS, build

from hwquant import clipping, golden
from hwquant.clipping import check_inputs
from hwquant.quantize import quantize


@pytest.fixture(scope="module", name="pixels")
def _pixels():
    """Images with a black background: half of all pixels are the least that there is."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (64, 3, 8, 8)).astype(np.float32)
    return np.where(rng.uniform(size=x.shape) < 0.5, 0, x).astype(np.float32)


@pytest.fixture(scope="module", name="qgraph")
def _qgraph(pixels):
    return quantize(build("chain", 1), pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_data_like_those_in_calibration_are_silent(kind):
    rng = np.random.default_rng(3)
    calibration, other = rng.normal(0.2, 1, (2, 64, 3, 8, 8))
    assert check_inputs(quantize(build(kind, 2), calibration), other) == ()


def test_a_background_of_extreme_pixels_is_not_clipped(qgraph, pixels):
    dark = np.where(np.random.default_rng(1).uniform(size=pixels.shape) < 0.8, 0, pixels)
    assert check_inputs(qgraph, dark) == ()


def test_pixels_of_another_scale_are_named_with_their_share(qgraph, pixels):
    first = check_inputs(qgraph, (pixels * 255).astype(np.uint8))[0]
    low, high = clipping.bounds(qgraph.tensors["x"])
    real = (pixels * 255).astype(np.uint8).astype(float)
    assert first.kind == "clipped_input"
    assert first.where == "x"
    assert first.value == ((real < low) | (real >= high)).mean()
    assert f"{first.value:.1%} of the values of input 'x'" in first.message
    assert "0.0% in calibration" in first.message


def test_pixels_of_a_smaller_scale_are_named(qgraph, pixels):
    kinds = [item.kind for item in check_inputs(qgraph, pixels / 255)]
    assert kinds == ["narrow_input"]
    assert check_inputs(qgraph, pixels[:4] / 255) == ()  # a few samples may be dark


def test_the_bounds_are_those_of_rounding(qgraph):
    tensor = qgraph.tensors["x"]
    low, high = clipping.bounds(tensor)
    unclipped = np.array([low, high]) + np.array([1, -1]) * tensor.scale / 1000
    assert np.array_equal(tensor.quantize(unclipped), tensor.limits)
    # The division may round an ulp away; a thousandth of a step is enough.
    beyond = np.array([low, high]) + np.array([-1, 1]) * tensor.scale / 1000
    least, greatest = tensor.limits
    assert np.array_equal(
        np.floor(beyond / tensor.scale + 0.5) + tensor.zero_point, [least - 1, greatest + 1]
    )


def test_layers_are_judged_by_their_own_ends(qgraph, pixels):
    """The shares are those of a plain count; ReLU's zero is no end."""
    x = pixels * 3
    found = {item.tensor: item for item in clipping.layer_clipping(qgraph, {"x": x})}
    chosen = np.linspace(0, 63, 32).round().astype(int)
    integers = golden.run(qgraph, golden.quantize_input(qgraph, x[chosen]), keep=found)
    for node in qgraph.nodes:
        if node.name in found:
            q, tensor = integers[node.name], qgraph.tensors[node.name]
            expected = (q == tensor.limits[1]).mean()
            if node.low != tensor.zero_point:
                expected += (q == tensor.limits[0]).mean()
            assert found[node.name].share == pytest.approx(expected)
    advice = [item for item in check_inputs(qgraph, x) if item.kind == "clipped_layer"]
    assert {item.where for item in advice} == {item.tensor for item in found.values() if item.bad}
    assert advice


def test_what_was_clipped_in_calibration_is_no_news(qgraph, pixels):
    x = pixels * 3
    shares = {item.tensor: item.share for item in clipping.layer_clipping(qgraph, {"x": x})}
    shares["x"] = clipping.input_clipping(qgraph, {"x": x})[0].share
    tensors = {
        name: {**facts, "clipped": shares.get(name, 0)} for name, facts in qgraph.options["tensors"].items()
    }
    known = dataclasses.replace(qgraph, options={**qgraph.options, "tensors": tensors})
    assert check_inputs(qgraph, x)
    assert check_inputs(known, x) == ()


@pytest.mark.parametrize("tensors", [None, 3, {"x": None}, {"x": {"clipped": "much"}}, {"x": {"clipped": 7}}])
def test_without_facts_nothing_was_clipped(qgraph, pixels, tensors):
    bare = dataclasses.replace(qgraph, options={"tensors": tensors})
    assert check_inputs(bare, pixels) == ()
    assert check_inputs(bare, pixels * 255)[0].kind == "clipped_input"


@pytest.mark.parametrize(("total", "judged"), [(20, 20), (64, 32), (64 * 20, 40), (64 * 80, 128)])
def test_only_some_samples_are_run_through_the_layers(qgraph, pixels, total, judged):
    many = np.concatenate([pixels] * -(-total // 64))[:total]
    assert {item.samples for item in clipping.layer_clipping(qgraph, {"x": many})} == {judged}


@pytest.mark.parametrize("seed", range(6))
def test_few_calibration_samples_are_exceeded_by_chance(seed):
    rng = np.random.default_rng(seed)
    calibration, other = rng.normal(0.2, 1, (10, 3, 8, 8)), rng.normal(0.2, 1, (200, 3, 8, 8))
    assert check_inputs(quantize(build("chain", seed), calibration), other) == ()
