"""Several arrays: which of the banks' words goes to which of them."""

from amaranth.hdl import Array, Module
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.activations import ActivationMemory
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts


class BankSelector(Component):
    """The choice of a bank's word for each of several arrays.

    ::

        words[k] = data[banks[k]]

    Latency: none from ``data`` to ``words``. Throughput: a word for each array a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Number of arrays, and widths.

    Members
    -------
    banks : In(ArrayLayout)
        The bank of each array, each ``index_bits(config.arrays)``, for the pixel whose address is presented in this
        cycle.
    data : In(config.arrays * config.word_bits)
        The word of each bank, ``ActivationMemory.latency`` cycles later.
    words : Out(config.arrays * config.word_bits)
        The word for each array.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "banks": In(ArrayLayout(index_bits(config.arrays), config.arrays)),
                "data": In(config.arrays * config.word_bits),
                "words": Out(config.arrays * config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build a multiplexer for each array, and the delays of what it chooses."""
        m = Module()
        arrays, bits = self.config.arrays, self.config.word_bits
        data = [self.data[k * bits : (k + 1) * bits] for k in range(arrays)]
        for k in range(arrays):
            bank = delayed(m, self.banks[k], ActivationMemory.latency, name=f"bank{k}")
            m.d.comb += self.words[k * bits : (k + 1) * bits].eq(Array(data)[bank])
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """A multiplexer for each array, and the delays of what it chooses."""
        return Facts(
            registers={"banks": ActivationMemory.latency * config.arrays * index_bits(config.arrays)},
            muxes={"banks": config.arrays * (config.arrays - 1) * config.word_bits},
        )
