"""What software knows of a core: its tables lay out frames, and read results, as the program does."""

import base64
import json
import zlib

import numpy as np
import pytest
from hwquant_testing.small_networks import Net
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.driver.description import core_description
from hwquant.golden import run
from hwquant.program.compiler import compile_network
from hwquant.program.layout import words_to_integers
from hwquant.random_networks import random_inputs, random_qgraph


def table(text):
    return np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4"), dtype=np.int64)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 30))
@pytest.mark.parametrize("array", [(3, 5), (2, 2, 3)])
def test_tables_are_the_layouts_of_the_program(array, seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng)
    program = compile_network(qgraph, array)
    q = random_inputs(rng, qgraph, 2)
    description = json.loads(core_description(qgraph, program, 8, 8))
    constants = np.array(description["constants"], np.int64)
    expected = run(qgraph, q)
    words = np.concatenate([item.to_words(expected[item.name]) for item in program.outputs], axis=1)
    for sample, frame in enumerate(program.frame(q)):
        flat = np.concatenate(
            [*(q[item["name"]][sample].ravel() for item in description["inputs"]), constants]
        )
        np.testing.assert_array_equal(flat[table(description["frame"])], frame.ravel())
        for item, output in zip(description["outputs"], qgraph.outputs):
            tensor = expected[output.tensor][sample].ravel()
            given = words[sample].ravel()[table(item["words"])]
            np.testing.assert_array_equal(given, tensor if output.order is None else tensor[output.order])


def test_sizes_are_those_of_the_core():
    net = Net(x=(6, 1, 1))
    net.conv("x", 5)
    qgraph = net.build()
    program = compile_network(qgraph, (3, 4), batch=2)
    description = json.loads(core_description(qgraph, program, 4, 8))
    assert (description["beat_bytes"], description["word_bytes"], description["batch"]) == (4, 8, 2)
    frame = program.frame({"x": np.zeros((2, 6, 1, 1), np.int64)})[0]
    assert description["beats"] == len(words_to_integers(frame, 8))
    assert description["checksum"] == program.checksum
    assert description["memory_bytes"] == 0


def test_the_same_network_gives_the_same_text():
    qgraph = random_qgraph(np.random.default_rng(1))
    program = compile_network(qgraph, (3, 5))
    assert core_description(qgraph, program, 8, 8) == core_description(qgraph, program, 8, 8)
