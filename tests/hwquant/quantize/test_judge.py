"""Networks and data with something wrong, each named; healthy ones are silent."""

import numpy as np
import pytest
from hwquant_testing.branching_networks import branches, plain
from hwquant_testing.float_networks import KINDS

from hwquant import hwq
from hwquant.advice import of_options
from hwquant.graph import Concat, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.quantize import observe, quantize
from hwquant.window import Window

SHAPE = (3, 6, 6)


def network(nodes, *outputs):
    made = Graph("net", (Input("x", SHAPE, SHAPE),), tuple(nodes), ())
    return Graph(
        "net",
        made.inputs,
        made.nodes,
        tuple(Output(f"to {name}", name, made.shapes[name]) for name in outputs),
    )


def conv(name, source, weight):
    return Conv(name, (source,), weight, np.zeros(len(weight)), Window(weight.shape[2:]))


def warnings(qgraph, kind):
    return [item for item in of_options(qgraph.options) if item.kind == kind]


@pytest.fixture(name="rng")
def _rng():
    return np.random.default_rng(11)


@pytest.fixture(name="x")
def _x(rng):
    return rng.normal(size=(64, *SHAPE))


@pytest.mark.parametrize("kind", KINDS)
def test_healthy_networks_are_silent(build, samples, kind):
    for seed in (5, 6):
        assert quantize(build(kind, seed), samples).options["warnings"] == []


@pytest.mark.parametrize("make", [plain, branches])
def test_healthy_networks_of_other_shapes_are_silent(make):
    graph = make(3)
    x = np.random.default_rng(4).normal(0.2, 1, (64, *graph.inputs[0].shape))
    assert quantize(graph, x).options["warnings"] == []


def test_the_demo_is_silent(digits_qgraph):
    assert digits_qgraph.options["warnings"] == []
    measured = digits_qgraph.options["sqnr"]
    assert measured["outputs"] == {"scores": digits_qgraph.options["tensors"]["scores"]["sqnr_db"]}
    assert measured["samples"] == 200
    assert measured["data"] == "calibration data"


def test_a_branch_that_another_drowns_is_named(rng, x):
    big = conv("big", "x", rng.normal(size=(4, 3, 1, 1)) * 100)
    small = conv("small", "x", rng.normal(size=(4, 3, 1, 1)) * 0.01)
    qgraph = quantize(network([big, small, Concat("k", ("big", "small"))], "k"), x)
    (advice,) = warnings(qgraph, "concat_branch")
    assert advice.where == "small"
    assert advice.value < 1
    assert "'small' of concatenation 'k'" in advice.message
    (spread,) = warnings(qgraph, "channel_spread")
    assert "4 of 8 channels of output 'to k'" in spread.message
    assert not warnings(qgraph, "low_sqnr")


def test_channels_of_an_output_of_other_ranges_are_named(rng, x):
    weight = rng.normal(size=(4, 3, 1, 1)) * np.reshape([1, 10, 100, 1000], (4, 1, 1, 1))
    (advice,) = warnings(
        quantize(network([conv("c", "x", weight)], "c"), x, per_channel=True), "channel_spread"
    )
    assert advice.where == "to c"
    assert "the worst (0)" in advice.message


def test_a_layer_with_too_few_bits_of_activations_is_named(build, samples):
    low = warnings(quantize(build("chain", 1), samples, activation_bits=2), "low_sqnr")
    assert (low[1].where, low[1].option) == ("x", "--activation-bits")
    assert "its values have 2 bits; try --activation-bits 3 or more" in low[1].message


def test_a_layer_with_too_few_bits_is_named_with_the_option_that_helps(build, samples):
    qgraph = quantize(build("chain", 1), samples, bits=2)
    low = warnings(qgraph, "low_sqnr")
    assert (low[0].where, low[1].where) == ("y", "r1")
    assert low[1].option == "--bits"
    assert "its weights have 2 bits; try --bits 3" in low[1].message
    assert low[1].value == qgraph.options["tensors"]["r1"]["sqnr_db"]
    assert "what it reads" in low[-1].message


def test_a_layer_whose_channels_differ_is_named_with_per_channel(rng):
    x = rng.integers(0, 256, (64, *SHAPE))
    x[:, 1] %= 2
    weight = rng.normal(size=(4, 3, 1, 1))
    weight[3, :, 0, 0] = 0, 400, 0  # a large weight for small values
    graph = network([conv("a", "x", weight), conv("b", "a", rng.normal(size=(4, 4, 6, 6)))], "b")
    low = warnings(quantize(graph, x), "low_sqnr")
    assert [(item.where, item.option) for item in low] == [("a", "--per-channel")]  # "b" makes up for it
    nearest = warnings(quantize(graph, x, error_compensation=False), "low_sqnr")
    assert [(item.where, item.option) for item in nearest] == [("to b", ""), ("a", "--per-channel")]
    assert "its channels differ by a factor of" in low[0].message
    assert quantize(graph, x, per_channel=True).options["warnings"] == []


def test_weights_of_one_bit_that_collapse_are_named(build, samples):
    collapsed = warnings(quantize(build("chain", 1), samples, bits=1), "weights_collapse")
    assert collapsed
    assert all("collapse in 1 bit:" in item.message for item in collapsed)


def test_a_glitch_in_the_calibration_data_is_named_and_not_measured_on(build, samples):
    x = samples.copy()
    x[17, 0, 3, 3] = 1e6
    qgraph = quantize(build("chain", 1), x)
    (advice,) = warnings(qgraph, "outliers")
    assert advice.where == "x"
    assert advice.message.startswith("sample 17 of the calibration data of input 'x' reaches ")
    assert warnings(qgraph, "low_sqnr")[0].where == "y"  # which is what other samples get
    measured = qgraph.options["sqnr"]
    assert (measured["samples"], measured["data"]) == (63, "calibration data without outliers")
    x[40] *= 1e6
    (advice,) = warnings(quantize(build("chain", 1), x), "outliers")
    assert "sample 40" in advice.message
    assert ", 1 more is like it" in advice.message


def test_a_channel_of_the_input_in_other_units_is_named(rng, x):
    units = np.reshape([1, 1, 1e5], (3, 1, 1))
    weight = rng.normal(size=(4, 3, 6, 6)) / units
    (advice,) = warnings(quantize(network([conv("c", "x", weight)], "c"), x * units), "low_sqnr")
    assert advice.where == "to c"
    assert "channels of what it reads, 'x', reach from 3" in advice.message


def test_one_sample_and_equal_samples_are_named(build, samples):
    graph = build("chain", 1)
    (advice,) = warnings(quantize(graph, samples[:1]), "few_samples")
    assert advice.value == 1
    constant = np.ones_like(samples)
    found = quantize(graph, constant)
    assert [item.where for item in warnings(found, "constant_input")] == ["x"]


def test_a_layer_that_is_always_zero_is_named(rng, x):
    first = Conv("a", ("x",), np.zeros((4, 3, 1, 1)), np.zeros(4))
    qgraph = quantize(network([first, conv("b", "a", rng.normal(size=(2, 4, 6, 6)))], "b"), x)
    assert [item.where for item in warnings(qgraph, "constant_layer")] == ["a", "b"]


def test_clipping_that_calibration_asked_for_is_named(build, samples):
    qgraph = quantize(build("chain", 1), samples, calibration_method="percentile", percentile=80.0)
    assert warnings(qgraph, "clipped_in_calibration")[0].where == "x"


def test_validation_data_are_measured_on_and_change_no_integer(build, samples, tmp_path):
    graph = build("chain", 1)
    plain, other = quantize(graph, samples), quantize(graph, samples, validation=samples[:7] * 0.5)
    assert other.options["sqnr"]["samples"] == 7
    assert other.options["sqnr"]["data"] == "validation data"
    assert other.options["sqnr"]["outputs"] != plain.options["sqnr"]["outputs"]
    for made, name in ((plain, "a"), (other, "b")):
        made.options["sqnr"], made.options["tensors"], made.options["history"] = {}, {}, []
        hwq.save(made, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_samples_that_layers_are_not_fitted_to_are_measured_on_where_there_are_enough(
    build, samples, monkeypatch
):
    monkeypatch.setattr(observe, "_SAMPLES", 20)
    monkeypatch.setattr(observe, "ENOUGH_TO_JUDGE", 40)
    measured = quantize(build("chain", 1), samples).options["sqnr"]
    assert (measured["samples"], measured["data"]) == (20, "calibration data that gave ranges only")
    monkeypatch.setattr(observe, "ENOUGH_TO_JUDGE", 45)
    measured = quantize(build("chain", 1), samples).options["sqnr"]
    assert (measured["samples"], measured["data"]) == (20, "calibration data")


def test_values_that_are_rounded_to_the_last_integer_are_not_clipped(rng, x):
    """Of four bits a sixteenth of the values, and of an output that hardly varies all."""
    graph = network(
        [Conv("c", ("x",), rng.normal(size=(4, 3, 6, 6)) * 1e-3, np.full(4, 5.0), Window((6, 6)))], "c"
    )
    qgraph = quantize(graph, x, activation_bits={"x": 8, "c": 4})
    assert qgraph.options["tensors"]["c"]["clipped"] > 0.5
    assert not warnings(qgraph, "clipped_in_calibration")


def test_validation_data_that_do_not_fit_are_not_said_to_be_calibration_data(build, samples):
    qgraph = quantize(build("chain", 1), samples, validation=samples * 100)
    advice = warnings(qgraph, "clipped_in_calibration")[0]
    assert (advice.where, advice.option) == ("x", "--calibration-data")
    assert "clipped on the validation data; give calibration data like these" in advice.message


def test_no_option_is_named_that_does_not_help(rng, x):
    """Weights for an input channel that hardly varies take the scale from all others."""
    weight = rng.normal(size=(4, 3, 1, 1)) * np.reshape([1, 1, 1e4], (1, 3, 1, 1))
    units = np.reshape([1, 1, 1e-6], (3, 1, 1))
    for options in ({}, {"per_channel": True}, {"bits": 4}):
        (advice,) = warnings(
            quantize(network([conv("c", "x", weight)], "c"), x * units, **options), "weights_collapse"
        )
        assert advice.option == ""
        assert "bring the channels of 'x' to one range" in advice.message
