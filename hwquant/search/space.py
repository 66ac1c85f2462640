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
    """One decision.

    Attributes
    ----------
    kind : str
        ``WEIGHTS`` or ``ACTIVATIONS``.
    name : str
        Of the convolution, or of the tensor.
    elements : int
        Numbers that have these bits.
    """

    kind: str
    name: str
    elements: int


@dataclass(frozen=True)
class Space:
    """All configurations: each of ``variables`` takes each of ``bits`` (ascending)."""

    variables: tuple[Variable, ...]
    bits: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, bits: Sequence[int], activations: bool) -> Space:
        """The variables of a network."""
        found = [
            Variable(WEIGHTS, term.node, term.weight.size)
            for layer in plan.layers
            for term in layer.terms
            if term.has_weights
        ]
        if not found:
            raise Unsupported(f"network {plan.graph.name!r} has no weights whose bits could be searched")
        if activations:
            found += [
                Variable(ACTIVATIONS, name, sum(math.prod(plan.graph.shapes[item]) for item in members))
                for name, members in scale_groups(plan).sets().items()
            ]
        return cls(tuple(found), tuple(sorted(set(bits))))

    @property
    def size(self) -> int:
        """Number of configurations."""
        return len(self.bits) ** len(self.variables)

    @property
    def int8(self) -> Configuration:
        """Everything in 8 bits; it need not be part of the space."""
        return (INT8,) * len(self.variables)

    def __contains__(self, configuration: Configuration) -> bool:
        return all(bits in self.bits for bits in configuration)

    def everything(self) -> Iterator[Configuration]:
        """All configurations, the widest first."""
        return itertools.product(reversed(self.bits), repeat=len(self.variables))

    def named(self, configuration: Configuration, kind: str) -> dict[str, int]:
        """The bits of one kind by name."""
        return {
            item.name: bits
            for item, bits in zip(self.variables, configuration, strict=True)
            if item.kind == kind
        }

    def options(self, base: QuantizeOptions, configuration: Configuration) -> QuantizeOptions:
        """The quantizer's options for a configuration."""
        chosen = replace(base, bits=self.named(configuration, WEIGHTS))
        activations = self.named(configuration, ACTIVATIONS)
        return replace(chosen, activation_bits=activations) if activations else chosen
