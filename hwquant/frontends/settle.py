"""Where the formats of quantized tensors stay: no clip that a tensor's own format makes needless, no tensor with two.

Pools, concatenations and copies hand integers on as they are. So a format that is asked for behind them is asked for in
front of them, and what has it already is not rounded again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwquant.frontends.values import Float, Value, each_once
from hwquant.given import Given, GivenFormat, GivenWeights, Source, regrid
from hwquant.graph import Clip, Concat, Conv, MaxPool, Node, Rearrange
from hwquant.interface import Input

if TYPE_CHECKING:
    from hwquant.frontends.tensors import Tensors

ON_GRID = 1e-5
"""How far a bound may be from an integer of a format, in steps: both were rounded to float32 perhaps."""
Settled = tuple[list[Node], dict[str, str], Given]


def settle(
    build: Tensors, inputs: Mapping[str, Input], nodes: Sequence[Node], outputs: Mapping[str, str]
) -> Settled:
    """Say where the network's tensors are integers already, and leave out what that makes needless.

    Parameters
    ----------
    build : Tensors
        The formats and grids that the model gave.
    inputs : mapping of Input
        The network inputs, by name.
    nodes : sequence of Node
        The network's nodes, in topological order.
    outputs : mapping of str to str
        The tensor of each output, by its name.

    Returns
    -------
    nodes : list of Node
        The nodes, in topological order.
    outputs : dict of str to str
        The tensor of each output.
    given : Given
        What of these is quantized already.
    """
    weights, lost = _weights(build, nodes)
    formats, off = {}, []
    for name, (form, preprocess) in build.input_formats.items():
        if name in inputs:
            found = _of_input(inputs[name], form, preprocess)
            if found is None:
                off.append(name)
            else:
                formats[name] = found
    if not build.formats and not formats:
        return list(nodes), dict(outputs), Given({}, weights, (*lost, *off))
    places = _Places(build, inputs, nodes, outputs, formats)
    for node in nodes:
        places.add(node)
    final = {name: places.found(tensor) for name, tensor in outputs.items()}
    lost += [name for name in off if name not in places.formats]
    given = Given(places.formats, weights, tuple(lost), sources=places.sources(build.integers, inputs))
    return list(places.nodes.values()), final, given


def _of_input(item: Input, form: GivenFormat, preprocess: tuple[Float, Float]) -> GivenFormat | None:
    """The format of an input whose numbers were multiplied by one behind it; None where more was done to them."""
    scale, shift = (np.broadcast_to(part, item.shape).ravel() for part in (item.scale, item.shift))
    factor = factor_between(preprocess, (scale, shift))
    return None if factor is None else replace(form, scale=form.scale * factor)


def factor_between(before: tuple[Float, Float], after: tuple[Float, Float]) -> float | None:
    """The positive number that turns one scale and shift into another; None where there is none."""
    factor = float(after[0].flat[0] / before[0].flat[0]) if before[0].flat[0] else 0.0
    same = factor > 0 and all(
        np.allclose(now.ravel(), factor * then.ravel(), rtol=1e-9, atol=0) for now, then in zip(after, before)
    )
    return factor if same else None


def _weights(build: Tensors, nodes: Sequence[Node]) -> tuple[dict[str, GivenWeights], list[str]]:
    """The grids of the convolutions whose weights still lie on one, and the names of the others."""
    weights, lost = {}, [name for name in build.off_grid if any(node.name == name for node in nodes)]
    for node in nodes:
        if isinstance(node, Conv) and node.name in build.grids:
            grid, before = build.grids[node.name]
            made = regrid(grid, before, node.weight)
            if made is None:
                lost.append(node.name)
            else:
                weights[node.name] = made
    return weights, lost


class _Places:
    """The network so far, and which of its tensors are integers of a known format.

    Parameters
    ----------
    build : Tensors
        The formats of clips, and names that are free.
    inputs : iterable of str
        The network's inputs.
    nodes : sequence of Node
        All nodes.
    outputs : mapping of str to str
        The tensor of each output.
    formats : dict of GivenFormat
        Those of the inputs.
    """

    def __init__(
        self,
        build: Tensors,
        inputs: Iterable[str],
        nodes: Sequence[Node],
        outputs: Mapping[str, str],
        formats: dict[str, GivenFormat],
    ) -> None:
        self._build = build
        self._inputs = frozenset(inputs)
        self.nodes: dict[str, Node] = {}
        self.formats = formats
        self._same: dict[str, str] = {}
        self._readers: dict[str, list[Node | None]] = defaultdict(list)
        for node in nodes:
            for name in node.inputs:
                self._readers[name].append(node)
        for name in outputs.values():
            self._readers[name].append(None)

    def found(self, tensor: str) -> str:
        """What a tensor is called now."""
        return self._same.get(tensor, tensor)

    def add(self, node: Node) -> None:
        """Add a node behind the others, or nothing where a tensor is what it would give."""
        made = replace(node, inputs=tuple(self.found(name) for name in node.inputs))
        form = self._build.formats.get(node.name)
        if isinstance(made, Clip) and form is not None:
            (source,) = made.inputs
            if self._is(source, form) or self._carries(source) or self._free_input(source):
                self._replace(node, self._in(source, form, made))
                return
            self.formats[node.name] = form
        elif (
            isinstance(made, Clip)
            and not self._asked(node.name)
            and (known := self._clipped(made)) is not None
        ):
            self.formats[node.name] = known
        elif self._mixed(made) and not self._asked(node.name):  # calibration finds one format for all of them
            made = replace(made, inputs=tuple(self._free(name) for name in made.inputs))
        self.nodes[made.name] = made

    def sources(self, integers: Mapping[str, Value], inputs: Mapping[str, Input]) -> dict[str, Source]:
        """Which tensors the model's integers have become, by their names in it."""
        result = {}
        for name, value in integers.items():
            tensor, form = self.found(value.tensor), self._form(self.found(value.tensor))
            if form is None or value.quantized is None or not form.same(value.quantized):
                continue
            order = None if value.index is None else self._build.sample(value).ravel()
            placed = inputs[tensor].order if tensor in inputs and value.preprocess is not None else None
            if placed is not None:  # of the user's elements the tensor may have a part
                where = np.full(placed.max(initial=0) + 1, -1)
                where[placed] = np.arange(placed.size)
                order = where if order is None else where[order]
            if order is None or each_once(order, math.prod(self._build.shapes[tensor])):
                result[name] = Source(tensor, value.quantized, order)
        return result

    def _replace(self, node: Node, tensor: str) -> None:
        """Let a tensor stand for what a node would give."""
        self._same[node.name] = tensor
        readers = self._readers[tensor]
        readers[:] = [reader for reader in readers if reader is not node] + self._readers[node.name]

    def _free_input(self, tensor: str) -> bool:
        """Whether a tensor is a network input that has no format, and is read once."""
        return tensor in self._inputs and tensor not in self.formats and len(self._readers[tensor]) == 1

    def _clipped(self, node: Clip) -> GivenFormat | None:
        """The format of what is clipped, where its integers are clipped as well as real numbers are."""
        known = self._form(node.inputs[0])
        if known is None:
            return None
        steps = [bound / known.scale for bound in (node.low, node.high) if math.isfinite(bound)]
        whole = all(abs(step - round(step)) < ON_GRID for step in steps)
        return replace(known, reach=None, rounding="half_up") if whole else None

    def _mixed(self, node: Node) -> bool:
        """Whether a node joins tensors of several formats, or some with and some without one."""
        return isinstance(node, Concat | Rearrange) and len({self._form(name) for name in node.inputs}) > 1

    def _asked(self, tensor: str) -> bool:
        """Whether what reads a tensor, perhaps behind others that only move values, gives it a format."""
        readers = self._readers[tensor]
        if len(readers) != 1 or readers[0] is None:
            return False
        reader = readers[0]
        return reader.name in self._build.formats or (
            isinstance(reader, MaxPool | Concat | Rearrange) and self._asked(reader.name)
        )

    def _form(self, tensor: str) -> GivenFormat | None:
        """The format of a tensor, or of all that it is made of without arithmetic; None where there is none."""
        if tensor in self.formats:
            return self.formats[tensor]
        node = self.nodes.get(tensor)
        if not isinstance(node, MaxPool | Concat | Rearrange):
            return None
        forms = {self._form(name) for name in node.inputs}
        return forms.pop() if len(forms) == 1 else None

    def _is(self, tensor: str, form: GivenFormat) -> bool:
        """Whether a tensor has a format already."""
        known = self._form(tensor)
        return known is not None and form.holds(known)

    def _carries(self, tensor: str) -> bool:
        """Whether a tensor only moves values, and is read once."""
        node = self.nodes.get(tensor)
        return isinstance(node, MaxPool | Concat | Rearrange) and len(self._readers[tensor]) == 1

    def _in(self, tensor: str, form: GivenFormat, clip: Clip) -> str:
        """The tensor with a format: itself, or what moves its parts with that format, or a clip behind it."""
        if self._is(tensor, form):
            return tensor
        if self._free_input(tensor):  # its integers are rounded once, where they come from
            self.formats[tensor] = form
            return tensor
        node = self.nodes.get(tensor)
        if node is not None and self._carries(tensor):
            del self.nodes[tensor]
            self.nodes[tensor] = replace(
                node, inputs=tuple(self._in(name, form, clip) for name in node.inputs)
            )
            return tensor
        made = replace(clip, name=self._build.unique(f"{tensor}.{clip.name}"), inputs=(tensor,))
        self.nodes[made.name], self.formats[made.name] = made, form
        return made.name

    def _free(self, tensor: str) -> str:
        """A tensor without a format of its own: itself, or what is rounded anew behind it."""
        if self._form(tensor) is None:
            return tensor
        made = Clip(self._build.unique(f"{tensor}.rounded"), (tensor,), -math.inf, math.inf)
        self.nodes[made.name] = made
        return made.name
