"""A float :class:`~hwquant.graph.Graph` as a module of PyTorch: to train it, and to get the graph back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from hwquant.errors import HwquantError, Unsupported
from hwquant.graph import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Function,
    Graph,
    MaxPool,
    Multiply,
    Node,
    Rearrange,
)
from hwquant.training.operators import Border, average_pool, clip, convolution, function, max_pool, rearrange


def attribute_names(names: Iterable[str]) -> dict[str, str]:
    """Names of parameters, unique, for names of nodes: torch allows no dots in them."""
    result: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", name)
        while plain in result.values():
            plain += "_"
        result[name] = plain
    return result


class TrainableNetwork(nn.Module):
    """A float network as a module, with its convolutions' weights and biases as parameters.

    They are called ``weight_NODE`` and ``bias_NODE`` (characters that torch does not allow are replaced by ``_``).
    Batch normalization is part of the weights already; there is nothing whose behaviour differs between
    training and evaluation.

    Parameters
    ----------
    graph : Graph
        The float network.
    masks : mapping of array of {0, 1} or bool, optional
        By node name, each in the shape of the node's weight; what is 0 is pruned: see :meth:`set_mask`.
    """

    def __init__(self, graph: Graph, masks: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if graph.host is not None:
            nodes = ", ".join(f"{node.name!r} ({node.operator})" for node in graph.host.nodes[:3])
            raise Unsupported(
                f"network {graph.name!r} cannot be trained here: a part of it stays with the host (such as {nodes}); "
                "train it before, and quantize it without training"
            )
        self.graph = graph
        self.border = Border(graph)
        convolutions = [node for node in graph.nodes if isinstance(node, Conv)]
        self._attributes = attribute_names(node.name for node in convolutions)
        for node in convolutions:
            attribute = self._attributes[node.name]
            for kind, array in (("weight", node.weight), ("bias", node.bias)):
                parameter = nn.Parameter(torch.tensor(array, dtype=torch.float32))
                self.register_parameter(f"{kind}_{attribute}", parameter)
            self.register_buffer(f"mask_{attribute}", torch.ones(node.weight.shape))
        for name, mask in (masks or {}).items():
            self.set_mask(name, mask)

    def weight(self, name: str) -> nn.Parameter:
        """The weight parameter of a convolution, [out, in / groups, kernel height, kernel width]."""
        return getattr(self, f"weight_{self._attribute(name)}")

    def bias(self, name: str) -> nn.Parameter:
        """The bias parameter of a convolution, [out]."""
        return getattr(self, f"bias_{self._attribute(name)}")

    def mask(self, name: str) -> Tensor:
        """The mask of a convolution, 0 where a weight is pruned, else 1."""
        return getattr(self, f"mask_{self._attribute(name)}")

    def set_mask(self, name: str, mask: Any) -> None:
        """Prune the weights of a convolution where a mask is 0.

        The mask multiplies the weight, and so its gradient: pruned weights are exactly zero, and stay so
        under any optimizer. The new mask takes the place of the one before, whose pruned weights are zero.

        Parameters
        ----------
        name : str
            The convolution.
        mask : array or tensor of {0, 1} or bool
            In the shape of the weight.

        Raises
        ------
        HwquantError
            The mask has another shape, or holds other numbers.
        """
        weight, current = self.weight(name), self.mask(name)
        values = torch.as_tensor(mask)
        if values.shape != weight.shape:
            raise HwquantError(
                f"the mask of {name!r} has the shape {tuple(values.shape)}, its weight {tuple(weight.shape)}"
            )
        if not ((values == 0) | (values == 1)).all():
            raise HwquantError(f"the mask of {name!r} must hold only 0 and 1")
        with torch.no_grad():
            weight.mul_(current)
            current.copy_(values)
            weight.mul_(current)

    def effective_weight(self, name: str) -> Tensor:
        """The weight that a convolution uses: its parameter times its mask."""
        return self.weight(name) * self.mask(name)

    def forward(self, *xs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the outputs in the user's layout, one tensor or a tuple.

        Functions that stay on the host (softmax, argmax) are not applied.

        Parameters
        ----------
        *xs : Tensor
            Inputs (N, *shape), in the order of ``graph.inputs``.

        Returns
        -------
        Tensor or tuple of Tensor
            The outputs, in the order of ``graph.outputs``.
        """
        return self.border.deliver(self.tensors(*xs, keep=[output.tensor for output in self.graph.outputs]))

    def tensors(self, *xs: Tensor, keep: Iterable[str]) -> dict[str, Tensor]:
        """Compute the named tensors (N, C, H, W) of the graph for inputs (N, *shape)."""
        wanted = set(keep)
        dtype = next(self.parameters(), torch.zeros(())).dtype
        values = {name: x.to(dtype) for name, x in self.border.prepare(xs).items()}
        last = {name: index for index, node in enumerate(self.graph.nodes) for name in node.inputs}
        for index, node in enumerate(self.graph.nodes):
            values[node.name] = self._evaluate(node, [values[name] for name in node.inputs])
            for name in set(node.inputs) - wanted:
                if last[name] == index:
                    del values[name]
        return {name: values[name] for name in wanted}

    def to_graph(self) -> Graph:
        """The float network with the weights as they are now; pruned ones are exactly 0."""
        nodes: list[Node] = []
        for node in self.graph.nodes:
            if isinstance(node, Conv):
                weight, bias = (
                    tensor.detach().cpu().double().numpy().copy()
                    for tensor in (self.effective_weight(node.name), self.bias(node.name))
                )
                nodes.append(replace(node, weight=weight, bias=bias))
            else:
                nodes.append(node)
        return replace(self.graph, nodes=tuple(nodes))

    def _attribute(self, name: str) -> str:
        if name not in self._attributes:
            known = ", ".join(self._attributes) or "none"
            raise HwquantError(f"{name!r} is no convolution of {self.graph.name!r}; it has {known}")
        return self._attributes[name]

    def _evaluate(self, node: Node, inputs: list[Tensor]) -> Tensor:
        match node:
            case Conv():
                return convolution(inputs[0], self.effective_weight(node.name), self.bias(node.name), node)
            case Clip():
                return clip(inputs[0], node.low, node.high)
            case Function():
                return function(inputs[0], node.expression)
            case MaxPool():
                return max_pool(inputs[0], node.window)
            case AveragePool():
                return average_pool(inputs[0], node)
            case Add():
                return sum(inputs[1:], start=inputs[0])
            case Multiply():
                return inputs[0] * inputs[1]
            case Concat():
                return torch.cat(inputs, dim=1)
            case Rearrange():
                return rearrange(inputs, node)
            case _:
                assert_never(node)
