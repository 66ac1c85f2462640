"""The writer against loops over planes, groups and pixels."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.program.layout import integers_to_words
from hwquant.rtl_templates.writer import Writer

SHAPES = {(2, 2): 1, (3, 7): 1, (2, 8): 1, (4, 2): 2, (5, 4): 2, (8, 3): 3, (12, 8): 2, (16, 2): 8}


def expected(config, address, plane, count):
    """Address and group of each of a layer's ``count`` writes."""
    writes = [
        (address + number * plane + pixel, group)
        for number in range(count)
        for group in range(config.groups)
        for pixel in range(plane)
    ]
    return writes[:count]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_planes_are_written_group_by_group(rows, columns, seed):
    config = ArrayConfig(rows, columns, activation_bits=4, activation_depth=1 << 12)
    assert config.groups == SHAPES[rows, columns]
    rng = np.random.default_rng((rows, columns, seed))
    stimulus, wanted = [], []

    def cycle(**values):
        outputs = rng.integers(-8, 8, config.columns).tolist()
        # The register may hold the next layer's values already, except when a layer begins.
        noise = {"address": int(rng.integers(0, 1 << 12)), "plane": int(rng.integers(0, 1 << 12))}
        stimulus.append(
            {"start": 0, "results.valid": 0, "layer": noise, "results.channels": outputs} | values
        )

    for layer in range(6):
        plane, address = int(rng.choice([1, 2, 3, 10])), int(rng.integers(0, 1000))
        write = {"address": address, "plane": plane}
        if layer and rng.random() < 0.5:
            stimulus[-1] |= {"start": 1, "layer": write}  # with the last word of the layer before
        else:
            cycle(start=1, layer=write)
        count = int(rng.integers(1, 3 * config.groups + 1)) * plane  # whole planes of a group, not of a word
        for place in expected(config, address, plane, count):
            while rng.random() < 0.3:
                cycle()
            cycle(**{"results.valid": 1})
            wanted.append((len(stimulus) - 1, *place))
    seen = trace(Writer(config), stimulus, ["write.address", "write.data", "write.enable"])
    for number, address, group in wanted:
        row = seen[number]
        assert (row["write.address"], row["write.enable"]) == (address, 1 << group), f"cycle {number}"
        own = config.group_lanes(group)
        lanes = integers_to_words([row["write.data"]], config.lanes, 4)[0, own.start : own.stop]
        assert lanes.tolist() == stimulus[number]["results.channels"][: len(own)], f"cycle {number}"
    writing = {number for number, *_ in wanted}
    assert {number for number, row in enumerate(seen) if row["write.enable"]} == writing
