"""What candidates are judged by."""

import numpy as np
import pytest

from hwquant import golden
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.report import make_report
from hwquant.search.evaluate import evaluate, quantize_candidate
from hwquant.search.objectives import OBJECTIVES, Trial

ALL = tuple(OBJECTIVES)


def test_every_objective_is_what_the_compiled_network_says(make_task):
    task = make_task(measured=ALL)
    outcome = evaluate(task, (4, 2, 8))
    qgraph = quantize_candidate(task, (4, 2, 8))
    report = make_report(compile_network(qgraph, (8, 8)))
    right = golden.predict(qgraph, task.test.x)[0].argmax(axis=1) == task.test.y
    weights = [term.codes for node in qgraph.nodes for term in getattr(node, "terms", ())]
    assert outcome.measures == {
        "accuracy": right.mean(),
        "cycles": report.cycles,
        "weight_bytes": -(-report.memory_bits["weight"] // 8),
        "memory_bytes": -(-sum(report.memory_bits.values()) // 8),
        "weight_bits": sum(bits * codes.size for bits, codes in zip((4, 2, 8), weights, strict=True)),
    }


def test_pruned_weights_have_no_weight_bits(digits_qgraph, few):
    from dataclasses import replace

    first, *rest = digits_qgraph.nodes
    mask = np.zeros(first.terms[0].codes.shape, bool)
    mask[0] = True
    pruned = replace(first, terms=(replace(first.terms[0], mask=mask),))
    exact = np.zeros((len(few), 10))
    dense, sparse = (
        OBJECTIVES["weight_bits"].measure(Trial(network, few, exact, (8, 8)))
        for network in (digits_qgraph, replace(digits_qgraph, nodes=(pruned, *rest)))
    )
    assert dense - sparse == 8 * (~mask).sum()


def test_fewer_bits_make_more_noise_and_less_memory(make_task):
    task = make_task(
        measured=ALL, error_compensation=False
    )  # which leaves less noise at 4 bits than 40 images' ranges
    outcomes = [evaluate(task, (bits,) * 3) for bits in (8, 4, 2)]
    assert outcomes[0].noise < outcomes[1].noise < outcomes[2].noise
    for name in ("weight_bytes", "weight_bits", "memory_bytes"):
        values = [outcome.measures[name] for outcome in outcomes]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 3


def test_noise_of_classes_is_the_share_that_differs(digits_qgraph, few):
    from dataclasses import replace

    output = replace(digits_qgraph.outputs[0], host=("argmax",))
    classes = replace(digits_qgraph, outputs=(output,))
    exact = golden.predict(classes, few.x)[0]
    exact[:3] = (exact[:3] + 1) % 10
    assert Trial(classes, few, exact, (8, 8)).noise == 3 / len(few)


def test_accuracy_needs_labels(digits_qgraph, few):
    trial = Trial(digits_qgraph, Samples(few.x, None), np.zeros((len(few), 10)), (8, 8))
    with pytest.raises(HwquantError, match="no labels y"):
        OBJECTIVES["accuracy"].measure(trial)
