"""Progressive quantization, and all at once."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from hwquant import golden
from hwquant.errors import HwquantError
from hwquant.graph import Add, AveragePool, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.quantize.fuse import plan_layers
from hwquant.training import (
    ProgressiveOptions,
    Training,
    TrainOptions,
    TuneOptions,
    finetune_all_at_once,
    progressive,
)
from hwquant.training.subnetworks import cut
from hwquant.window import Window

QUICK = TrainOptions(epochs=4, batch_size=16, lr=2e-3)
LITERAL = ProgressiveOptions(literal=True)


def score(qgraph, x, y):
    return float((golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean())


def equal(first, second):
    """Whether two integer networks are the same, bit for bit."""
    for mine, other in zip(first.nodes, second.nodes, strict=True):
        if hasattr(mine, "terms"):
            pairs = zip(mine.terms, other.terms, strict=True)
            if not np.array_equal(mine.bias, other.bias) or not np.array_equal(mine.shift, other.shift):
                return False
            if not all(
                np.array_equal(a.codes, b.codes) and np.array_equal(a.scale, b.scale) for a, b in pairs
            ):
                return False
    return True


def cross_entropy(qgraph, x, y):
    return float(
        torch.nn.functional.cross_entropy(torch.tensor(golden.predict(qgraph, x)[0]), torch.tensor(y))
    )


METHODS = {
    "progressive": progressive,
    "literal": partial(progressive, stages=ProgressiveOptions(literal=True)),
    "one round": partial(progressive, stages=ProgressiveOptions(rounds=1)),
    "all at once": finetune_all_at_once,
}


@pytest.mark.parametrize("method", METHODS)
def test_fine_tuning_makes_up_for_what_weights_lack(digits_graph, digits, method):
    train, _, calibration = digits
    rng = np.random.default_rng(0)
    noisy = tuple(
        replace(node, weight=node.weight + rng.normal(0, node.weight.std(), node.weight.shape))
        if isinstance(node, Conv)
        else node
        for node in digits_graph.nodes
    )
    graph, options = replace(digits_graph, nodes=noisy), QuantizeOptions(bits=4)
    direct = cross_entropy(quantize(graph, calibration, options), *train)
    # What the noisy network says is not worth learning.
    tuned = METHODS[method](
        graph, Training(train, QUICK, tuning=TuneOptions(distill=0)), calibration, options
    )
    assert cross_entropy(tuned, *train) < 0.5 * direct


@pytest.mark.parametrize("literal", [False, True])
def test_stages_freeze_the_shares_that_were_asked_for(digits_graph, digits, literal):
    train, _, calibration = digits
    reported = []
    training = Training(
        train,
        replace(QUICK, epochs=1.0),
        evaluate=lambda network: 0.25,
        progress=lambda *arguments: reported.append(arguments),
    )
    stages = ProgressiveOptions(fraction=0.4, rounds=3, literal=literal)
    qgraph = progressive(digits_graph, training, calibration, QuantizeOptions(bits=4), stages)
    report = qgraph.options["progressive"]
    names = ["sub-network 1/3", "sub-network 2/3", "sub-network 3/3", "round 1/3", "round 2/3", "round 3/3"]
    weights = [node.weight.size for node in digits_graph.nodes if isinstance(node, Conv)]
    expected = [*(np.cumsum(weights) * 0.4 / sum(weights)), 0.64, 0.784, 1.0]
    rows, trained = report["stages"], names[:-1]
    if not literal:
        assert rows[0]["name"] == "all at once"
        assert rows[0]["frozen"] == 0.0
        rows, trained = rows[1:], ["all at once", *names]
    assert [stage["name"] for stage in rows] == names
    np.testing.assert_allclose([stage["frozen"] for stage in rows], expected, atol=1e-3)
    assert all(stage["loss"] > 0 and stage["score"] == 0.25 for stage in rows[: len(trained)][:5])
    assert [(what, done, total) for what, done, total, _ in reported] == [(name, 1, 1) for name in trained]
    assert all(note.endswith(", accuracy 25.00%") for *_, note in reported)
    assert report["training"]["epochs"] == 1.0
    assert (report["fraction"], report["rounds"], report["subnetworks"]) == (0.4, 3, 3)
    assert {"quantizer", "layers", "tensors", "calibration_samples"} <= qgraph.options.keys()


@pytest.mark.parametrize("literal", [False, True])
def test_what_is_frozen_keeps_its_bits_through_all_stages_and_into_the_result(digits_graph, digits, literal):
    train, _, calibration = digits
    seen = []

    def look(network):
        frozen = {node: network.frozen(node).clone() for node in network.convolutions}
        seen.append({node: (frozen[node], network.integers(node)[frozen[node]].clone()) for node in frozen})
        look.network = network
        return 0.0

    training = Training(train, replace(QUICK, weight_decay=0.1), evaluate=look)
    stages = ProgressiveOptions(literal=literal)
    qgraph = progressive(digits_graph, training, calibration, QuantizeOptions(bits=3), stages)
    last = {node.terms[0].input: node.terms[0].weight for node in qgraph.nodes if hasattr(node, "terms")}
    assert len(seen) >= 3
    kept = qgraph.options["progressive"]["guard"]["returned"] == "trained"
    assert kept or not literal
    for state in seen:
        for layer, (node, (frozen, integers)) in zip(look.network.plan.layers, state.items(), strict=True):
            assert torch.equal(look.network.integers(node)[frozen], integers)
            assert not kept or np.array_equal(last[layer.terms[0].input][frozen.numpy()], integers.numpy())


def test_pruned_weights_and_mixed_bits_go_into_the_result(digits_graph, digits):
    train, (x, y), calibration = digits
    rng = np.random.default_rng(0)
    masks = {"conv1": rng.random((8, 1, 3, 3)) < 0.8, "conv2": rng.random((16, 8, 3, 3)) < 0.6}
    nodes = tuple(
        replace(node, weight=node.weight * masks[node.name]) if node.name in masks else node
        for node in digits_graph.nodes
    )
    options = QuantizeOptions(
        bits={"conv1": 6, "conv2": 3}, activation_bits={"pool": 4}, per_channel=True, anchor="max"
    )
    pruned = replace(digits_graph, nodes=nodes)
    training = Training(train, replace(QUICK, weight_decay=0.01))
    qgraph = progressive(pruned, training, calibration, options, ProgressiveOptions(subnetworks=2))
    terms = [node.terms[0] for node in qgraph.nodes if hasattr(node, "terms")]
    assert [term.bits for term in terms] == [6, 3, 8]
    assert [term.anchor for term in terms] == ["max"] * 3
    assert [term.scale.size for term in terms] == [8, 16, 10]
    assert {name: tensor.bits for name, tensor in qgraph.tensors.items()}["pool"] == 4
    for term, mask in zip(terms, masks.values()):
        assert np.array_equal(term.mask, mask)
        assert not term.weight[~mask].any()
    assert terms[2].mask is None
    assert score(qgraph, x, y) > 0.9


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("method", ["progressive", "literal", "all at once"])
@pytest.mark.parametrize("after", [1, pytest.param(5, marks=pytest.mark.nightly)])
def test_a_resumed_quantization_ends_with_the_same_bits(digits_graph, digits, tmp_path, method, after):
    train, _, calibration = digits
    training = Training(train, replace(QUICK, epochs=9, lr=None if after == 1 else 2e-3))

    def run(**changes):
        return METHODS[method](
            digits_graph, replace(training, **changes), calibration, QuantizeOptions(bits=3)
        )

    whole = run()
    path, reports = tmp_path / "checkpoint", []

    def stop(*arguments):
        reports.append(arguments)
        if len(reports) > after:  # before the epoch is saved
            raise Interrupt

    with pytest.raises(Interrupt):
        run(progress=stop, checkpoint=path)
    resumed = run(checkpoint=path, resume=True)
    assert equal(resumed, whole)
    assert resumed.options == whole.options
    again = run(checkpoint=path, resume=True)  # nothing is left to do
    assert equal(again, whole)
    assert again.options == whole.options


def test_the_checkpoint_of_another_call_is_refused(digits_graph, digits, tmp_path):
    train, _, calibration = digits
    path = tmp_path / "checkpoint"
    short = replace(QUICK, epochs=0.5)
    four = QuantizeOptions(bits=4)
    progressive(digits_graph, Training(train, short, checkpoint=path), calibration, four)

    def resume(data=train, options=four, training=short, method=progressive, **others):
        graph, seen = others.pop("graph", digits_graph), others.pop("seen", calibration)
        method(graph, Training(data, training, checkpoint=path, resume=True, **others), seen, options)

    # The same weights, but not the same network.
    clamped = [replace(node, high=5.0) if node.name == "relu1" else node for node in digits_graph.nodes]
    changed = {
        "network": {"graph": replace(digits_graph, nodes=tuple(clamped))},
        "calibration data": {"seen": calibration[:-1]},
        "quantizer options": {"options": QuantizeOptions(bits=3)},
        "training options": {"training": replace(short, lr=0.1)},
        "training data": {"data": (train[0], train[1][::-1])},
        "tuning options": {"tuning": TuneOptions(distill=2)},
        "validation data": {"validation": (train[0][:9], train[1][:9])},
        "loss": {"loss": torch.nn.functional.cross_entropy},
        "optimizer": {"optimizer": torch.optim.Adagrad},
    }
    for name, others in changed.items():
        with pytest.raises(HwquantError, match=rf"what differs: {name}\)"):
            resume(**others)
    with pytest.raises(HwquantError, match="what differs: method, quantizer options"):
        resume(method=finetune_all_at_once)
    with pytest.raises(HwquantError, match="resume needs the checkpoint to resume from"):
        Training(train, resume=True)


def test_a_training_without_epochs_is_quantization_with_compensation(digits_graph, digits):
    train, (x, y), calibration = digits
    training = Training(train, TrainOptions(epochs=0))
    untrained = progressive(digits_graph, training, calibration, QuantizeOptions(bits=3))
    assert score(untrained, x, y) > 0.9
    assert [stage["loss"] for stage in untrained.options["progressive"]["stages"]] == [None] * 6
    assert untrained.options["progressive"]["guard"]["best"] == "compensated"
    assert equal(untrained, quantize(digits_graph, calibration, bits=3, error_compensation=True))


def test_sub_networks_are_consecutive_layers_and_pools_go_with_the_next():
    rng = np.random.default_rng(0)
    nodes = (
        Conv("c1", ("x",), rng.normal(size=(4, 3, 3, 3)), np.zeros(4), Window((3, 3))),
        AveragePool("p1", ("c1",), Window((2, 2), (2, 2))),
        Conv("c2", ("p1",), rng.normal(size=(4, 4, 1, 1)), np.zeros(4)),
        Add("a", ("c2", "p1")),
        Conv("c3", ("a",), rng.normal(size=(4, 4, 1, 1)), np.zeros(4)),
        AveragePool("p3", ("c3",), Window((3, 3), (1, 1))),
    )
    graph = Graph("g", (Input("x", (3, 8, 8), (3, 8, 8)),), nodes, (Output("y", "p3", (4,)),))
    plan = plan_layers(graph)

    def names(count):
        return [[layer.name for layer in part] for part in cut(plan, count)]

    assert names(None) == [["c1"], ["p1", "a"], ["c3", "p3"]]
    assert names(2) == [["c1", "p1", "a"], ["c3", "p3"]]
    assert names(1) == [["c1", "p1", "a", "c3", "p3"]]
    for count in (0, 4, 1.5):
        with pytest.raises(HwquantError, match="subnetworks must be an integer from 1 to 3"):
            cut(plan, count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fraction": 0}, "fraction must be above 0 and at most 1, not 0"),
        ({"fraction": 1.5}, "fraction must be above 0 and at most 1, not 1.5"),
        ({"rounds": 0}, "rounds must be an integer of at least 1, not 0"),
        ({"subnetworks": 0}, "subnetworks must be an integer of at least 1, not 0"),
    ],
)
def test_arguments_out_of_range_are_refused(change, message):
    with pytest.raises(HwquantError) as error:
        ProgressiveOptions(**change)
    assert str(error.value) == message
