"""The depthwise mode's line memories against a shifted list."""

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.program.config import ArrayConfig
from hwquant.program.limits import MIN_TAP_DELAY
from hwquant.rtl_templates.taps import TapLines


@pytest.mark.parametrize(("lines", "delay"), [(1, 3), (2, MIN_TAP_DELAY), (3, 7), (3, 20)])
def test_each_line_is_a_delay_older_than_the_next(lines, delay):
    config = ArrayConfig(9, 4, tap_lines=lines, tap_depth=20)
    vectors = np.random.default_rng(delay).integers(-128, 128, (100, config.columns)).tolist()

    def step(cycle, seen):
        return {"i": vectors[cycle], "delay": delay} if cycle < len(vectors) else None

    history = interact(TapLines(config), step, tuple(f"line{k}" for k in range(lines)))
    for cycle, seen in enumerate(history[: len(vectors)]):
        for line in range(lines):
            late = cycle - (lines - 1 - line) * delay
            if late >= 0:
                assert list(seen[f"line{line}"]) == vectors[late], f"cycle {cycle}, line {line}"
