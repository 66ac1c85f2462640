"""What of a network is an integer for good, what is decided but still trained, and what is float."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hwquant.errors import HwquantError
from hwquant.qgraph import Layer, Product
from hwquant.quantize import Observed, QuantizeOptions
from hwquant.quantize.assemble import assemble_layer, round_layer
from hwquant.quantize.plans import LayerPlan, ProductPlan
from hwquant.quantize.precision import resolve_precision
from hwquant.quantize.products import integer_product
from hwquant.quantize.scales import choose_scales
from hwquant.training.network import attribute_names
from hwquant.training.plain import conforms
from hwquant.training.rounding import Array

EXTRA = {"quantized": [str], "decided": dict, "straight_through": bool, "biases_frozen": bool}
"""The form of what a checkpoint holds of a network besides its tensors."""


class QuantizedState(nn.Module):
    """Weights, biases, masks and integers as parameters and buffers, and the grids that layers have so far.

    A layer's *grid* is its scales, offsets and shifts, chosen for the weights that it had then: an integer
    :class:`~hwquant.qgraph.Layer`, whose codes and bias are not used where they are trained.

    Parameters
    ----------
    observed : Observed
        The float network and what its calibration data say.
    options : QuantizeOptions
        Bits, scales and so on.

    Attributes
    ----------
    straight_through : bool
        Weights and biases that are not frozen are rounded in the forward pass.
    """

    def __init__(self, observed: Observed, options: QuantizeOptions) -> None:
        super().__init__()
        if options.chain_bits is not None:
            raise HwquantError(
                "training needs a rescaling after every layer, as its weights change what sums reach: leave "
                "chain_bits out"
            )
        self.observed, self.options, self.plan = observed, options, observed.plan
        self.precision = resolve_precision(self.plan, options)
        self.formats = choose_scales(self.precision, observed.statistics)
        self.straight_through = False
        self._layers = {layer.name: layer for layer in self.plan.layers}
        self._attributes = attribute_names([*self.convolutions, *(f"{name} bias" for name in self._layers)])
        self._grids: dict[str, Layer] = {}
        self._decided: dict[str, list[Tensor]] = {}
        self._quantized: set[str] = set()
        self._biases_frozen = False
        for layer in self.plan.layers:
            self._register_layer(layer)

    def _register_layer(self, layer: LayerPlan) -> None:
        for term in layer.terms:
            if term.has_weights:
                weight = torch.tensor(term.weight, dtype=torch.float32)
                self._register("weight", term.node, nn.Parameter(weight))
                self._register("frozen", term.node, weight == 0)
                self._register("integers", term.node, torch.zeros_like(weight))
        learned = any(term.has_weights for term in layer.terms)
        bias = nn.Parameter(torch.tensor(layer.bias, dtype=torch.float32), requires_grad=learned)
        self._register("value", f"{layer.name} bias", bias)
        self._register("steps", f"{layer.name} bias", torch.zeros_like(bias, requires_grad=False))

    def _register(self, kind: str, name: str, value: Tensor) -> None:
        attribute = f"{kind}_{self._attributes[name]}"
        if isinstance(value, nn.Parameter):
            self.register_parameter(attribute, value)
        else:
            self.register_buffer(attribute, value)

    def _get(self, kind: str, name: str) -> Any:
        return getattr(self, f"{kind}_{self._attributes[name]}")

    # --- what there is

    @property
    def convolutions(self) -> list[str]:
        """Names of the convolutions with weights to train."""
        return [term.node for layer in self.plan.layers for term in layer.terms if term.has_weights]

    def weight(self, node: str) -> nn.Parameter:
        """The float weight of a convolution; what is frozen of it has no effect any more."""
        return self._get("weight", node)

    def frozen(self, node: str) -> Tensor:
        """The mask of a weight, bool in its shape: True where it is an integer for good, or pruned."""
        return self._get("frozen", node)

    def integers(self, node: str) -> Tensor:
        """The adjusted integer weights of a convolution where they are frozen, else 0."""
        return self._get("integers", node)

    def bias(self, layer: str) -> nn.Parameter:
        """The bias of a layer, in real values."""
        return self._get("value", f"{layer} bias")

    def bias_steps(self, layer: str) -> Tensor:
        """The bias of a layer in steps of its accumulator, once it is frozen."""
        return self._get("steps", f"{layer} bias")

    def grid(self, layer: str) -> Layer:
        """The grid of a layer.

        Raises
        ------
        HwquantError
            The grid is not decided yet.
        """
        if layer not in self._grids:
            raise HwquantError(f"the grid of layer {layer!r} is not decided yet: call decide_grids first")
        return self._grids[layer]

    def integer_product(self, product: ProductPlan) -> Product:
        """A product in integers: it has nothing to train, and depends on the formats alone."""
        return integer_product(product, self.formats, self.options)

    def accumulator_step(self, layer: str) -> Array:
        """The real value of one step of a layer's accumulator, float64 [1] or [out]."""
        term = self.grid(layer).terms[0]
        return self.formats[term.input].scale.value * term.scale / 2.0**term.shift

    @property
    def rounded(self) -> bool:
        """Whether all of the network is rounded in the forward pass, frozen or not."""
        decided = self._grids.keys() == self._layers.keys()
        return decided and self.straight_through and self._quantized == set(self.plan.tensors)

    def place(self, node: str) -> tuple[LayerPlan, int]:
        """The layer of a convolution, and which of its terms it is."""
        for layer in self.plan.layers:
            for index, term in enumerate(layer.terms):
                if term.node == node and term.has_weights:
                    return layer, index
        raise HwquantError(f"{node!r} is no convolution of {self.plan.graph.name!r}")

    # --- what is decided

    def quantize_tensors(self, names: Iterable[str]) -> None:
        """Round these tensors from now on, and those that share their scale (through pools and concats)."""
        groups = self.precision.groups
        chosen = {groups.find(name) for name in names}
        self._quantized |= {name for name in self.plan.tensors if groups.find(name) in chosen}

    def decide_grids(self, layers: Iterable[str]) -> None:
        """Choose scales, offsets and shifts of layers for their weights as they are now.

        A layer whose grid is decided keeps it.
        """
        for name in layers:
            if name not in self._grids:
                layer = self._layers[name]
                nodes = [term.node for term in layer.terms if term.has_weights]
                # What is frozen so far is pruned.
                self._decide(layer, [self.weight(node).detach() * ~self.frozen(node) for node in nodes])

    def _decide(self, layer: LayerPlan, weights: list[Tensor]) -> None:
        current = iter(weights)
        terms = tuple(
            replace(term, weight=next(current).cpu().double().numpy()) if term.has_weights else term
            for term in layer.terms
        )
        changed = replace(layer, terms=terms)
        scales, rounded = round_layer(changed, self.precision, self.formats, self.observed.statistics)
        grid = assemble_layer(changed, rounded, scales, np.zeros(()), self.formats)
        self._grids[layer.name], self._decided[layer.name] = grid, weights

    def duplicate(self) -> Self:
        """Copy what changes; what is known of the float network is shared."""
        shared = (self.observed, self.options, self.plan, self.precision, self.formats)
        return copy.deepcopy(self, {id(item): item for item in shared})

    # --- checkpoints

    def get_extra_state(self) -> dict[str, Any]:
        """What the state of a checkpoint holds besides parameters and buffers."""
        return {
            "quantized": sorted(self._quantized),
            "decided": self._decided,
            "straight_through": self.straight_through,
            "biases_frozen": self._biases_frozen,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`get_extra_state` gave; grids are decided again, for the weights of then.

        Parameters
        ----------
        state : dict
            The extra state.

        Raises
        ------
        ValueError
            The state is not one of this network.
        """
        if not conforms(state, EXTRA) or not set(state["quantized"]) <= set(self.plan.tensors):
            raise ValueError("the state is not one of this network")
        self._quantized = set(state["quantized"])
        self.straight_through, self._biases_frozen = state["straight_through"], state["biases_frozen"]
        self._grids, self._decided = {}, {}
        for name, weights in state["decided"].items():
            layer = self._layers[name]
            wanted = [term.weight.shape for term in layer.terms if term.has_weights]
            if not conforms(weights, [Tensor]) or [tuple(weight.shape) for weight in weights] != wanted:
                raise ValueError(f"the weights of {name!r} have other shapes")
            if not all(weight.isfinite().all() for weight in weights):
                raise ValueError(f"the weights of {name!r} are not finite")
            self._decide(layer, weights)
