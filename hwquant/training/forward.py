"""The forward pass of a network that is float in part: when all of it is frozen, its floats are the integers."""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

import numpy as np
import torch
from torch import Tensor

from hwquant.graph import Concat, MaxPool, Rearrange
from hwquant.qgraph import Table
from hwquant.quantize import Observed, QuantizeOptions
from hwquant.quantize.plans import LayerPlan, PlanNode, ProductPlan
from hwquant.training.operators import Border, clip, convolve, function, max_pool, rearrange
from hwquant.training.rounding import per_channel, round_half_up, weight_steps
from hwquant.training.state import QuantizedState


class QuantizedForward(QuantizedState):
    """The forward pass of a network that is float in part; of the state it changes weights of a single bit.

    Every tensor is carried in units of its scale, less its zero point: ``x / S_x``, which is ``x_q - z_x`` once the
    tensor is quantized. A layer whose grid is decided multiplies with ``w / S_w``, which is ``w_q + o`` for frozen
    weights, and shifts: ``y = floor((acc + 2^(s-1)) * 2^-s)``. A table gives its integers, and the gradients of its
    function.

    Parameters
    ----------
    observed : Observed
        The float network and what its calibration data say.
    options : QuantizeOptions
        Bits, scales and so on.
    """

    def __init__(self, observed: Observed, options: QuantizeOptions) -> None:
        super().__init__(observed, options)
        self.border = Border(observed.graph)

    def forward(self, *xs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the real outputs in the user's layout, one tensor or a tuple, for inputs (N, *shape)."""
        values = self.steps(*xs, keep=[output.tensor for output in self.plan.graph.outputs])
        return self.border.deliver({name: x * self.formats[name].scale.value for name, x in values.items()})

    def steps(self, *xs: Tensor, keep: Collection[str]) -> dict[str, Tensor]:
        """Compute the named tensors (N, C, H, W) in units of their scales, less their zero points."""
        self.clamp_weights()
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

    def clamp_weights(self) -> None:
        """Put the float weights that get a single bit back between the two numbers that it stands for.

        As in BinaryConnect (Courbariaux et al., 2015): outside, where most of them begin, no gradient gets through.
        """
        with torch.no_grad():
            for name, grid in self._grids.items():
                for plan, term in zip(self._layers[name].terms, grid.terms):
                    if plan.has_weights and term.bits == 1:
                        weight = self.weight(plan.node)
                        weight.clamp_(*(per_channel(end * term.scale, weight) for end in term.coding.limits))

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
            case Rearrange():
                return rearrange(inputs, node)
            case LayerPlan():
                return self._layer(node, inputs)
            case ProductPlan():
                return self._product(node, *inputs)
            case _:
                assert_never(node)

    def _layer(self, layer: LayerPlan, inputs: list[Tensor]) -> Tensor:
        grid, step = self._grids.get(layer.name), self.formats[layer.target].scale.value
        total = self._bias(layer).view(-1, 1, 1)
        for index, (term, x) in enumerate(zip(layer.terms, inputs)):
            weight = self._weight(layer, index)
            total = total + convolve(x, weight, term.window, term.groups)
        if grid is not None:
            factor = np.ones(1) if grid.multiplier is None else grid.multiplier
            total = total * per_channel(factor * 2.0**-grid.shift, total[0])
            if layer.name in self._quantized:
                zero = self.formats[layer.target].zero_point
                clamped = torch.clamp(round_half_up(total), grid.low - zero, grid.high - zero)
                return clamped if grid.table is None else self._look_up(layer, grid.table, clamped)
        total = clip(total, layer.low / step, layer.high / step)
        if layer.function:
            total = self._function(layer, total)
        return self._round(layer.name, total)

    def _function(self, layer: LayerPlan, x: Tensor) -> Tensor:
        """A layer's function, from steps of its argument to steps of its output."""
        assert layer.function is not None
        real = x * self.formats[layer.target].scale.value
        return function(real, layer.function.expression) / self.formats[layer.name].scale.value

    def _look_up(self, layer: LayerPlan, table: Table, x: Tensor) -> Tensor:
        """What a table holds; gradients are those of the function."""
        address = (x.detach() + (table.zero_point - table.limits[0])).long()
        values = torch.tensor(table.values - self.formats[layer.name].zero_point).to(x)
        through = self._function(layer, x)
        return values[address] + (through - through.detach()).nan_to_num(0.0, 0.0, 0.0)

    def _product(self, product: ProductPlan, a: Tensor, b: Tensor) -> Tensor:
        integer, output = self.integer_product(product), self.formats[product.name]
        if product.name in self._quantized:
            factor = (1 if integer.multiplier is None else integer.multiplier) * 2.0**-integer.shift
            zero = output.zero_point
            return torch.clamp(round_half_up(a * b * factor), integer.low - zero, integer.high - zero)
        step = output.scale.value
        units = [self.formats[name].scale.value for name in product.inputs]
        return clip(a * b * (units[0] * units[1] / step), product.low / step, product.high / step)

    def _bias(self, layer: LayerPlan) -> Tensor:
        """The bias in steps of the accumulator, or of the output where the layer has no grid yet."""
        bias = self.bias(layer.name)
        if self._biases_frozen:
            return self.bias_steps(layer.name)
        if layer.name not in self._grids:
            return bias / self.formats[layer.target].scale.value
        steps = bias / per_channel(self.accumulator_step(layer.name), bias)
        return round_half_up(steps) if self.straight_through else steps

    def _weight(self, layer: LayerPlan, index: int) -> Tensor:
        """The weight of a term in the steps that :meth:`_bias` has, divided by those of its input."""
        term, bias = layer.terms[index], self.bias(layer.name)
        grid = self._grids.get(layer.name)
        if grid is None:
            ratio = self.formats[term.input].scale.value / self.formats[layer.target].scale.value
            if not term.has_weights:
                return torch.tensor(term.weight * ratio).to(bias)
            return torch.where(self.frozen(term.node), 0.0, self.weight(term.node) * ratio)
        made = grid.terms[index]
        if not term.has_weights:
            return torch.tensor(made.weight << made.shift).to(bias)
        steps = weight_steps(self.weight(term.node), made, self.straight_through)
        return torch.where(self.frozen(term.node), self.integers(term.node), steps) * 2.0**made.shift
