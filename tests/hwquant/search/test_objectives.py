"""What candidates are judged by."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from hwquant import golden
from hwquant.boards.board import load_board
from hwquant.boards.fit import choose_array
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.qgraph import Layer
from hwquant.report import make_report
from hwquant.search.evaluate import evaluate, quantize_candidate
from hwquant.search.objectives import OBJECTIVES, Trial

ALL = tuple(OBJECTIVES)


def test_every_objective_is_what_the_compiled_network_says(make_task):
    task = make_task(measured=ALL, board="ulx3s-12f")
    outcome = evaluate(task, (4, 2, 8))
    qgraph = quantize_candidate(task, (4, 2, 8))
    program = compile_network(qgraph, (8, 8))
    report, biases = make_report(program), program.config.parameter_depth * program.config.accumulator_bits
    fit = choose_array(qgraph, load_board("ulx3s-12f"), (8, 8))
    taken = SimpleNamespace(**{need.resource: need.needed for need in fit.chosen.needs})
    points = {name: tensor.zero_point for name, tensor in qgraph.tensors.items()}
    right = golden.predict(qgraph, task.test.x)[0].argmax(axis=1) == task.test.y
    weights = [term.codes for node in qgraph.nodes for term in getattr(node, "terms", ())]
    assert outcome.measures == {
        "accuracy": right.mean(),
        "cycles": report.cycles,
        "weight_bytes": -(-(report.memory_bits["weight"] + biases) // 8),
        "memory_bytes": -(-sum(report.memory_bits.values()) // 8),
        "weight_bits": sum(bits * codes.size for bits, codes in zip((4, 2, 8), weights, strict=True))
        + sum(needed_bits(node.constant(points)) for node in qgraph.nodes if isinstance(node, Layer)),
        "lut": taken.lut,
        "ff": taken.ff,
        "dsp": taken.dsp,
        "ram": taken.ram,
        "milliseconds": report.cycles / (fit.clock_mhz * 1e3),
        "fill": fit.chosen.worst.excess,
    }


def needed_bits(constants):
    """Bits of integers without the low bits that are zero in all of them, counted one by one."""
    zeros = 0
    while any(constants) and not any(value >> zeros & 1 for value in constants.tolist()):
        zeros += 1
    least = min(
        n for n in range(1, 64) if all(-(1 << n - 1) <= value < 1 << n - 1 for value in constants.tolist())
    )
    return len(constants) * (least - zeros)


def test_narrow_biases_count_in_bits_and_in_the_parameter_memory(make_task):
    task = make_task(biases=(7, 32), measured=("weight_bits", "weight_bytes", "memory_bytes"))
    wide, narrow = (evaluate(task, (4, 4, 4, bits, bits, bits)).measures for bits in (32, 7))
    assert all(narrow[name] < wide[name] for name in wide)


def test_resources_need_a_board(make_task):
    with pytest.raises(HwquantError, match="resources are those of a board"):
        evaluate(make_task(measured=("lut",)), (4, 2, 8))


def test_a_task_with_a_board_goes_to_other_processes(make_task):
    task = make_task(board="icebreaker", measured=("fill",))
    again = pickle.loads(pickle.dumps(task))  # what workers are sent; no file is read so
    assert evaluate(again, (8, 8, 8)) == evaluate(task, (8, 8, 8))


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
    # Compensation leaves less noise at 4 bits than the ranges of 40 images.
    task = make_task(measured=("weight_bytes", "weight_bits", "memory_bytes"), error_compensation=False)
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


def test_noise_is_finite_where_the_float_networks_output_does_not_vary(digits_qgraph, few):
    exact = golden.predict(digits_qgraph, few.x[:1])[0] + 100.0
    assert Trial(digits_qgraph, few[:1], exact, (8, 8)).noise == np.finfo(float).max


def test_accuracy_needs_labels(digits_qgraph, few):
    trial = Trial(digits_qgraph, Samples(few.x, None), np.zeros((len(few), 10)), (8, 8))
    with pytest.raises(HwquantError, match="no labels y"):
        OBJECTIVES["accuracy"].measure(trial)
