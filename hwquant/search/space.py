"""What is searched: bits of each layer's weights and, if asked for, of its bias, and of all activations.

Only bits that decide something, and that the hardware pays for, are variables. The weights of pools and of identities
are constants. Each layer's weights have bits of their own in the weight memory; biases share the zeros that the
parameter memory leaves out, so that each layer's count. But a word of the activation memory, a lane and all that
computes with one are as wide as the widest tensor: a narrower one among them would cost accuracy and save nothing, so
that activations have one number of bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hwquant.errors import Unsupported
from hwquant.quantize import QuantizeOptions
from hwquant.quantize.plans import Plan

Configuration = tuple[int, ...]
"""Bits of each variable, in the space's order."""

Kind = Literal["bits", "activation_bits", "bias_bits"]
"""Kinds of variables: the fields of QuantizeOptions that they are part of."""

INT8 = 8
"""The bits of weights and activations that everything else is compared with."""
WIDE_BIAS = 32
"""The bits of biases that everything else is compared with: all that they need."""
WEIGHTS: Kind = "bits"
ACTIVATIONS: Kind = "activation_bits"
BIASES: Kind = "bias_bits"


@dataclass(frozen=True)
class Variable:
    """One decision: how many bits something has.

    Attributes
    ----------
    kind : {"bits", "activation_bits", "bias_bits"}
        Whether the bits are those of weights (``WEIGHTS``), of all activations (``ACTIVATIONS``) or of biases
        (``BIASES``).
    name : str
        Name of the convolution, or of the layer whose biases they are; of activations "activations".
    elements : int
        How many numbers have these bits; of activations those of the largest tensor.
    bits : tuple of int
        Numbers of bits that there may be, ascending.
    """

    kind: Kind
    name: str
    elements: int
    bits: tuple[int, ...]

    @property
    def reference(self) -> int:
        """The bits that everything else is compared with; they need not be among ``bits``."""
        return WIDE_BIAS if self.kind == BIASES else INT8


@dataclass(frozen=True)
class Space:
    """All configurations: every variable with every number of bits.

    Attributes
    ----------
    variables : tuple of Variable
        What is decided, in the order of a configuration's bits.
    """

    variables: tuple[Variable, ...]

    @classmethod
    def of(
        cls, plan: Plan, bits: Sequence[int], activations: Sequence[int] = (), biases: Sequence[int] = ()
    ) -> Space:
        """Find the variables of a network.

        Parameters
        ----------
        plan : Plan
            The network as the quantizer sees it.
        bits : sequence of int
            Numbers of bits that a layer's weights may have, in any order.
        activations : sequence of int, optional
            Numbers of bits that all activations may have; where there are none they are no variable.
        biases : sequence of int, optional
            Numbers of bits that a layer's biases may have; where there are none they are no variables.

        Raises
        ------
        Unsupported
            The network has no weights.
        """
        weights, all_activations, layers = (tuple(sorted(set(item))) for item in (bits, activations, biases))
        variables = [
            Variable(WEIGHTS, term.node, term.weight.size, weights)
            for layer in plan.layers
            for term in layer.terms
            if term.has_weights
        ]
        if not variables:
            raise Unsupported(f"network {plan.graph.name!r} has no weights whose bits could be searched")
        if layers:  # of every layer, as one without weights has zero points in its bias
            variables += [Variable(BIASES, item.name, item.bias.size, layers) for item in plan.layers]
        if all_activations:
            largest = max(math.prod(plan.graph.shapes[name]) for name in plan.tensors)
            variables.append(Variable(ACTIVATIONS, "activations", largest, all_activations))
        return cls(tuple(variables))

    @property
    def size(self) -> int:
        """Number of configurations."""
        return math.prod(len(item.bits) for item in self.variables)

    @property
    def int8(self) -> Configuration:
        """The configuration with everything in 8 bits, and biases as they are; it need not be part of the space."""
        return tuple(item.reference for item in self.variables)

    @property
    def widest(self) -> Configuration:
        """The configuration with everything at its widest."""
        return tuple(item.bits[-1] for item in self.variables)

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """What each variable may be, by its name, in the order of a configuration."""
        return {f"{item.kind} {item.name}": item.bits for item in self.variables}

    def __contains__(self, configuration: Configuration) -> bool:
        return all(bits in item.bits for bits, item in zip(configuration, self.variables, strict=True))

    def everything(self) -> Iterator[Configuration]:
        """Go through all configurations, the widest first."""
        return itertools.product(*(reversed(item.bits) for item in self.variables))

    def named(self, configuration: Configuration, kind: Kind) -> dict[str, int]:
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
        if biases := self.named(configuration, BIASES):
            chosen = replace(chosen, bias_bits=biases)
        if activations := self.named(configuration, ACTIVATIONS):
            chosen = replace(chosen, activation_bits=activations["activations"])
        return chosen
