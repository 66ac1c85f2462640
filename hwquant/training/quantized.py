"""A network whose weights and tensors become integers one after the other, while the rest is trained.

What is an integer, decided or float is held by :mod:`~hwquant.training.state`, and computed with by
:mod:`~hwquant.training.forward`. So when everything is frozen, the floats of the forward pass are the integers of the
:class:`~hwquant.qgraph.QGraph`. Rounding lets gradients through unchanged (straight-through estimator), clamps only
inside their bounds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hwquant.errors import HwquantError
from hwquant.qgraph import Layer, QGraph, Term
from hwquant.quantize.assemble import kept_weights
from hwquant.quantize.compensation import covariances
from hwquant.quantize.formats import zero_points
from hwquant.quantize.fuse import LayerPlan, TermPlan
from hwquant.quantize.narrow_bias import narrow_bias
from hwquant.quantize.pipeline import integer_network, with_report
from hwquant.ranges import accumulator_bound, tensor_ranges
from hwquant.training.compensation import round_compensated
from hwquant.training.forward import QuantizedForward
from hwquant.training.operators import convolve
from hwquant.training.rounding import per_channel, to_integers, weight_steps

_EXACT = {torch.float32: 1 << 23, torch.float64: 1 << 52}
"""Bounds of sums that leave room for a half."""
_SETTLED = 0.49
"""Distance from its integer, in steps, at which a weight still rounds to it."""


class QuantizedNetwork(QuantizedForward):
    """The layers of a network, at first all float, which become integers part by part.

    Its tensors have the formats that the quantizer chose. Weights that are exactly zero are pruned: they stay zero
    from the beginning to the end.

    Parameters
    ----------
    observed : Observed
        The float network and what its calibration data say.
    options : QuantizeOptions
        Bits, scales and so on. ``bias_correction`` and ``error_compensation`` are for quantization
        without training and have no effect here: biases are trained, and so is what is still float.

    Attributes
    ----------
    straight_through : bool
        Weights and biases that are not frozen are rounded in the forward pass.
    """

    # --- what becomes an integer

    def freeze(self, node: str, fraction: float = 1.0, compensate: bool = False) -> None:
        """Freeze the largest ``fraction`` (in absolute value) of a convolution's weights that are still float.

        They become their nearest integers. With ``compensate``, what is still float of the layer moves at the
        same time, so that its output on the calibration data changes least: see
        :mod:`hwquant.training.compensation`.
        """
        self.grid(self.place(node)[0].name)  # refuses what cannot be frozen
        weight, frozen, integers = self.weight(node).detach(), self.frozen(node), self.integers(node)
        size = torch.where(frozen, -1.0, weight.abs()).ravel()
        largest = torch.argsort(size, descending=True, stable=True)[: round(fraction * int((~frozen).sum()))]
        chosen = torch.zeros_like(size, dtype=torch.bool).index_fill(0, largest, True).reshape(weight.shape)
        steps = self._rounded(node, chosen, compensate)
        integers.copy_(torch.where(chosen, steps, integers))
        frozen.logical_or_(chosen)

    def settle(self, node: str) -> None:
        """Choose integers for all weights of a convolution that are still float.

        They make up for each other's errors as in :meth:`freeze`. The weights stay float, and as they are where they
        round to these integers anyway; others move to where they just do.
        """
        layer, index = self.place(node)
        weight, frozen = self.weight(node).detach(), self.frozen(node)
        unit = per_channel(self.grid(layer.name).terms[index].scale, weight.double())
        before = weight.double() / unit
        steps = self._rounded(node, ~frozen, True)
        settled = torch.clamp(before, steps - _SETTLED, steps + _SETTLED) * unit
        weight.copy_(torch.where(frozen, weight, settled))

    def clamp_weights(self) -> None:
        """Put the float weights of layers whose grid is decided back into the range of their codes.

        Outside of it the clamp of :meth:`forward` lets no gradient through.
        """
        with torch.no_grad():
            for name, grid in self._grids.items():
                for plan, term in zip(self._layers[name].terms, grid.terms):
                    if plan.has_weights:
                        weight = self.weight(plan.node)
                        weight.clamp_(*(per_channel(end * term.scale, weight) for end in term.coding.limits))

    def freeze_biases(self) -> None:
        """Round all biases to steps of their accumulators, for good.

        Those that are to have few bits depend on the weights: they are rounded to so many once these are frozen, by
        :meth:`freeze_all`.
        """
        for name in self._layers:
            bias = self.bias(name)
            unit = per_channel(self.accumulator_step(name), bias)
            self.bias_steps(name).copy_(torch.floor(bias.detach().double() / unit + 0.5))
        self._biases_frozen = True

    def freeze_all(self) -> None:
        """Make integers of all that is still float."""
        self.quantize_tensors(self.plan.tensors)
        self.decide_grids(self._layers)
        for node in self.convolutions:
            self.freeze(node)
        self.freeze_biases()
        for name, layer in self._layers.items():
            bits = self.precision.bias_bits[name]
            made = narrow_bias(self._integer_layer(layer), bits, zero_points(self.formats))
            self.bias_steps(name).copy_(torch.from_numpy(made.bias))

    def _rounded(self, node: str, chosen: Tensor, compensate: bool) -> Tensor:
        """Steps of the weights with the chosen ones rounded; what is not frozen is set to them."""
        layer, index = self.place(node)
        term = self.grid(layer.name).terms[index]
        weight, frozen = self.weight(node).detach(), self.frozen(node)
        before = weight_steps(weight.double(), term, rounded=False)
        if compensate and chosen.any():
            after = self._compensated(layer, index, before, chosen)
        else:
            after = torch.where(chosen, weight_steps(weight.double(), term), before)
        weight.copy_(torch.where(frozen, weight, after * per_channel(term.scale, after)))
        return after

    def _compensated(self, layer: LayerPlan, index: int, before: Tensor, chosen: Tensor) -> Tensor:
        """Steps of a term's weights with the chosen ones rounded, for which the others and the bias make up."""
        plan, term = layer.terms[index], self.grid(layer.name).terms[index]
        frozen = self.frozen(plan.node)
        x = self._calibration_input(plan.input)
        made = round_compensated(
            before.numpy(),
            frozen.numpy(),
            chosen.numpy(),
            covariances(plan, x.numpy()),
            *term.coding.limits,
        )
        after = torch.from_numpy(made)
        change = torch.where(frozen, 0.0, before - after)
        unit = self.formats[plan.input].scale.value * term.scale
        moved = convolve(x, change * per_channel(unit, change), plan.window, plan.groups)
        bias = self.bias(layer.name)
        bias.data += moved.mean((0, 2, 3)).to(bias)
        return after

    def _calibration_input(self, tensor: str) -> Tensor:
        """A tensor on the calibration samples, in steps, float64."""
        samples = self.observed.samples
        xs = [torch.tensor(np.ascontiguousarray(samples[item.name])) for item in self.observed.graph.inputs]
        with torch.no_grad():
            return self.steps(*xs, keep=[tensor])[tensor].double()

    # --- to integers

    def to_qgraph(self) -> QGraph:
        """Return the integer network; everything must be frozen.

        Its tensors are what :meth:`steps` gives, plus zero points, bit for bit, in the dtype that :meth:`exact`
        chooses.
        """
        floating = [node for node in self.convolutions if not self.frozen(node).all()]
        floating += [name for name in self.plan.tensors if name not in self._quantized]
        if floating or not self._biases_frozen:
            what = floating[0] if floating else "the biases"
            raise HwquantError(f"{what} of {self.plan.graph.name!r} is still float: call freeze_all first")
        nodes = tuple(self.plan.integer_nodes(self._integer_layer))
        qgraph = integer_network(self.observed, self.precision, self.formats, nodes)
        return with_report(qgraph, self.observed, self.precision, self.formats, trained=True)

    def _integer_layer(self, layer: LayerPlan) -> Layer:
        grid = self.grid(layer.name)
        terms = tuple(self._integer_term(*pair) for pair in zip(layer.terms, grid.terms))
        return replace(grid, terms=terms, bias=to_integers(self.bias_steps(layer.name)))

    def _integer_term(self, plan: TermPlan, grid: Term) -> Term:
        if not plan.has_weights:
            return grid
        codes = grid.coding.codes(to_integers(self.integers(plan.node)))
        return replace(grid, codes=codes, mask=kept_weights(plan))

    def exact(self) -> QuantizedNetwork:
        """Change the module to the dtype in which all sums are exact: float32 while they stay below 2^23."""
        qgraph = self.to_qgraph()
        ranges = tensor_ranges(qgraph)
        layers = [node for node in qgraph.nodes if isinstance(node, Layer)]
        bound = max((max(accumulator_bound(layer, qgraph, ranges)) for layer in layers), default=0)
        for dtype, limit in _EXACT.items():
            if bound < limit:
                return self.to(dtype)
        raise HwquantError(
            f"the sums of {self.plan.graph.name!r} reach {bound}, more than floats hold exactly"
        )
