"""Products of two activations, a column at a time, against plain integers."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.products import LaneSkew, Products, product_columns


@pytest.mark.parametrize(("rows", "columns", "bits"), [(3, 2, 8), (2, 3, 5), (4, 4, 2), (2, 5, 8)])
def test_a_factor_multiplies_what_follows_it(rows, columns, bits):
    config = ArrayConfig(rows, columns, product_bits=bits)
    rng, cycles, width = np.random.default_rng((rows, columns)), 60, product_columns(config)
    half = 1 << (bits - 1)
    values = rng.integers(-half, half, (cycles, width))
    values[:4] = [[-half], [half - 1], [-half], [-half]]
    factor = rng.random(cycles) < 0.4
    factor[0] = True
    zeros = {"pixel": half - 1, "factor": int(rng.integers(-half, half))}
    stimulus = [
        {
            "lanes": [int(values[cycle - c, c]) if cycle >= c else 0 for c in range(width)],
            "factor": int(factor[cycle]),
            "zeros": zeros,
        }
        for cycle in range(cycles)
    ]
    seen = trace(Products(config), stimulus, ["products"])
    kept = values[0]
    for cycle in range(cycles - Products.latency - width):
        if factor[cycle]:
            kept = values[cycle]
            continue
        want = (values[cycle] - zeros["pixel"]) * (kept - zeros["factor"])
        got = [seen[cycle + Products.latency + c]["products"][c] for c in range(width)]
        assert got == want.tolist()


def test_the_lanes_of_a_word_reach_their_columns_one_after_the_other():
    config = ArrayConfig(2, 7, product_bits=8)
    assert config.lanes == 6
    words = [int(word) for word in np.random.default_rng(0).integers(0, 1 << 48, 20)]
    seen = trace(LaneSkew(config), [{"data": word} for word in words], ["lanes"])
    for cycle in range(10):
        for c in range(6):
            lane = words[cycle] >> (8 * c) & 255
            got = seen[cycle + LaneSkew.latency + c]["lanes"][c]
            assert got % 256 == lane
