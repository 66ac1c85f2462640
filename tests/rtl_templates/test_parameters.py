"""The parameter reader against its image."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.ports import parameter_layout


def image(rng, config, count):
    """Parameters as dictionaries, and as words: bias in the low bits, then shift, then multiplier."""
    half = 1 << (config.stored_bias_bits - 1)
    rows, words = [], []
    for _ in range(count):
        row = {"bias": int(rng.integers(-half, half)), "shift": int(rng.integers(0, 1 << config.shift_bits))}
        word = row["bias"] % (2 * half) | row["shift"] << config.stored_bias_bits
        if config.multiplier_bits:
            row["multiplier"] = int(rng.integers(0, 1 << (config.multiplier_bits - 1)))
            word |= row["multiplier"] << (config.stored_bias_bits + config.shift_bits)
        rows.append(row)
        words.append(word)
    return rows, words


@pytest.mark.parametrize("widths", [{}, {"multiplier_bits": 16}, {"bias_bits": 7, "bias_zeros": 9}], ids=str)
@pytest.mark.parametrize(("columns", "depth"), [(2, 16), (5, 15), (5, 16), (8, 64)])
def test_the_next_parameters_are_sent_one_word_a_cycle(columns, depth, widths):
    config = ArrayConfig(4, columns, parameter_depth=depth, accumulator_bits=20, **widths)
    rng = np.random.default_rng((columns, depth))
    rows, words = image(rng, config, depth)
    stimulus, expected, pointer = [{"port.start": 0, "rewind": 0}], {}, 0
    for _ in range(60):
        if pointer + columns > depth:
            stimulus.append({"port.start": 0, "rewind": 1})
            pointer = 0
        start = len(stimulus)
        # The next start may come in the cycle after the last word's address; often it does.
        pause = columns - 1 + int(rng.choice([0, 0, 1, 5]))
        stimulus += [{"port.start": 1, "rewind": 0}, *[{"port.start": 0, "rewind": 0}] * pause]
        for column in range(columns):
            expected[start + ParameterReader.latency + column] = rows[pointer + column]
        pointer += columns
    stimulus += [{"port.start": 0, "rewind": 0}] * (ParameterReader.latency + 1)
    seen = [row["port.bus"] for row in trace(ParameterReader(config, words), stimulus, ["port.bus"])]
    assert {cycle: seen[cycle] for cycle in expected} == expected


def test_the_layout_is_as_wide_as_the_configuration_says():
    for multiplier_bits in (0, 12):
        config = ArrayConfig(2, 2, multiplier_bits=multiplier_bits, shift_bits=6, accumulator_bits=23)
        assert parameter_layout(config).size == config.parameter_bits == 29 + multiplier_bits
    narrow = ArrayConfig(2, 2, shift_bits=6, accumulator_bits=23, bias_bits=9, bias_zeros=14)
    assert parameter_layout(narrow).size == narrow.parameter_bits == 15
