"""Plans of networks that do not fit inside: they compute what the golden model does, and the hardware can do it."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.banded_networks import CORNERS, inverted_residuals, stem
from hwquant_testing.small_networks import Net
from hwquant_testing.stepwise import assert_right, check, planned, smallest, words_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.errors import DoesNotFit
from hwquant.program.compilation import lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.planner import halves
from hwquant.program.steps import Compute, Load, Receive, Send, Store, Wait
from hwquant.random_networks import Features, random_qgraph

EVERYTHING = Features(
    layers=(1, 5),
    size=(5, 14),
    channels=(1, 9),
    outputs=3,
    pool_chains=True,
    products=True,
    copies=True,
    tables=0.2,
    multiplier=True,
)
ARRAYS = ((2, 2), (3, 3), (4, 4), (2, 4), (4, 2))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 30), st.sampled_from(ARRAYS), st.floats(0.02, 0.4))
def test_a_random_network_in_small_halves_computes_what_the_golden_model_does(seed, array, share):
    rng = np.random.default_rng(seed)
    features = replace(EVERYTHING, inputs=1 + seed % 2, fully_connected=bool(seed & 2))
    qgraph = random_qgraph(rng, features)
    assert_right(qgraph, *smallest(qgraph, array, share), seed)


@pytest.mark.parametrize("array", [(2, 2), (4, 3)])
@pytest.mark.parametrize("name", CORNERS)
def test_corners_of_geometry_compute_what_the_golden_model_does_in_halves_of_any_size(name, array):
    qgraph = CORNERS[name]()
    seen = set()
    for share in (0.01, 0.1, 0.2, 0.4):
        plan, lanes, sizes = smallest(qgraph, array, share)
        assert_right(qgraph, plan, lanes, sizes)
        seen.add(len(plan.layers))
    assert max(seen) > len(lowered_network(qgraph))  # the smallest halves ask for bands


def test_bands_may_be_of_one_row():
    net = Net(x=(2, 8, 16))
    qgraph = net.build(net.conv("x", 2, (3, 1), padding=(1, 0, 1, 0)))
    # Three rows of the input, and one of the output.
    plan, lanes = planned(qgraph, (2, 2), (48, 16))
    assert_right(qgraph, plan, lanes, (48, 16))
    assert [layer.pixels[0] for layer in plan.layers] == [1] * 8


def test_what_fits_stays_inside():
    qgraph = stem()
    plan, lanes = planned(qgraph, (4, 4), (4000, 4000))
    assert_right(qgraph, plan, lanes, (4000, 4000))
    assert not any(isinstance(step, Load | Store | Wait) for step in plan.steps)
    assert plan.outside_words == 0
    assert len(plan.layers) == len(lowered_network(qgraph))


@pytest.mark.parametrize("seed", range(8))
def test_what_fits_to_the_word_stays_inside(seed):
    """Halves begin where an address says so, but a memory that is whole has all of its words."""
    features = Features(layers=(1, 3), size=(1, 7), channels=(1, 6))
    qgraph = random_qgraph(np.random.default_rng(seed), features)
    memory = ExternalMemory(32)
    program = compile_network(qgraph, (3, 3), external=memory)
    limits = {"activation_depth": program.config.activation_depth}
    again = compile_network(qgraph, (3, 3), external=memory, limits=limits)
    assert (again.config, again.words) == (program.config, program.words)


def test_layers_hand_on_pieces_where_that_saves_moves():
    qgraph = inverted_residuals()
    plan, lanes = planned(qgraph, (4, 4), (150, 150))
    assert_right(qgraph, plan, lanes, (150, 150))
    wide = words_of(qgraph.tensors["layer0"], lanes)
    assert wide > 300
    assert "layer0" not in plan.outside
    assert "layer1" not in plan.outside


def test_loads_come_while_the_band_before_is_computed():
    net = Net(x=(2, 40, 8))
    qgraph = net.build(net.conv("x", 2, (3, 3), padding=(1, 1, 1, 1)))
    plan, lanes = planned(qgraph, (2, 2), (200, 150))
    assert_right(qgraph, plan, lanes, (200, 150))
    steps = [step for step in plan.steps if not isinstance(step, Receive | Send)]
    first = next(index for index, step in enumerate(steps) if isinstance(step, Compute))
    waits = [index for index, step in enumerate(steps) if isinstance(step, Wait) and index > first]
    issued = sum(isinstance(step, Load | Store) for step in steps[: waits[0]])
    over = next(step.moves for step in reversed(steps[:first]) if isinstance(step, Wait))
    assert issued > over  # a load is under way beside the first band


def test_a_row_that_is_too_large_is_refused_with_the_layers_name():
    net = Net(x=(2, 4, 100))
    qgraph = net.build(net.conv(net.conv("x", 2), 2))
    with pytest.raises(
        DoesNotFit, match="layer 'layer0' cannot be computed in bands: a row of its output"
    ) as caught:
        planned(qgraph, (2, 2), (90, 90))
    assert caught.value.resource == "activation_depth"


def test_a_wait_that_is_left_out_is_found():
    """The checker is one: every wait of a plan is needed."""
    qgraph = inverted_residuals()
    plan, lanes = planned(qgraph, (4, 4), (100, 100))
    check(plan, qgraph, lanes, (100, 100))
    places = [index for index, step in enumerate(plan.steps) if isinstance(step, Wait)]
    assert len(places) > 5
    for index in places:
        with pytest.raises(AssertionError):
            check(
                replace(plan, steps=(*plan.steps[:index], *plan.steps[index + 1 :])),
                qgraph,
                lanes,
                (100, 100),
            )


@pytest.mark.parametrize("seed", range(3))
def test_the_same_network_has_the_same_plan(seed):
    qgraph = random_qgraph(np.random.default_rng(seed), EVERYTHING)
    one, other = (smallest(qgraph, (3, 3), 0.1)[0] for _ in range(2))
    assert one.pieces == other.pieces
    assert [str(step) for step in one.steps if not isinstance(step, Compute)] == [
        str(step) for step in other.steps if not isinstance(step, Compute)
    ]


HALVES = {
    None: None,
    1: None,
    2: (1, 1),
    100: (64, 36),
    130: (64, 64),
    1300: (512, 512),
    2500: (1024, 1024),
    4000: (2048, 1952),
    12288: (6144, 6144),
    12000: (6144, 5856),
}


@pytest.mark.parametrize(("words", "expected"), HALVES.items())
def test_the_halves_of_a_memory_are_about_alike(words, expected):
    assert halves(None, words) == expected


@given(st.integers(4, 10000))
def test_hardware_may_have_its_memory_in_these_halves(words):
    half, second = halves(None, words)
    assert half + second <= words
    assert min(half, second) >= words // 5
    config = ArrayConfig(
        rows=2,
        columns=2,
        activation_bits=8,
        weight_bits=8,
        adjusted_bits=8,
        offset="none",
        offset_bits=1,
        external_bits=64,
        external_address_bits=10,
        activation_depth=half + second,
        half_depth=half,
    )
    assert halves(config, half + second) == (half, second)
    assert halves(replace(config, half_depth=0), words) is None
