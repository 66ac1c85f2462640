"""Random ONNX networks and mutations of them: right, or refused by name, soon and in little memory.

``HWQUANT_FUZZ_CASES`` is the number of networks, and as many mutations, that the nightly tests make;
``HWQUANT_FUZZ_SEED`` the first seed. A failure names its seed.
"""

import os
from collections import Counter

import onnx
import pytest
from hwquant_testing.limits import limited
from hwquant_testing.onnx_mutations import mutated
from hwquant_testing.onnx_networks import generate
from hwquant_testing.onnx_oracle import disagreement

from hwquant.errors import Damaged, HwquantError
from hwquant.frontends import load_model
from hwquant.frontends.onnx_reader import read_onnx
from hwquant.graph import Graph

CASES = int(os.environ.get("HWQUANT_FUZZ_CASES", "10000"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "1000000"))
TOGETHER = 25
"""Cases that share the limits meant for one: to measure costs more than to import."""


def imported(seed, function, argument):
    """The graph, or the refusal; whatever else is raised names the seed."""
    try:
        return function(argument)
    except HwquantError as error:
        return error
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


def outcomes(first, count, prepare, function):
    """Import what ``prepare`` makes of each seed, compare what is accepted, and count."""
    counts = Counter()
    for start in range(first, first + count, TOGETHER):
        seeds = range(start, min(start + TOGETHER, first + count))
        with limited():
            results = [(seed, *prepare(seed)) for seed in seeds]
            results = [(seed, model, imported(seed, function, item)) for seed, model, item in results]
        for seed, model, graph in results:
            counts[type(graph).__name__] += 1
            assert not (function is read_onnx and isinstance(graph, Damaged)), f"seed {seed}: {graph}"
            if isinstance(graph, Graph):
                found = disagreement(model or onnx.load(prepare(seed)[1]), graph, seed)
                assert found is None, f"seed {seed}: {found}"
    print(dict(counts))
    return counts


def networks(first, count):
    """Valid networks: none may be called invalid, and one in ten at most be refused."""

    def prepare(seed):
        model = generate(seed)
        return model, model

    assert outcomes(first, count, prepare, read_onnx)["Graph"] >= 0.9 * count


def mutations(first, count, folder):
    """Files that hold mutations of such networks."""

    def prepare(seed):
        path = folder / f"{seed % TOGETHER}.onnx"
        path.write_bytes(mutated(generate(seed), seed))
        return None, path

    assert outcomes(first, count, prepare, load_model)["Graph"] >= 0.1 * count


@pytest.mark.parametrize("block", range(4))
def test_random_networks_are_right_or_refused(block):
    networks(250 * block, 250)


@pytest.mark.parametrize("block", range(4))
def test_mutated_files_are_right_or_refused(block, tmp_path):
    mutations(250 * block, 250, tmp_path)


@pytest.mark.nightly
def test_many_random_networks_are_right_or_refused():
    networks(SEED, CASES)


@pytest.mark.nightly
def test_many_mutated_files_are_right_or_refused(tmp_path):
    mutations(SEED, CASES, tmp_path)
