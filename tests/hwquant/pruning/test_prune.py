"""Pruning with retraining: what holds for every run, on the demo's digits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.pruning import PruneOptions, prune, pruned_share
from hwquant.pruning.groups import GroupShape, convolutions
from hwquant.pruning.sensitivity import Trials
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.training import Training, TrainOptions, progressive

OPTIONS = PruneOptions((4, 4), max_drop=2, max_sensitivity=12, passes=4, final_epochs=0)
WITH_END = replace(OPTIONS, final_epochs=None)
TRAIN = TrainOptions(epochs=3, lr=3e-3, batch_size=16)


@pytest.fixture(scope="module")
def data(digits_samples):
    """200 images to train on, 160 that decide."""
    x, y = digits_samples.x, digits_samples.y
    return (x[:200], y[:200]), (x[200:], y[200:])


def pruned(graph, data, options=OPTIONS, training=TRAIN, quantizer=None, **more):
    """The network pruned; ``data`` are those to train with, which calibrate too, and those that decide."""
    train, validation = data
    return prune(graph, Training(train, training, **more), validation, validation[0][:50], options, quantizer)


@pytest.fixture(scope="module")
def result(digits_graph, data):
    return pruned(digits_graph, data, WITH_END)


def accuracy(graph, validation):
    x, y = validation
    return float((floating.predict(graph, x)[0].argmax(axis=1) == y).mean())


def integer_accuracy(qgraph, validation):
    x, y = validation
    return float((golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean())


def same(a, b):
    pairs = list(zip(convolutions(a), convolutions(b), strict=True))
    return all(np.array_equal(x.weight, y.weight) and np.array_equal(x.bias, y.bias) for x, y in pairs)


def test_the_result_is_the_last_network_that_met_the_target_as_integers(digits_graph, result, data):
    assert result.before.floating == accuracy(digits_graph, data[1])
    assert result.before.integer == integer_accuracy(quantize(digits_graph, data[1][0][:50]), data[1])
    assert result.after.floating == accuracy(result.graph, data[1])
    assert result.after.integer == integer_accuracy(result.qgraph, data[1])
    kept = [item for item in result.passes if item.met]
    assert result.after == kept[-1].verdict
    assert pruned_share(result.graph) == kept[-1].pruned > 0.2
    for item in result.passes[:-1]:
        assert item.met == (item.verdict.integer >= result.before.integer - 0.02)


def test_in_the_end_all_that_is_left_is_retrained_six_times_as_long_and_kept_if_it_is_no_worse(result):
    *cuts, final = result.passes
    assert all(item.layers and item.epochs == TRAIN.epochs for item in cuts)
    assert (final.layers, final.steps, final.epochs) == ([], [], 6 * TRAIN.epochs)
    last = [item for item in cuts if item.met][-1]
    assert final.pruned == last.pruned
    assert final.met == (final.verdict.integer >= last.verdict.integer)


def test_the_longer_retraining_can_be_left_out(digits_graph, data):
    found = pruned(digits_graph, data, replace(OPTIONS, passes=1))
    assert [len(item.layers) for item in found.passes] == [1]


def test_the_integers_are_those_that_quantization_makes_of_the_float_network(result, data):
    again = quantize(result.graph, data[1][0][:50])
    q = golden.quantize_input(again, data[1][0])
    assert all(
        np.array_equal(value, golden.run(result.qgraph, q)[name])
        for name, value in golden.run(again, q).items()
    )
    program = compile_network(again, (4, 4))
    tiles = [(layer.tiles, layer.tiles_skipped) for layer in program.layers]
    assert result.after.skipped == sum(b for _, b in tiles) / sum(a for a, _ in tiles) > 0
    assert result.after.cycles == timing(program).cycles < result.before.cycles


def test_the_quantizer_s_options_decide_too(digits_graph, data):
    found = pruned(
        digits_graph, data, replace(OPTIONS, passes=1), replace(TRAIN, epochs=0), QuantizeOptions(bits=3)
    )
    x, validation = data[1][0][:50], data[1]
    assert found.before.integer == integer_accuracy(quantize(digits_graph, x, bits=3), validation)
    assert found.before.floating == accuracy(digits_graph, validation)
    assert {term.bits for node in found.qgraph.nodes for term in getattr(node, "terms", ())} == {3}


def test_layers_are_pruned_in_turn_the_most_sensitive_first(result):
    order = [item.layer for item in result.sensitivities]
    drops = [item.drop for item in result.sensitivities]
    assert drops == sorted(drops, reverse=True)
    assert [item.layers for item in result.passes[: len(order)]] == [[name] for name in order]
    last = {}
    for number, item in enumerate(result.passes[:-1]):
        (layer,) = item.layers
        if layer in last:
            between = {other for later in result.passes[last[layer] + 1 : number] for other in later.layers}
            assert between or {other for later in result.passes[number:] for other in later.layers} == {layer}
        last[layer] = number


def test_a_pass_changes_the_zeros_of_its_layers_alone_and_each_prunes_more_than_the_last_that_was_kept(
    result,
):
    last = 0.0
    for item in result.passes[:-1]:
        assert item.pruned > last
        last = item.pruned if item.met else last


def test_a_step_is_halved_after_a_pass_that_failed_and_a_layer_ends_when_it_is_too_small(digits_graph, data):
    options = replace(OPTIONS, max_drop=0.0, max_sensitivity=100, least_step=0.2, passes=20)
    found = pruned(digits_graph, data, options, replace(TRAIN, epochs=0))
    for layer in ("conv1", "conv2", "scores"):
        steps = [(item.steps[0], item.met) for item in found.passes if item.layers == [layer]]
        expected = 1.0
        for step, met in steps:
            assert step == expected
            expected = step if met else step / 2
        assert len(steps) <= 3 or any(met for _, met in steps)
        assert not steps[-1][1]
    assert len(found.passes) < 20  # it ended because no layer was left
    assert found.after.integer >= found.before.integer


def test_all_together_is_an_option(digits_graph, data):
    found = pruned(digits_graph, data, replace(OPTIONS, order="together", passes=2), replace(TRAIN, epochs=1))
    assert found.passes[0].layers == [item.layer for item in found.sensitivities]
    steps = [dict(zip(item.layers, item.steps)) for item in found.passes]
    halved = 1 if found.passes[0].met else 0.5
    assert all(steps[1][layer] <= halved * steps[0][layer] for layer in steps[1])


def test_by_cycles_a_pass_prunes_the_layer_that_saves_most_for_what_it_costs(digits_graph, data):
    options = replace(OPTIONS, order="cycles", passes=1)
    found = pruned(digits_graph, data, options, replace(TRAIN, epochs=0))
    trials = Trials.of(digits_graph, *data[1], options)
    cuts = [trials.bearable(node, 1.0) for node in convolutions(digits_graph)]
    bargains = {cut.layer: trials.saved(cut) / max(cut.drop, 1 / 160) for cut in cuts}
    assert len(set(bargains.values())) == 3
    assert found.passes[0].layers == [max(bargains, key=bargains.get)]


def test_pruned_weights_are_whole_groups_of_zeros(result):
    for node in convolutions(result.graph):
        groups = GroupShape((4, 4)).cut(result.graph, node)
        zero = groups.zeros(node.weight)[groups.labels]
        assert np.array_equal(zero, node.weight == 0)
        assert not zero.all()


def test_the_same_arguments_prune_to_the_same_bits_and_another_seed_to_others(digits_graph, data, result):
    assert same(result.graph, pruned(digits_graph, data, WITH_END, TRAIN).graph)
    other = pruned(digits_graph, data, WITH_END, replace(TRAIN, seed=1))
    assert not same(result.graph, other.graph)


@pytest.mark.parametrize(
    "stop_at", [("sensitivity", 1), ("pass 1", 2), ("pass 2", 1), ("pass 4", 3), ("final", 7)]
)
def test_an_interrupted_pruning_goes_on_to_the_same_bits(digits_graph, data, result, tmp_path, stop_at):
    def stop(what, done, total, note=""):
        if (what, done) == stop_at:
            raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        pruned(digits_graph, data, WITH_END, TRAIN, checkpoint=path, progress=stop)
    stages = []
    resumed = pruned(
        digits_graph,
        data,
        WITH_END,
        TRAIN,
        checkpoint=path,
        resume=path.exists(),
        progress=lambda what, done, total, note="": stages.append((what, done)),
    )
    assert path.exists()
    assert same(resumed.graph, result.graph)
    assert (resumed.passes, resumed.sensitivities) == (result.passes, result.sensitivities)
    assert (resumed.before, resumed.after) == (result.before, result.after)
    if stop_at[0] != "sensitivity":
        assert "sensitivity" not in dict(stages)
        assert ("pass 1", 1) not in stages


def test_a_checkpoint_of_another_pruning_is_refused(digits_graph, data, tmp_path):
    path, once = tmp_path / "checkpoint", replace(OPTIONS, passes=1)
    pruned(digits_graph, data, once, replace(TRAIN, epochs=0), checkpoint=path)
    with pytest.raises(HwquantError, match=r"what differs: pruning options\)"):
        pruned(digits_graph, data, OPTIONS, replace(TRAIN, epochs=0), checkpoint=path, resume=True)
    with pytest.raises(
        HwquantError, match=r"what differs: calibration data, training data, validation data\)"
    ):
        pruned(digits_graph, data[::-1], once, replace(TRAIN, epochs=0), checkpoint=path, resume=True)
    with pytest.raises(HwquantError, match="resume needs the checkpoint"):
        pruned(digits_graph, data, OPTIONS, TRAIN, resume=True)


def test_nothing_but_the_network_comes_back_where_no_pass_holds(digits_graph, data):
    options = replace(OPTIONS, max_drop=0.0, step=1.0, passes=1)
    found = pruned(digits_graph, data, options, replace(TRAIN, epochs=0))
    assert [item.met for item in found.passes] == [False]
    assert pruned_share(found.graph) == 0
    assert found.after == found.before
    assert found.after.floating == accuracy(found.graph, data[1])


def test_layers_that_are_too_sensitive_stay_as_dense_as_they_were(digits_graph, data):
    options = replace(OPTIONS, max_sensitivity=3.0, least_step=1.0)
    found = pruned(digits_graph, data, options, replace(TRAIN, epochs=0))
    drops = {item.layer: item.drop for item in found.sensitivities}
    assert max(drops.values()) > 0.03 >= min(drops.values())
    first, *_ = (item.layers for item in found.passes)
    assert first == [next(layer for layer, drop in drops.items() if drop <= 0.03)]
    assert all(node.weight.all() for node in convolutions(found.graph) if node.name == "scores")
    with pytest.raises(HwquantError, match=r"every convolution is too sensitive: '.*' loses least"):
        pruned(digits_graph, data, replace(options, max_sensitivity=0.0), TRAIN)


def test_zeros_of_the_given_network_stay_zero(digits_graph, data):
    rng = np.random.default_rng(0)
    nodes = [
        replace(node, weight=node.weight * (rng.random(node.weight.shape) < 0.9))
        if node in convolutions(digits_graph)
        else node
        for node in digits_graph.nodes
    ]
    sparse = replace(digits_graph, nodes=tuple(nodes))
    found = pruned(sparse, data, replace(OPTIONS, passes=2, max_drop=10), TRAIN)
    for before, after in zip(convolutions(sparse), convolutions(found.graph)):
        assert not after.weight[before.weight == 0].any()


def test_above_prunes_the_strongest_groups_as_the_claim_literally_says(digits_graph, data):
    options = replace(OPTIONS, prune="above", order="together", max_drop=100, max_sensitivity=100, passes=1)
    found = pruned(digits_graph, data, options, replace(TRAIN, epochs=0))
    for before, after in zip(convolutions(digits_graph), convolutions(found.graph)):
        groups = GroupShape((4, 4)).cut(digits_graph, before)
        mean = groups.norms(before.weight) / groups.sizes
        zero = groups.zeros(after.weight)
        assert zero.any()
        assert mean[zero].min() > np.abs(before.weight).mean() > 0
        assert mean[zero].min() >= mean[~zero].max()


def test_a_layer_can_have_groups_and_a_threshold_of_its_own(digits_graph, data):
    options = replace(
        OPTIONS,
        group_size={"conv2": 2},
        filters={"conv2": 1},
        threshold_factor={"conv1": 1e-9, "scores": 1e-9},
        max_drop=100,
        passes=1,
    )
    found = pruned(digits_graph, data, options, TRAIN)
    zeros = {node.name: node.weight == 0 for node in convolutions(found.graph)}
    assert not zeros["conv1"].any()
    assert not zeros["scores"].any()
    pairs = zeros["conv2"].reshape(16, 4, 2, 3, 3)
    assert pairs.any()
    assert np.array_equal(pairs[:, :, 0], pairs[:, :, 1])
    with pytest.raises(HwquantError, match="filters names 'conv9', which is no convolution"):
        pruned(digits_graph, data, replace(OPTIONS, filters={"conv9": 1}), TRAIN)


def test_a_loader_a_loss_and_an_optimizer_of_the_user_are_used(digits_graph, data):
    (x, y), validation = data
    batches, losses, optimizers = [], [], []

    class Loader:
        def __iter__(self):
            batches.append(1)
            yield torch.tensor(x), torch.tensor(y)

    def loss(output, labels):
        losses.append(1)
        return torch.nn.functional.cross_entropy(output, labels)

    def optimizer(parameters):
        optimizers.append(torch.optim.SGD(parameters, lr=0.01))
        return optimizers[-1]

    options = replace(OPTIONS, passes=2)
    pruned(digits_graph, (Loader(), validation), options, loss=loss, optimizer=optimizer)
    assert (len(batches), len(losses), len(optimizers)) == (6, 6, 2)


def test_by_default_a_pass_trains_for_half_an_epoch(digits_graph, data):
    losses = []

    def loss(output, labels):
        losses.append(len(labels))
        return torch.nn.functional.cross_entropy(output, labels)

    pruned(digits_graph, data, replace(OPTIONS, passes=3), None, loss=loss)
    assert losses == [64, 64] * 3  # of 200 samples


def test_a_training_that_evaluates_is_refused_as_the_validation_samples_decide(digits_graph, data):
    with pytest.raises(HwquantError, match="leave evaluate out"):
        pruned(digits_graph, data, evaluate=lambda network: 1.0)


def test_reordering_leads_to_a_network_that_computes_what_was_measured(digits_graph, data):
    options = replace(OPTIONS, reorder=True, filters=1, passes=2)
    found = pruned(digits_graph, data, options, TRAIN)
    assert found.before.floating == accuracy(digits_graph, data[1])
    assert found.after.floating == accuracy(found.graph, data[1])
    assert found.after.integer == integer_accuracy(found.qgraph, data[1])
    assert found.after.cycles == timing(compile_network(found.qgraph, (4, 4))).cycles
    zeros = [term.weight == 0 for node in found.qgraph.nodes for term in getattr(node, "terms", ())]
    for node in convolutions(found.graph):
        assert any(zero.shape == node.weight.shape and zero[node.weight == 0].all() for zero in zeros)


def test_prune_then_progressive_with_mixed_bits_then_compile(result, data, digits_graph):
    train, (x, y) = data
    qgraph = progressive(
        result.graph,
        Training(train, TrainOptions(epochs=4, lr=1e-3, batch_size=16)),
        train[0],
        QuantizeOptions(bits={"conv1": 8, "conv2": 4, "scores": 6}),
    )
    for layer, node in zip(
        (item for item in qgraph.nodes if hasattr(item, "terms")), convolutions(result.graph)
    ):
        (term,) = layer.terms
        assert not term.weight[node.weight == 0].any()
        assert np.array_equal(term.mask, node.weight != 0)
    program = compile_network(qgraph, (4, 4))
    zeros = [
        GroupShape((4, 4)).cut(result.graph, node).zeros(node.weight) for node in convolutions(result.graph)
    ]
    assert [layer.tiles_skipped for layer in program.layers] >= [int(zero.sum()) for zero in zeros]
    assert sum(layer.tiles_skipped for layer in program.layers) > 0
    assert (golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean() > result.after.integer - 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold_factor": 0.0}, "threshold_factor must be above 0, not 0.0"),
        ({"threshold_factor": {"conv1": -1.0}}, "threshold_factor of 'conv1' must be above 0, not -1.0"),
        ({"prune": "middle"}, "prune must be one of below, above"),
        ({"step": 0.0}, "step must be above 0 and at most 1"),
        ({"least_step": 0.5, "step": 0.4}, r"least_step must be at most step, 0\.4, not 0\.5"),
        ({"order": "random"}, "order must be one of sensitivity, cycles, together"),
        ({"max_drop": -1.0}, "max_drop must be from 0 to 100 points"),
        ({"passes": 0}, "passes must be at least 1"),
        ({"group_size": 0}, "size of a group must be at least 1"),
        ({"array": (8, 99)}, "columns must be 2..32"),
    ],
)
def test_bad_options_are_refused(changes, message):
    with pytest.raises(HwquantError, match=message):
        PruneOptions(**changes)
