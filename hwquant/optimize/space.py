"""What is searched besides the array: which network, dense or pruned, in which bits, with which offsets.

The array is not among the variables: for each candidate the best one that fits is found exactly
(:mod:`hwquant.optimize.hardware`). All activations have the same bits, those of the array's lanes: bits of single
tensors buy no hardware.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hwquant.program.array_shape import OFFSET_MODES, OffsetMode
from hwquant.program.sizing import OffsetChoice
from hwquant.quantize import QuantizeOptions
from hwquant.search.space import INT8, Configuration

DENSE = 0
"""Number of the network that is not pruned."""


@dataclass(frozen=True)
class Design:
    """A configuration, in words.

    Attributes
    ----------
    network : int
        Number of the float network; 0 is the dense one.
    offset : {"edge", "sum", "none"}
        Where offsets are added.
    activation_bits : int
        Bits of all activations.
    bits : mapping of int
        Bits of weights by name of convolution.
    """

    network: int
    offset: OffsetMode
    activation_bits: int
    bits: Mapping[str, int]

    @property
    def placing(self) -> OffsetChoice:
        """Where the compiler is to add offsets."""
        return "auto" if self.offset == "none" else self.offset

    def options(self, base: QuantizeOptions) -> QuantizeOptions:
        """Put the design into the quantizer's options."""
        return replace(
            base, bits=self.bits, activation_bits=self.activation_bits, symmetric=self.offset == "none"
        )


@dataclass(frozen=True)
class Space:
    """All configurations; one is (network, offset, activation bits, bits of each layer).

    Attributes
    ----------
    layers : tuple of str
        Names of the convolutions whose bits are chosen.
    bits : tuple of int
        What these may be, the widest first.
    activation_bits : tuple of int
        What the bits of activations may be, the widest first.
    offsets : tuple of int
        Offset modes, as numbers in :data:`~hwquant.program.array_shape.OFFSET_MODES`.
    networks : int
        Number of float networks that there are.
    """

    layers: tuple[str, ...]
    bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    offsets: tuple[int, ...]
    networks: int = 1

    @classmethod
    def of(
        cls,
        layers: Sequence[str],
        bits: Iterable[int],
        activation_bits: Iterable[int],
        offsets: Iterable[str],
    ) -> Space:
        """Make the space of a network that is not pruned yet."""
        widths, lanes = (tuple(sorted(set(items), reverse=True)) for items in (bits, activation_bits))
        modes: list[str] = list(OFFSET_MODES)
        return cls(tuple(layers), widths, lanes, tuple(modes.index(name) for name in dict.fromkeys(offsets)))

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """What each variable may be, by its name, in the order of a configuration."""
        fixed = {
            "network": tuple(range(self.networks)),
            "offset": self.offsets,
            "activation_bits": self.activation_bits,
        }
        return {**fixed, **{f"bits {name}": self.bits for name in self.layers}}

    def __contains__(self, configuration: Configuration) -> bool:
        return all(
            value in values for value, values in zip(configuration, self.choices.values(), strict=True)
        )

    def design(self, configuration: Configuration) -> Design:
        """Say what a configuration stands for."""
        network, offset, activation_bits, *bits = configuration
        named = dict(zip(self.layers, bits, strict=True))
        return Design(network, OFFSET_MODES[offset], activation_bits, named)

    def uniform(self, network: int, offset: int, activation_bits: int, bits: int) -> Configuration:
        """Make the configuration with the same bits in all layers."""
        return (network, offset, activation_bits, *(bits for _ in self.layers))

    @property
    def baseline(self) -> list[Configuration]:
        """The dense network in 8 bits, with every offset mode; what everything is compared with."""
        return [self.uniform(DENSE, mode, INT8, INT8) for mode in range(len(OFFSET_MODES))]

    def start(self, count: int, seed: int) -> list[Configuration]:
        """Choose at most ``count`` configurations of the dense network with the same bits in all layers, at random."""
        everything = [
            self.uniform(DENSE, offset, lanes, bits)
            for lanes in self.activation_bits
            for bits in self.bits
            for offset in self.offsets
        ]
        random.Random(seed).shuffle(everything)
        return everything[:count]

    def neighbours(self, configuration: Configuration) -> Iterator[Configuration]:
        """List configurations a step away.

        First those with other offsets, then those that should cost less, then those that should lose less.
        """
        if configuration not in self:
            return
        choices = list(self.choices.values())
        for offset in self.offsets:  # which of them costs less depends on the bits
            if offset != configuration[1]:
                yield (configuration[0], offset, *configuration[2:])
        for step in (1, -1):
            for index, values in enumerate(choices):
                if index == 1:
                    continue
                place = values.index(configuration[index]) + step
                if 0 <= place < len(values):
                    yield (*configuration[:index], values[place], *configuration[index + 1 :])
            widest = max(configuration[-len(self.layers) :])
            place = self.bits.index(widest) + step
            if 0 <= place < len(self.bits):  # an array is as wide as its widest weights
                bits = (
                    self.bits[place] if item == widest else item
                    for item in configuration[-len(self.layers) :]
                )
                yield (*configuration[: -len(self.layers)], *bits)
