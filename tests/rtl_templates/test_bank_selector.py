"""The choice of a bank's word for each of several arrays."""

import numpy as np
import pytest
from hwquant_testing.clocked import simulate

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.activations import ActivationMemory
from hwquant.rtl_templates.bank_selector import BankSelector


@pytest.mark.parametrize("arrays", [2, 3, 5])
def test_each_array_gets_the_word_of_the_bank_that_was_asked_for_with_its_address(arrays):
    config = ArrayConfig(2, 2, arrays=arrays, strip_bits=3, activation_bits=4)
    dut, rng, found = BankSelector(config), np.random.default_rng(arrays), []
    bits, late = config.word_bits, ActivationMemory.latency
    banks = rng.integers(0, arrays, (40, arrays)).tolist()
    data = rng.integers(0, 1 << bits, (40, arrays)).tolist()

    async def bench(ctx):
        for cycle in range(40):
            ctx.set(dut.banks, banks[cycle])
            ctx.set(dut.data, sum(word << bits * bank for bank, word in enumerate(data[cycle])))
            words = ctx.get(dut.words)
            found.append([words >> bits * array & ((1 << bits) - 1) for array in range(arrays)])
            await ctx.tick()

    simulate(dut, bench)
    for cycle in range(late, 40):
        assert found[cycle] == [data[cycle][bank] for bank in banks[cycle - late]]
