"""What is searched: a number of bits for the weights of each layer and, if asked for, for each layer output.

Only bits that decide something are variables. The weights of pools and of identities are constants; tensors
that must share a format (through max pooling and concatenation) are one variable, named after the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hwquant.errors import Unsupported
from hwquant.quantize import QuantizeOptions
from hwquant.quantize.fuse import Plan
from hwquant.quantize.groups import scale_groups

Configuration = tuple[int, ...]
"""Bits of each variable, in the space's order."""

INT8 = 8
"""The bits that everything else is compared with."""
WEIGHTS, ACTIVATIONS = "bits", "activation_bits"
"""Kinds of variables: the fields of QuantizeOptions that they are part of."""


@dataclass(frozen=True)
class Variable:
    """One decision: how many bits something has.

    Attributes
    ----------
    kind : {"bits", "activation_bits"}
        Whether the bits are those of weights (``WEIGHTS``) or of a tensor (``ACTIVATIONS``).
    name : str
        Name of the convolution, or of the tensor.
    elements : int
        How many numbers have these bits.
    """

    kind: str
    name: str
    elements: int


@dataclass(frozen=True)
class Space:
    """All configurations: every variable with every number of bits.

    Attributes
    ----------
    variables : tuple of Variable
        What is decided, in the order of a configuration's bits.
    bits : tuple of int
        Numbers of bits that each variable may have, ascending.
    """

    variables: tuple[Variable, ...]
    bits: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, bits: Sequence[int], activations: bool) -> Space:
        """Find the variables of a network.

        Parameters
        ----------
        plan : Plan
            The network as the quantizer sees it.
        bits : sequence of int
            Numbers of bits that each variable may have, in any order.
        activations : bool
            Whether the bits of layer outputs and of the network's inputs are variables too.

        Raises
        ------
        Unsupported
            The network has no weights.
        """
        variables = [
            Variable(WEIGHTS, term.node, term.weight.size)
            for layer in plan.layers
            for term in layer.terms
            if term.has_weights
        ]
        if not variables:
            raise Unsupported(f"network {plan.graph.name!r} has no weights whose bits could be searched")
        if activations:
            variables += [
                Variable(ACTIVATIONS, name, sum(math.prod(plan.graph.shapes[item]) for item in members))
                for name, members in scale_groups(plan).sets().items()
            ]
        return cls(tuple(variables), tuple(sorted(set(bits))))

    @property
    def size(self) -> int:
        """Number of configurations."""
        return len(self.bits) ** len(self.variables)

    @property
    def int8(self) -> Configuration:
        """The configuration with everything in 8 bits; it need not be part of the space."""
        return (INT8,) * len(self.variables)

    def __contains__(self, configuration: Configuration) -> bool:
        return all(bits in self.bits for bits in configuration)

    def everything(self) -> Iterator[Configuration]:
        """Go through all configurations, the widest first."""
        return itertools.product(reversed(self.bits), repeat=len(self.variables))

    def named(self, configuration: Configuration, kind: str) -> dict[str, int]:
        """Give a configuration's bits of one kind by name."""
        return {
            item.name: bits
            for item, bits in zip(self.variables, configuration, strict=True)
            if item.kind == kind
        }

    def options(self, base: QuantizeOptions, configuration: Configuration) -> QuantizeOptions:
        """Put a configuration's bits into the quantizer's options.

        All candidates are quantized from one observation of the network, with its channels as they are.
        """
        chosen = replace(base, bits=self.named(configuration, WEIGHTS), equalization=False)
        activations = self.named(configuration, ACTIVATIONS)
        return replace(chosen, activation_bits=activations) if activations else chosen
