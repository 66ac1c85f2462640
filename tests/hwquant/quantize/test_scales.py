import itertools

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.graph import Clip, Concat, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.quantize import scales
from hwquant.quantize.calibration import batches, observe, take_statistics
from hwquant.quantize.elimination import minimize
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.precision import resolve_precision
from hwquant.quantize.scales import choose_scales
from hwquant.window import Window


def chosen(graph, x, **options):
    plan = plan_layers(graph)
    precision = resolve_precision(plan, QuantizeOptions(**options))
    return choose_scales(precision, observe(plan.graph, {"x": x}, plan.tensors))


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_tied_scales_differ_by_exact_powers_of_two(build, samples, method):
    result = chosen(build("clips", 0), samples, calibration_method=method)
    values = [result[name].scale.value for name in ("r1", "half", "last", "avg")]
    assert all(np.frexp(value)[0] == np.frexp(values[0])[0] for value in values)


def test_minmax_represents_every_value(graph, samples):
    plan = plan_layers(graph)
    statistics = observe(plan.graph, {"x": samples}, plan.tensors)
    precision = resolve_precision(plan, QuantizeOptions(calibration_method="minmax"))
    for name, activation in choose_scales(precision, statistics).items():
        tensor = activation.tensor(name, plan.graph.shapes[name])
        ends = np.array([min(0, statistics[name].low), max(0, statistics[name].high)])
        if any(isinstance(node, MaxPool) and name in node.inputs for node in plan.nodes):
            ends[0] = max(ends[0], activation.low)  # what the pool never lets through
        assert np.abs(tensor.dequantize(tensor.quantize(ends)) - ends).max() <= 1.01 * tensor.scale


@pytest.mark.parametrize("factor", [1, 1 / 255, 0.3])
def test_pixels_are_represented_exactly(build, factor):
    x = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8)) * factor
    activation = chosen(build("chain", 0), x)["x"]
    tensor = activation.tensor("x", (3, 8, 8))
    pixels = np.arange(256) * factor
    assert tensor.scale == pytest.approx(factor, rel=1e-12)
    assert np.allclose(tensor.dequantize(tensor.quantize(pixels)), pixels, rtol=1e-12, atol=0)


def test_few_grey_levels_are_exact_and_still_use_the_range(build):
    x = np.random.default_rng(0).integers(0, 17, (30, 3, 8, 8)).astype(float)
    tensor = chosen(build("chain", 0), x)["x"].tensor("x", (3, 8, 8))
    assert np.array_equal(tensor.dequantize(tensor.quantize(x)), x)
    assert tensor.scale * 255 < 2 * 16


def test_joint_choice_is_at_least_as_good_as_any_single_mantissa(build, samples, monkeypatch):
    costs = []

    def recording(tables, labels):
        costs.extend(tables)
        return minimize(tables, labels)

    monkeypatch.setattr(scales, "minimize", recording)
    result = chosen(build("residual", 0), samples, bits=4)
    labels = minimize(
        costs, {cost.variables[0]: len(cost.table) for cost in costs if len(cost.variables) == 1}
    )

    def total(choice):
        return sum(cost.table[tuple(choice[name] for name in cost.variables)] for cost in costs)

    assert all(total(labels) <= total(dict.fromkeys(labels, step)) for step in range(16))
    assert {name for cost in costs for name in cost.variables} <= set(result)
    assert any(len(cost.variables) == 2 for cost in costs)


def test_output_keeps_its_whole_range_while_others_may_be_clipped(build, samples):
    graph = build("chain", 0)
    samples = samples.copy()
    samples[0] *= 30
    result = chosen(graph, samples, activation_bits=4, calibration_method="mse")

    def span(name):
        return result[name].scale.value * 15.5

    assert span("fc") >= result["fc"].high - result["fc"].low
    assert span("p1") < result["p1"].high


def test_always_zero_tensors_borrow_a_range(samples):
    nodes = (
        Conv("dead", ("x",), np.zeros((2, 3, 1, 1)), np.full(2, -1.0)),
        Clip("zero", ("dead",), 0.0),
        Conv("y", ("zero",), np.ones((2, 2, 1, 1)), np.zeros(2)),
    )
    graph = Graph("dead", (Input("x", (3, 8, 8), (3, 8, 8)),), nodes, (Output("y", "y", (2, 8, 8)),))
    result = chosen(graph, samples)
    assert result["zero"].high == result["x"].high
    with pytest.raises(HwquantError, match="'x' are zero everywhere"):
        chosen(graph, samples * 0)


def test_inputs_that_are_joined_share_a_scale(samples):
    inputs = tuple(Input(name, (3, 8, 8), (3, 8, 8)) for name in ("a", "b"))
    nodes = (Concat("k", ("a", "b")), MaxPool("p", ("k",), Window((2, 2), (2, 2))))
    graph = Graph("join", inputs, nodes, (Output("y", "p", (6, 4, 4)),))
    plan = plan_layers(graph)
    statistics = observe(graph, {"a": samples, "b": 10 * samples}, plan.tensors)
    result = choose_scales(resolve_precision(plan, QuantizeOptions()), statistics)
    for one, other in itertools.pairwise(result.values()):
        assert (one.scale.value, one.zero_point, one.bits) == (
            other.scale.value,
            other.zero_point,
            other.bits,
        )


def test_decided_formats_are_kept_and_the_others_suit_them(build, samples):
    """As between the stages of a training: what is not an integer yet has grown."""
    plan = plan_layers(build("residual", 0))
    precision = resolve_precision(plan, QuantizeOptions())
    before = choose_scales(precision, observe(plan.graph, {"x": samples}, plan.tensors))

    def grown(names):
        for batch in batches(plan.graph, {"x": samples}, names):
            yield {name: x if name == "x" else 3.3 * x for name, x in batch.items()}

    statistics = take_statistics(plan.tensors, grown, len(samples))
    members = {name: precision.groups.find(name) for name in plan.tensors}
    decided = {name: before[name] for name in plan.tensors[:3]}
    after = choose_scales(precision, statistics, decided=decided)
    fixed = {members[name] for name in decided}
    assert all(after[name] is before[name] for name in plan.tensors if members[name] in fixed)
    others = [name for name in plan.tensors if members[name] not in fixed]
    assert others
    for name in others:
        assert 2 <= after[name].scale.value / before[name].scale.value <= 6
    for layer in plan.layers:
        for term in layer.terms:
            if term.unit is not None:
                assert after[term.input].scale.mantissa == after[layer.name].scale.mantissa
    assert choose_scales(precision, statistics, decided=after) == after
