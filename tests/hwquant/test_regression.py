"""The random regression: compiled networks in compiled hardware, against the golden model and the cycle model.

Every tensor that a layer writes, every output, every counter: bit for bit and cycle for cycle. What fails
prints its configuration and its seed; ``network(*SEED)`` brings it back.
"""

import os
import shutil
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from hwquant_testing.seeds import nightly

from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.random_networks import random_case
from hwquant.random_networks.families import features_for
from hwquant.regress import Case, evaluate
from hwquant.sim import Stalls, simulate

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="CXXRTL is compiled by g++ (Debian: apt install g++)"
)

SEEDS, IMAGES = 6, 2

DEPTHS = {
    "accumulator_bits": 32,
    "accumulator_depth": 64,
    "coordinate_bits": 8,
    "activation_depth": 4096,
    "weight_depth": 50000,
    "parameter_depth": 2048,
    "program_depth": 60000,
    "overlap": True,
}
SHALLOW = {"weight_depth": 16384, "program_depth": 2048}
"""For few networks: what a simulator takes to be made grows with its memories, and networks take next to nothing."""
MULTIPLIER = {"multiplier_bits": 18, "shift_bits": 6}
SEPARATE = {"window_sums": True, "tap_depth": 40}
BY_CHANNEL = {"channel_offsets": True}
CONFIGS = {
    "2x2, 9 accumulators, window sums": ArrayConfig(
        2, 2, window_sums=True, **DEPTHS | {"accumulator_depth": 9}
    ),
    "2x9": ArrayConfig(2, 9, **DEPTHS),
    "7x2, 3001 words": ArrayConfig(7, 2, **DEPTHS | {"activation_depth": 3001}),
    "8x8, sum": ArrayConfig(8, 8, offset="sum", **DEPTHS),
    "3x7, channel offsets": ArrayConfig(3, 7, **BY_CHANNEL, **DEPTHS),
    "8x3, sum, channel offsets": ArrayConfig(8, 3, offset="sum", **BY_CHANNEL, **DEPTHS),
    "6x7, no offsets": ArrayConfig(6, 7, offset="none", **DEPTHS),
    "12x8, multiplier": ArrayConfig(12, 8, **MULTIPLIER, **DEPTHS),
    "5x4, sum, multiplier": ArrayConfig(5, 4, offset="sum", **MULTIPLIER, **DEPTHS),
    "9x5, depthwise": ArrayConfig(9, 5, tap_lines=3, **SEPARATE, **DEPTHS),
    "8x4, depthwise, channel offsets": ArrayConfig(8, 4, tap_lines=2, **SEPARATE, **BY_CHANNEL, **DEPTHS),
    "4x12, channel offsets, multiplier": ArrayConfig(4, 12, **BY_CHANNEL, **MULTIPLIER, **DEPTHS),
    "8x8, two rows a word and a cycle": ArrayConfig(8, 8, weight_packing=2, load_rows=2, **DEPTHS),
    "13x3, sum, eight rows a word, four a cycle": ArrayConfig(
        13, 3, offset="sum", weight_packing=8, load_rows=4, **DEPTHS
    ),
    "8x4, sum, channel offsets, four rows a word": ArrayConfig(
        8, 4, offset="sum", weight_packing=4, **BY_CHANNEL, **DEPTHS
    ),
    "9x5, depthwise, channel offsets, four rows a word and a cycle": ArrayConfig(
        9, 5, tap_lines=3, weight_packing=4, load_rows=4, **SEPARATE, **BY_CHANNEL, **DEPTHS
    ),
}
NIGHTLY = {
    *(
        "2x9",
        "7x2, 3001 words",
        "3x7, channel offsets",
        "12x8, multiplier",
        "8x4, depthwise, channel offsets",
    ),
    "8x8, two rows a word and a cycle",
}
"""What others have as well, and only the long regression runs."""
PRODUCTS = {"product_bits": 8}
EVERYTHING = {**PRODUCTS, "strided_writes": True, "table_bits": 10, "tables": 24}
RICH_CONFIGS = {
    "9x5, depthwise, channel offsets, multiplier, two rows a word and a cycle": ArrayConfig(
        9,
        5,
        tap_lines=3,
        weight_packing=2,
        load_rows=2,
        **SEPARATE,
        **BY_CHANNEL,
        **MULTIPLIER,
        **EVERYTHING,
        **DEPTHS,
    ),
    "3x13, sum, window sums": ArrayConfig(3, 13, offset="sum", window_sums=True, **EVERYTHING, **DEPTHS),
}
MORE_RICH_CONFIGS = {
    "8x8": ArrayConfig(8, 8, **EVERYTHING, **DEPTHS),
    "4x6, copies": ArrayConfig(4, 6, strided_writes=True, **DEPTHS),
    "5x3, tables": ArrayConfig(5, 3, table_bits=10, tables=24, **DEPTHS),
    "2x2, 9 accumulators": ArrayConfig(2, 2, **PRODUCTS, **DEPTHS | {"accumulator_depth": 9}),
    "2x9, no offsets": ArrayConfig(2, 9, offset="none", **PRODUCTS, **DEPTHS),
    "7x2, 3001 words": ArrayConfig(7, 2, **PRODUCTS, **DEPTHS | {"activation_depth": 3001}),
    "6x7, multiplier": ArrayConfig(6, 7, **MULTIPLIER, **PRODUCTS, **DEPTHS),
    "8x3, sum, channel offsets": ArrayConfig(8, 3, offset="sum", **BY_CHANNEL, **PRODUCTS, **DEPTHS),
    "16x4, depthwise": ArrayConfig(16, 4, tap_lines=3, **SEPARATE, **EVERYTHING, **DEPTHS),
    "4x12, multiplier": ArrayConfig(4, 12, **BY_CHANNEL, **MULTIPLIER, **PRODUCTS, **DEPTHS),
}
SEVERAL = {
    "2 of 6x2, depthwise, everything": ArrayConfig(
        6, 2, arrays=2, strip_bits=9, tap_lines=2, **SEPARATE, **EVERYTHING, **DEPTHS
    ),
}
MORE_SEVERAL = {
    f"{arrays} of {name}": replace(config, arrays=arrays, strip_bits=9)
    for (name, config), arrays in zip(
        (CONFIGS | RICH_CONFIGS | MORE_RICH_CONFIGS).items(), cycle((2, 3, 4, 2, 8))
    )
}
ROOMY = DEPTHS | {"weight_depth": 400_000, "program_depth": 200_000}
LARGE = {
    "16x16": ArrayConfig(16, 16, **ROOMY),
    "16x16, sum, channel offsets": ArrayConfig(16, 16, offset="sum", **BY_CHANNEL, **ROOMY),
    "32x2": ArrayConfig(32, 2, **ROOMY),
    "2x32": ArrayConfig(2, 32, **ROOMY),
    "32x32, sum, multiplier": ArrayConfig(32, 32, offset="sum", **MULTIPLIER, **ROOMY),
    "32x32, depthwise, channel offsets, two rows a word and a cycle": ArrayConfig(
        32, 32, tap_lines=3, weight_packing=2, load_rows=2, **SEPARATE, **BY_CHANNEL, **ROOMY
    ),
    "17x32, no offsets": ArrayConfig(17, 32, offset="none", **ROOMY),
}


def network(config, seed, channels=None):
    """The network and the inputs of a seed: of any family, from dense to almost empty."""
    return random_case(features_for(config), seed, IMAGES, {"channels": channels} if channels else {})


def pauses(seed):
    """Of the host, on both sides; with every fourth seed there are none, and frames come at the predicted pace."""
    if seed % 4 == 0:
        return None
    idle, busy = np.random.default_rng(seed).choice([0.05, 0.3, 0.6, 0.9], 2).tolist()
    return Stalls(idle, busy, seed)


def verify(config, seed, channels=None):
    """Whether the network of a seed fits the array's memories; if so, the hardware must equal the models."""
    qgraph, inputs = network(config, seed, channels)
    name = f"seed {seed}"
    outcome = evaluate(
        Case(name, qgraph, inputs, config.array, hardware=config, simulator="cxxrtl", stalls=pauses(seed))
    )
    assert not outcome.bad, f"{name}: {outcome.message}"
    return outcome.status == "passed"


def verify_few(config, seeds):
    """Verify networks that all fit an array with small memories."""
    shallow = replace(config, **SHALLOW)
    assert all(verify(shallow, seed) for seed in seeds)


@pytest.mark.parametrize("config", [CONFIGS[name] for name in CONFIGS if name not in NIGHTLY])
def test_hardware_equals_the_golden_model_and_the_cycle_model(config):
    verify_few(config, range(SEEDS))


@pytest.mark.parametrize("config", RICH_CONFIGS.values(), ids=RICH_CONFIGS)
def test_products_tables_and_copies_equal_the_golden_model_and_the_cycle_model(config):
    verify_few(config, range(2, 2 + SEEDS))


@pytest.mark.parametrize("config", SEVERAL.values(), ids=SEVERAL)
def test_several_arrays_equal_the_golden_model_and_the_cycle_model(config):
    verify_few(config, range(2, 2 + SEEDS))


# Longer campaigns: HWQUANT_FUZZ_CASES networks for each array, from seed HWQUANT_FUZZ_SEED on. A piece is a test of
# its own, so that a campaign that was interrupted goes on with ``pytest --last-failed`` or a later seed.

CASES, FIRST = int(os.environ.get("HWQUANT_FUZZ_CASES", 300)), int(os.environ.get("HWQUANT_FUZZ_SEED", SEEDS))
PIECE = 50


def pieces(count):
    """Ranges of seeds."""
    return [range(FIRST + at, FIRST + min(at + PIECE, count)) for at in range(0, count, PIECE)]


@pytest.mark.nightly
@pytest.mark.parametrize("seeds", pieces(CASES), ids=str)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_hardware_equals_the_golden_model_for_many_more_networks(config, seeds):
    assert sum(verify(config, seed) for seed in seeds) >= 0.9 * len(seeds), "too few networks fit"


@pytest.mark.nightly
@pytest.mark.parametrize("seeds", pieces(CASES), ids=str)
@pytest.mark.parametrize("config", (RICH_CONFIGS | MORE_RICH_CONFIGS).values())
def test_products_tables_and_copies_equal_the_golden_model_for_many_more_networks(config, seeds):
    assert sum(verify(config, seed) for seed in seeds) >= 0.9 * len(seeds), "too few networks fit"


@pytest.mark.nightly
@pytest.mark.parametrize("seeds", pieces(max(1, CASES // 3)), ids=str)
@pytest.mark.parametrize("config", (SEVERAL | MORE_SEVERAL).values(), ids=SEVERAL | MORE_SEVERAL)
def test_several_arrays_equal_the_golden_model_for_many_more_networks(config, seeds):
    assert sum(verify(config, seed) for seed in seeds) >= 0.9 * len(seeds), "too few networks fit"


@pytest.mark.nightly
@pytest.mark.parametrize("seeds", pieces(max(1, CASES // 6)), ids=str)
@pytest.mark.parametrize("config", LARGE.values(), ids=LARGE)
def test_a_large_array_equals_the_golden_model(config, seeds):
    assert sum(verify(config, seed, (1, 70)) for seed in seeds) >= 0.9 * len(seeds), "too few networks fit"


@pytest.mark.parametrize(
    "name",
    [
        "2x9",
        "8x3, sum, channel offsets",
        *nightly(("5x4, sum, multiplier", "8x8, two rows a word and a cycle")),
    ],
)
def test_amaranths_simulator_sees_what_cxxrtl_sees(name):
    """Words, counters, writes and the cycles of every frame, whether the host pauses or not."""
    config, compared = replace(CONFIGS[name], **SHALLOW), 0
    for seed in range(100, 110):
        qgraph, inputs = network(config, seed)
        program = compile_network(qgraph, (config.rows, config.columns), config=config)
        frames = program.frame(inputs)
        fast = simulate(program, frames, simulator="cxxrtl", watch=2, stalls=pauses(seed))
        if sum(fast.periods) > 3000:
            continue
        slow = simulate(program, frames, simulator="amaranth", watch=2, stalls=pauses(seed))
        np.testing.assert_array_equal(slow.words, fast.words, err_msg=f"seed {seed}")
        assert (slow.cycles, slow.writes) == (fast.cycles, fast.writes), f"seed {seed}"
        assert slow.periods == fast.periods, f"seed {seed}"
        compared += 1
    assert compared >= 2
