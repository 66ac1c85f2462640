"""A network whose weights and tensors become integers one after the other, while the rest is trained.

Every tensor is carried in units of its scale, less its zero point: ``x / S_x``, which is ``x_q - z_x`` once the
tensor is quantized. A layer whose grid is decided multiplies with ``w / S_w``, which is ``w_q + o`` for frozen
weights, and shifts: ``y = floor((acc + 2^(s-1)) * 2^-s)``. So when everything is frozen, the floats of the
forward pass are the integers of the :class:`~hwquant.qgraph.QGraph`. Rounding lets gradients through
unchanged (straight-through estimator), clamps only inside their bounds.

Above 400 lines, since freezing, the forward pass and the conversion have to agree on one state, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwquant.errors import HwquantError
from hwquant.graph import Concat, MaxPool
from hwquant.qgraph import IntArray, Layer, QGraph, QNode, Term
from hwquant.quantize import Observed, QuantizeOptions
from hwquant.quantize.activations import integer_limits
from hwquant.quantize.assemble import assemble_layer, layer_scales, quantize_terms
from hwquant.quantize.compensation import covariances
from hwquant.quantize.report import describe
from hwquant.quantize.scales import choose_scales, importance, scale_groups, term_bits, weight_scheme
from hwquant.quantize.structure import LayerPlan, PlanNode, TermPlan
from hwquant.ranges import accumulator_bound, tensor_ranges
from hwquant.training.compensation import round_compensated
from hwquant.training.network import attribute_names
from hwquant.training.operators import Border, clip, convolve, max_pool
from hwquant.training.plain import conforms

Array = NDArray[Any]

_EXACT = {torch.float32: 1 << 23, torch.float64: 1 << 52}
"""Bounds of sums that leave room for a half."""
EXTRA = {"quantized": [str], "decided": dict, "straight_through": bool, "biases_frozen": bool}
"""The form of what a checkpoint holds of a network besides its tensors."""
_SETTLED = 0.49
"""Distance from its integer, in steps, at which a weight still rounds to it."""


class _RoundHalfUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def round_half_up(x: Tensor) -> Tensor:
    """``floor(x + 1/2)``, with the gradient of ``x``."""
    return _RoundHalfUp.apply(x)


class QuantizedNetwork(nn.Module):
    """The layers of a network, at first all float, with the formats that the quantizer chose for its tensors.

    Parameters
    ----------
    observed : the float network and what its calibration data say
    options : bits, scales and so on. ``bias_correction`` and ``error_compensation`` are for quantization
        without training and have no effect here: biases are trained, and so is what is still float.

    Attributes
    ----------
    straight_through : weights and biases that are not frozen are rounded in the forward pass

    Weights that are exactly zero are pruned: they stay zero from the beginning to the end.
    """

    def __init__(self, observed: Observed, options: QuantizeOptions) -> None:
        super().__init__()
        if options.literal_range:
            raise HwquantError("training needs ranges that contain 0: leave literal_range out")
        self.observed, self.options, self.plan = observed, options, observed.plan
        self.formats = choose_scales(self.plan, observed.statistics, options)
        self.straight_through = False
        self.border = Border(observed.graph)
        self._groups = scale_groups(self.plan)
        bits = term_bits(self.plan, options)
        self._schemes = {
            layer.name: [weight_scheme(term, self.plan, bits, options) for term in layer.terms]
            for layer in self.plan.layers
        }
        self._layers = {layer.name: layer for layer in self.plan.layers}
        trained = [term.node for layer in self.plan.layers for term in layer.terms if trainable(term)]
        self._attributes = attribute_names([*trained, *(f"{name} bias" for name in self._layers)])
        self._grids: dict[str, Layer] = {}
        self._decided: dict[str, list[Tensor]] = {}
        self._quantized: set[str] = set()
        self._biases_frozen = False
        for layer in self.plan.layers:
            for term in filter(trainable, layer.terms):
                weight = torch.tensor(term.weight, dtype=torch.float32)
                self._register("weight", term.node, nn.Parameter(weight))
                self._register("frozen", term.node, weight == 0)
                self._register("integers", term.node, torch.zeros_like(weight))
            learned = any(map(trainable, layer.terms))
            bias = nn.Parameter(torch.tensor(layer.bias, dtype=torch.float32), requires_grad=learned)
            self._register("value", f"{layer.name} bias", bias)
            self._register("steps", f"{layer.name} bias", torch.zeros_like(bias, requires_grad=False))

    # --- state

    def weight(self, node: str) -> nn.Parameter:
        """The float weight of a convolution; what is frozen of it has no effect any more."""
        return self._get("weight", node)

    def frozen(self, node: str) -> Tensor:
        """Bool, the shape of the weight: what is an integer for good, or pruned."""
        return self._get("frozen", node)

    def integers(self, node: str) -> Tensor:
        """Adjusted integer weights where ``frozen``, else 0."""
        return self._get("integers", node)

    def bias(self, layer: str) -> nn.Parameter:
        """The bias of a layer, real."""
        return self._get("value", f"{layer} bias")

    @property
    def convolutions(self) -> list[str]:
        """Names of the convolutions with weights to train."""
        return [term.node for layer in self.plan.layers for term in layer.terms if trainable(term)]

    def _register(self, kind: str, name: str, value: Tensor) -> None:
        attribute = f"{kind}_{self._attributes[name]}"
        if isinstance(value, nn.Parameter):
            self.register_parameter(attribute, value)
        else:
            self.register_buffer(attribute, value)

    def _get(self, kind: str, name: str) -> Any:
        return getattr(self, f"{kind}_{self._attributes[name]}")

    def get_extra_state(self) -> dict[str, Any]:
        """What the state of a checkpoint holds besides parameters and buffers."""
        return {
            "quantized": sorted(self._quantized),
            "decided": self._decided,
            "straight_through": self.straight_through,
            "biases_frozen": self._biases_frozen,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if not conforms(state, EXTRA) or not set(state["quantized"]) <= set(self.plan.tensors):
            raise ValueError("the state is not one of this network")
        self._quantized = set(state["quantized"])
        self.straight_through, self._biases_frozen = state["straight_through"], state["biases_frozen"]
        self._grids, self._decided = {}, {}
        for name, weights in state["decided"].items():
            layer = self._layers[name]
            wanted = [term.weight.shape for term in layer.terms if trainable(term)]
            if not conforms(weights, [Tensor]) or [tuple(weight.shape) for weight in weights] != wanted:
                raise ValueError(f"the weights of {name!r} have other shapes")
            if not all(weight.isfinite().all() for weight in weights):
                raise ValueError(f"the weights of {name!r} are not finite")
            self._decide(layer, weights)

    # --- what becomes an integer

    def quantize_tensors(self, names: Iterable[str]) -> None:
        """Round these tensors from now on, and those that share their scale (through pools and concats)."""
        chosen = {self._groups.find(name) for name in names}
        self._quantized |= {name for name in self.plan.tensors if self._groups.find(name) in chosen}

    def decide_grids(self, layers: Iterable[str]) -> None:
        """Choose scales, offsets and shifts of layers for their weights as they are now; a layer whose grid
        is decided keeps it."""
        for name in layers:
            if name not in self._grids:
                layer = self._layers[name]
                nodes = [term.node for term in layer.terms if trainable(term)]
                # What is frozen so far is pruned.
                self._decide(layer, [self.weight(node).detach() * ~self.frozen(node) for node in nodes])

    def _decide(self, layer: LayerPlan, weights: list[Tensor]) -> None:
        current = iter(weights)
        terms = tuple(
            replace(term, weight=next(current).cpu().double().numpy()) if trainable(term) else term
            for term in layer.terms
        )
        changed = replace(layer, terms=terms)
        schemes = self._schemes[layer.name]
        shares = [importance(term, self.observed.statistics) for term in terms]
        scales = layer_scales(changed, schemes, shares, self.formats, self.options)
        made = quantize_terms(changed, schemes, scales, shares)
        self._grids[layer.name] = assemble_layer(
            changed, made, scales, np.zeros(()), self.formats[layer.name]
        )
        self._decided[layer.name] = weights

    def freeze(self, node: str, fraction: float = 1.0, compensate: bool = False) -> None:
        """Freeze the largest ``fraction`` (in absolute value) of a convolution's weights that are still float.

        They become their nearest integers. With ``compensate``, what is still float of the layer moves at the
        same time, so that its output on the calibration data changes least: see
        :mod:`hwquant.training.compensation`.
        """
        self._grid(self._place(node)[0].name)  # refuses what cannot be frozen
        weight, frozen, integers = self.weight(node).detach(), self.frozen(node), self.integers(node)
        size = torch.where(frozen, -1.0, weight.abs()).ravel()
        largest = torch.argsort(size, descending=True, stable=True)[: round(fraction * int((~frozen).sum()))]
        chosen = torch.zeros_like(size, dtype=torch.bool).index_fill(0, largest, True).reshape(weight.shape)
        steps = self._rounded(node, chosen, compensate)
        integers.copy_(torch.where(chosen, steps, integers))
        frozen.logical_or_(chosen)

    def settle(self, node: str) -> None:
        """Choose integers for all weights of a convolution that are still float, such that they make up for each
        other's errors as in :meth:`freeze`. The weights stay float, and as they are where they round to these
        integers anyway; others move to where they just do."""
        layer, index = self._place(node)
        weight, frozen = self.weight(node).detach(), self.frozen(node)
        unit = _channels(self._grid(layer.name).terms[index].scale, weight.double())
        before = weight.double() / unit
        steps = self._rounded(node, ~frozen, True)
        settled = torch.clamp(before, steps - _SETTLED, steps + _SETTLED) * unit
        weight.copy_(torch.where(frozen, weight, settled))

    def _rounded(self, node: str, chosen: Tensor, compensate: bool) -> Tensor:
        """Steps of the weights with the chosen ones rounded; what is not frozen is set to them."""
        layer, index = self._place(node)
        plan, term = layer.terms[index], self._grid(layer.name).terms[index]
        weight, frozen = self.weight(node).detach(), self.frozen(node)
        before = self._steps(weight.double(), term, rounded=False)
        if not compensate or not chosen.any():
            after = torch.where(chosen, self._steps(weight.double(), term), before)
        else:
            x = self._calibration_input(plan.input)
            made = round_compensated(
                before.numpy(),
                frozen.numpy(),
                chosen.numpy(),
                covariances(plan, x.numpy()),
                *adjusted_limits(term),
            )
            after = torch.from_numpy(made)
            change = torch.where(frozen, 0.0, before - after)
            unit = self.formats[plan.input].scale.value * term.scale
            moved = convolve(x, change * _channels(unit, change), plan.window, plan.groups)
            self.bias(layer.name).data += moved.mean((0, 2, 3)).to(weight)
        weight.copy_(torch.where(frozen, weight, after * _channels(term.scale, after)))
        return after

    def _calibration_input(self, tensor: str) -> Tensor:
        """A tensor on the calibration samples, in steps, float64."""
        samples = self.observed.samples
        xs = [torch.tensor(samples[item.name]) for item in self.observed.graph.inputs]
        with torch.no_grad():
            return self.steps(*xs, keep=[tensor])[tensor].double()

    def clamp_weights(self) -> None:
        """Put the float weights of layers whose grid is decided back into the range of their codes. Outside
        of it the clamp of :meth:`forward` lets no gradient through."""
        with torch.no_grad():
            for layer in self.plan.layers:
                for index, term in enumerate(layer.terms):
                    if trainable(term) and layer.name in self._grids:
                        grid, weight = self._grids[layer.name].terms[index], self.weight(term.node)
                        low, high = (_channels(limit * grid.scale, weight) for limit in adjusted_limits(grid))
                        weight.clamp_(low, high)

    def freeze_biases(self) -> None:
        """Round all biases to steps of their accumulators, for good."""
        for name, bias, integers in self._biases():
            unit = _channels(self._unit(name), bias)
            integers.copy_(torch.floor(bias.detach().double() / unit + 0.5))
        self._biases_frozen = True

    def freeze_all(self) -> None:
        """Make integers of all that is still float."""
        self.quantize_tensors(self.plan.tensors)
        self.decide_grids(self._layers)
        for node in self.convolutions:
            self.freeze(node)
        self.freeze_biases()

    def _biases(self) -> list[tuple[str, nn.Parameter, Tensor]]:
        return [(name, self.bias(name), self._get("steps", f"{name} bias")) for name in self._layers]

    def _place(self, node: str) -> tuple[LayerPlan, int]:
        """The layer of a convolution, and which of its terms it is."""
        for layer in self.plan.layers:
            for index, term in enumerate(layer.terms):
                if term.node == node and trainable(term):
                    return layer, index
        raise HwquantError(f"{node!r} is no convolution of {self.plan.graph.name!r}")

    def _grid(self, layer: str) -> Layer:
        if layer not in self._grids:
            raise HwquantError(f"the grid of layer {layer!r} is not decided yet: call decide_grids first")
        return self._grids[layer]

    def _steps(self, weight: Tensor, term: Term, rounded: bool = True) -> Tensor:
        """Weights in steps of their scale, within their grid."""
        low, high = (_channels(limit, weight) for limit in adjusted_limits(term))
        steps = weight / _channels(term.scale, weight)
        return torch.clamp(round_half_up(steps) if rounded else steps, low, high)

    def _unit(self, layer: str) -> Array:
        """The real value of one step of a layer's accumulator, [1] or [out]."""
        term = self._grid(layer).terms[0]
        return self.formats[term.input].scale.value * term.scale / 2.0**term.shift

    # --- forward

    def forward(self, *xs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Real outputs in the user's layout, one tensor or a tuple, for inputs (N, *shape)."""
        values = self.steps(*xs, keep=[output.tensor for output in self.plan.graph.outputs])
        return self.border.deliver({name: x * self.formats[name].scale.value for name, x in values.items()})

    def steps(self, *xs: Tensor, keep: Collection[str]) -> dict[str, Tensor]:
        """The named tensors (N, C, H, W) in units of their scales, less their zero points."""
        dtype = next(self.parameters()).dtype
        values = {}
        for name, x in self.border.prepare(xs).items():
            values[name] = self._round(name, x / self.formats[name].scale.value).to(dtype)
        last = {name: index for index, node in enumerate(self.plan.nodes) for name in node.inputs}
        for index, node in enumerate(self.plan.nodes):
            values[node.name] = self._evaluate(node, [values[name] for name in node.inputs])
            for name in set(node.inputs) - set(keep):
                if last[name] == index:
                    del values[name]
        return {name: values[name] for name in keep}

    def _round(self, name: str, x: Tensor) -> Tensor:
        if name not in self._quantized:
            return x
        item = self.formats[name].tensor(name, self.plan.graph.shapes[name])
        low, high = item.limits
        return torch.clamp(round_half_up(x), low - item.zero_point, high - item.zero_point)

    def _evaluate(self, node: PlanNode, inputs: list[Tensor]) -> Tensor:
        match node:
            case MaxPool():
                return max_pool(inputs[0], node.window)
            case Concat():
                return torch.cat(inputs, dim=1)
            case LayerPlan():
                return self._layer(node, inputs)
            case _:
                assert_never(node)

    def _layer(self, layer: LayerPlan, inputs: list[Tensor]) -> Tensor:
        grid, output = self._grids.get(layer.name), self.formats[layer.name]
        total = self._bias(layer).view(-1, 1, 1)
        for index, (term, x) in enumerate(zip(layer.terms, inputs)):
            weight = self._weight(layer, index)
            total = total + convolve(x, weight, term.window, term.groups)
        if grid is not None:
            factor = np.ones(1) if grid.multiplier is None else grid.multiplier
            total = total * _channels(factor * 2.0**-grid.shift, total[0])
            if layer.name in self._quantized:
                zero = output.zero_point
                return torch.clamp(round_half_up(total), grid.low - zero, grid.high - zero)
        step = output.scale.value
        return self._round(layer.name, clip(total, layer.low / step, layer.high / step))

    def _bias(self, layer: LayerPlan) -> Tensor:
        """In steps of the accumulator, or of the output where the layer has no grid yet."""
        bias = self.bias(layer.name)
        if self._biases_frozen:
            return self._get("steps", f"{layer.name} bias")
        if layer.name not in self._grids:
            return bias / self.formats[layer.name].scale.value
        steps = bias / _channels(self._unit(layer.name), bias)
        return round_half_up(steps) if self.straight_through else steps

    def _weight(self, layer: LayerPlan, index: int) -> Tensor:
        """In the steps that :meth:`_bias` has, less the input's."""
        term, bias = layer.terms[index], self.bias(layer.name)
        grid = self._grids.get(layer.name)
        if grid is None:
            ratio = self.formats[term.input].scale.value / self.formats[layer.name].scale.value
            if not trainable(term):
                return torch.tensor(term.weight * ratio).to(bias)
            return torch.where(self.frozen(term.node), 0.0, self.weight(term.node) * ratio)
        made = grid.terms[index]
        if not trainable(term):
            return torch.tensor(made.weight << made.shift).to(bias)
        steps = self._steps(self.weight(term.node), made, self.straight_through)
        return torch.where(self.frozen(term.node), self.integers(term.node), steps) * 2.0**made.shift

    # --- to integers

    def to_qgraph(self) -> QGraph:
        """The integer network; everything must be frozen. Its tensors are what :meth:`steps` gives, plus zero
        points, bit for bit, in the dtype that :meth:`exact` chooses."""
        floating = [node for node in self.convolutions if not self.frozen(node).all()]
        floating += [name for name in self.plan.tensors if name not in self._quantized]
        if floating or not self._biases_frozen:
            what = floating[0] if floating else "the biases"
            raise HwquantError(f"{what} of {self.plan.graph.name!r} is still float: call freeze_all first")
        nodes: list[QNode] = []
        for node in self.plan.nodes:
            match node:
                case MaxPool() | Concat():
                    nodes.append(node)
                case LayerPlan():
                    grid = self._grids[node.name]
                    terms = tuple(self._integer_term(*pair) for pair in zip(node.terms, grid.terms))
                    bias = _integers(self._get("steps", f"{node.name} bias"))
                    nodes.append(replace(grid, terms=terms, bias=bias))
                case _:
                    assert_never(node)
        graph, shapes = self.observed.graph, self.plan.graph.shapes
        tensors = {name: self.formats[name].tensor(name, shapes[name]) for name in self.plan.tensors}
        summary: dict[str, object] = {
            "quantizer": self.options.as_json(),
            "calibration_samples": self.observed.count,
        }
        qgraph = QGraph(graph.name, graph.inputs, tuple(nodes), graph.outputs, tensors, summary)
        summary.update(describe(self.observed, qgraph, self._schemes, self.formats, trained=True))
        return qgraph

    def _integer_term(self, plan: TermPlan, grid: Term) -> Term:
        if not trainable(plan):
            return grid
        adjusted, offset = _integers(self.integers(plan.node)), grid.offset.reshape(-1, 1, 1, 1)
        codes = offset - adjusted if grid.anchor == "max" else adjusted - offset
        kept = plan.weight != 0
        return replace(grid, codes=codes.astype(np.int8), mask=None if kept.all() else kept)

    def exact(self) -> QuantizedNetwork:
        """Changes the module to the dtype in which all sums are exact: float32 while they stay below 2^23."""
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


def trainable(term: TermPlan) -> bool:
    """Whether a term has weights of its own: it is neither an identity nor a pool."""
    return term.unit is None and not term.constant


def adjusted_limits(term: Term) -> tuple[Array, Array]:
    """Least and greatest adjusted weight that codes can express, [1] or [out]."""
    least, greatest = integer_limits(term.bits)
    if term.anchor == "max":
        return term.offset - greatest, term.offset - least
    return term.offset + least, term.offset + greatest


def _channels(values: Array, like: Tensor) -> Tensor:
    """[1] or [out] as a tensor that multiplies [out, ...]."""
    return torch.tensor(values).to(like).view(-1, *[1] * (like.dim() - 1))


def _integers(values: Tensor) -> IntArray:
    return values.detach().cpu().double().numpy().astype(np.int64)
