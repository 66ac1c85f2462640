"""A network whose weights and tensors become integers one after the other, while the rest is trained.

What is an integer, decided or float is held by :mod:`~hwquant.training.state`, and computed with by
:mod:`~hwquant.training.forward`. So when everything is frozen, the floats of the forward pass are the integers of the
:class:`~hwquant.qgraph.QGraph`. Rounding lets gradients through unchanged (straight-through estimator), clamps only
inside their bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from hwquant.errors import HwquantError
from hwquant.qgraph import Layer, QGraph, Term
from hwquant.quantize.assemble import kept_weights
from hwquant.quantize.formats import zero_points
from hwquant.quantize.narrow_bias import narrow_bias
from hwquant.quantize.pipeline import integer_network, with_report
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.ranges import largest_sum, tensor_ranges
from hwquant.training.forward import QuantizedForward
from hwquant.training.rounding import per_channel, to_integers, weight_limits, weight_steps

_EXACT = {torch.float32: 1 << 23, torch.float64: 1 << 52}
"""Bounds of sums that leave room for a half."""
_SETTLED = 0.49
"""Distance from its integer, in steps of the grid, at which a weight still rounds to it."""


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
        without training and have no effect here; :meth:`adopt` takes over what they give.

    Attributes
    ----------
    straight_through : bool
        Weights and biases that are not frozen are rounded in the forward pass.
    """

    # --- what becomes an integer

    def freeze(self, nodes: str | Iterable[str], fraction: float = 1.0) -> None:
        """Freeze the largest ``fraction`` of the weights of some convolutions that are still float.

        They are sorted by their absolute values, all convolutions together, and become their nearest integers.

        Parameters
        ----------
        nodes : str or iterable of str
            Names of the convolutions, such as those of a sub-network; their grids are decided.
        fraction : float, default 1.0
            Share, 0..1, of their weights that are not frozen yet.

        Raises
        ------
        HwquantError
            A name is that of no convolution, or a grid is not decided.
        """
        names = [nodes] if isinstance(nodes, str) else list(nodes)
        grids = [self._term_grid(name) for name in names]  # refuses what cannot be frozen
        sizes = [
            torch.where(self.frozen(name), -1.0, self.weight(name).detach().abs()).ravel() for name in names
        ]
        order = torch.cat(sizes)
        largest = torch.argsort(order, descending=True, stable=True)[
            : round(fraction * int((order >= 0).sum()))
        ]
        chosen = torch.zeros_like(order, dtype=torch.bool).index_fill(0, largest, True)
        for name, term, part in zip(names, grids, chosen.split([len(size) for size in sizes])):
            weight, frozen, integers = self.weight(name).detach(), self.frozen(name), self.integers(name)
            mask = part.reshape(weight.shape)
            steps = weight_steps(weight.double(), term)
            integers.copy_(torch.where(mask, steps, integers))
            weight.copy_(torch.where(mask, steps * per_channel(term.scale, steps), weight))
            frozen.logical_or_(mask)

    def adopt(self, qgraph: QGraph) -> None:
        """Begin with the weights and biases of an integer network of the same float one.

        All tensors are rounded from now on, all grids decided, and what is not frozen is rounded in the forward pass
        (``straight_through``). Weights stay float, and as they are where they round to the network's integers anyway;
        others move to where they just do.

        Parameters
        ----------
        qgraph : QGraph
            What the quantizer made of the float network, with these options or with others.

        Raises
        ------
        HwquantError
            The network has other layers.
        """
        self.quantize_tensors(self.plan.tensors)
        self.decide_grids(self._layers)
        self.straight_through = True
        made = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
        if made.keys() != self._layers.keys():
            raise HwquantError(f"{qgraph.name!r} has other layers than {self.plan.graph.name!r}")
        for name, layer in self._layers.items():
            for plan, term in zip(layer.terms, made[name].terms):
                if plan.has_weights:
                    self._settle(plan.node, term)
            first = made[name].terms[0]
            step = qgraph.tensors[first.input].scale * first.scale / 2.0**first.shift
            self.bias(name).data.copy_(torch.from_numpy(made[name].bias * step))

    def _settle(self, node: str, term: Term) -> None:
        """Move the weights of a convolution no farther than needed to round to those of an integer term."""
        weight = self.weight(node).detach()
        grid = self._term_grid(node)
        unit = per_channel(grid.scale, weight.double())
        wanted = torch.from_numpy(term.weight * term.scale.reshape(-1, 1, 1, 1)) / unit
        low, high = weight_limits(grid, wanted)
        # What is out of range rounds to its end, and stays where it is.
        reach = _SETTLED * grid.step
        least = torch.where(wanted <= low, -torch.inf, wanted - reach)
        most = torch.where(wanted >= high, torch.inf, wanted + reach)
        settled = torch.clamp(weight.double() / unit, least, most) * unit
        weight.copy_(torch.where(self.frozen(node), weight, settled))

    def _term_grid(self, node: str) -> Term:
        """The grid of a convolution, as a term whose codes are not used."""
        layer, index = self.place(node)
        return self.grid(layer.name).terms[index]

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
        self.freeze(self.convolutions)
        self.freeze_biases()
        for name, layer in self._layers.items():
            bits = self.precision.bias_bits[name]
            made = narrow_bias(self._integer_layer(layer), bits, zero_points(self.formats))
            self.bias_steps(name).copy_(torch.from_numpy(made.bias))

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
        nodes = tuple(self.plan.integer_nodes(self._integer_layer, self.integer_product))
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
        bound = max((largest_sum(node, qgraph, ranges) for node in qgraph.nodes), default=0)
        for dtype, limit in _EXACT.items():
            if bound < limit:
                return self.to(dtype)
        raise HwquantError(
            f"the sums of {self.plan.graph.name!r} reach {bound}, more than floats hold exactly"
        )
