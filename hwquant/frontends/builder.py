"""Build a Graph from values: names, batch, the layout of the inputs, the outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwquant.frontends.fold import Affine, fold
from hwquant.frontends.layouts import Layout, LayoutWanted
from hwquant.frontends.limits import LARGEST_VIEW, MOST_SHIFTED
from hwquant.frontends.settle import factor_between, settle
from hwquant.frontends.tensors import ANY_BATCH, Tensors
from hwquant.frontends.values import Float, Index, Value, compressed, each_once, layout, simplified
from hwquant.graph import Graph, Node, Shape
from hwquant.interface import Input, Output
from hwquant.printable import first_of


class Builder(Tensors):
    """The nodes of a network under construction.

    Operators are functions on values, in `operators`, `elementwise` and `rearrange`.

    Attributes
    ----------
    layouts : mapping of Layout, optional
        What windows are known to want, by input (see `with_layouts`).
    """

    def __init__(
        self,
        name: str,
        batch: int,
        layouts: Mapping[str, Layout] | None = None,
        *,
        single: bool = False,
        bare: bool = False,
    ) -> None:
        super().__init__(batch, single=single, bare=bare)
        self.name = name
        self.layouts = layouts or {}
        self._inputs: dict[str, tuple[int, ...]] = {}
        self._placed: dict[str, Input] = {}
        self._outputs: list[tuple[str, Value]] = []

    def input(self, name: str, shape: Sequence[int], integer: bool = False) -> Value:
        """Add a network input of ``shape``, without the batch dimension."""
        size = math.prod(shape)
        if size < 1:
            raise self.refuse(f"input {name!r} has the empty shape {tuple(shape)}")
        if size * max(self.batch, ANY_BATCH) > LARGEST_VIEW:
            raise self.refuse(
                f"input {name!r} has {size} elements for each of {self.batch} samples, which is too large; "
                "export the model with smaller shapes, or a batch of 1"
            )
        self._names.add(name)
        self._inputs[name] = tuple(shape)
        preprocess = np.ones(size), np.zeros(size)
        whole = tuple(shape) if self.bare else (self.batch, *shape)
        return Value(name, whole, preprocess=preprocess, integer=integer)

    def output(self, name: str, value: Value) -> None:
        """Make a value a network output."""
        self.where = f"output {name!r}"
        final = self.place(replace(value, host=(), quantized=None))
        if self.single and not self.bare:
            final = self.with_batch(final)
        if not self.bare and final.shape[:1] != (self.batch,):
            raise self.lost(final)
        self.sample(final)
        self._outputs.append((name, replace(final, host=value.host)))

    def place(self, value: Value, shape: Shape | None = None) -> Value:
        """Bring a value into the terms of a tensor that exists.

        The first reader of a network input decides its layout: ``shape`` (C, H, W), else the value's own;
        unless a window is known to want another.
        """
        if value.quantized is not None:
            raise self.refuse(
                "it computes with integers that a tensor was quantized to; dequantize them before"
            )
        if value.preprocess is None:
            return self._out_of_join(value) if self.joined(value) else value
        if value.integer:
            raise self.refuse(f"input {value.tensor!r} is an integer here; cast it to float first")
        sample = self.sample(value)
        if value.tensor not in self._placed:
            user = self._inputs[value.tensor]
            own = shape or layout(sample.shape), simplified(sample.ravel())
            if not each_once(sample, math.prod(user)):
                own = layout(user), None
            tensor_shape, order = self.layouts.get(value.tensor, own)
            scale, shift = (
                compressed(part.reshape(user)) for part in self._rounded_at(value.tensor, value.preprocess)
            )
            self._placed[value.tensor] = Input(value.tensor, user, tensor_shape, scale, shift, order)
            self.shapes[value.tensor] = tensor_shape
        tensor, inverse = self._placed_tensor(value.tensor, *value.preprocess)
        placed = self.value(tensor, sample.shape, sample if inverse is None else inverse[sample])
        return placed.view(lambda array: array.reshape(value.shape))

    def is_placed(self, name: str) -> bool:
        """Whether a network input has its layout."""
        return name in self._placed

    def copy(self, value: Value) -> Value:
        """Place a value as a tensor of its own, in channel-major order of its shape."""
        return self.image(value)

    def _elements(self, tensor: str) -> int:
        """Elements of a sample of a tensor, or of a network input whose layout is still open."""
        return math.prod(self.shapes.get(tensor) or self._inputs[tensor])

    def _out_of_join(self, value: Value) -> Value:
        found = self.copied(value, layout(self.sample_shape(value)))
        if found is None:
            raise self.refuse(
                f"it reads elements of {first_of([*map(repr, self.parts(value.tensor))])} joined to {value.shape}, "
                "in an order that would take too many copies of single pixels; leave that to the host, at the "
                "network's end"
            )
        return found

    def _placed_tensor(self, name: str, scale: Float, shift: Float) -> tuple[str, Index | None]:
        """The tensor of a placed input after preprocessing, and where each of the user's elements went in it.

        An affine map is left to compute where the input's first reader had another preprocessing.
        """
        item = self._placed[name]
        user, shape, order = self._inputs[name], item.tensor_shape, item.order
        inverse = None if order is None else np.argsort(order)
        first_scale, first_shift = (np.broadcast_to(part, user).ravel() for part in (item.scale, item.shift))
        if np.array_equal(scale, first_scale) and np.array_equal(shift, first_shift):
            return name, inverse
        if not first_scale.all():
            raise self.refuse(
                f"input {name!r} is multiplied by zero for its first reader, but not for this one"
            )
        with np.errstate(over="ignore"):
            if not np.abs(first_shift / first_scale).max() < MOST_SHIFTED:
                raise self.refuse(
                    f"input {name!r} is shifted so far for its first reader that nothing is left of it for this one"
                )
        factor = scale / first_scale
        offset = shift - first_shift * factor
        if order is not None:
            factor, offset = factor[order], offset[order]
        node = Affine(self.unique(f"{name}_scaled"), (name,), factor.reshape(shape), offset.reshape(shape))
        return self.emit(node), inverse

    def _rounded_at(self, tensor: str, preprocess: tuple[Float, Float]) -> tuple[Float, Float]:
        """What an input is preprocessed with: no more than where the model rounds it, unless that is a mere factor."""
        known = self.input_formats.get(tensor)
        if known is None or factor_between(known[1], preprocess) is not None:
            return preprocess
        return known[1]

    def image(self, value: Value, whole: bool = True) -> Value:
        """Place a value, and make it its tensor in channel-major order: copied, where it is not.

        With ``whole`` its height and width must be the tensor's own, else only the channels count.
        """
        shape = layout(self.sample_shape(value))
        placed = self.place(value, shape)
        if not self.is_image(placed, whole):
            again = value.tensor not in self.layouts
            open_ = value.preprocess is not None and each_once(
                self.sample(value), self._elements(value.tensor)
            )
            if open_ and again:
                raise LayoutWanted(value.tensor, (shape, simplified(self.sample(value).ravel())))
            found = self.copied(placed, shape)
            if found is not None:
                return found
            have = "transposed" if placed.index is not None else "reshaped"
            raise self.refuse(
                f"it reads tensor {placed.tensor!r} of shape {self.shapes[placed.tensor]} {have} to "
                f"{placed.shape[1:]}; only a network input can be reordered before a window, so move the "
                "transpose or reshape to the input, or before a fully connected layer"
            )
        return placed

    def is_image(self, value: Value, whole: bool = True) -> bool:
        """Whether a placed value is its tensor in channel-major order."""
        have, want = self.shapes[value.tensor], layout(self.sample_shape(value))
        self.sample(value)
        same = have == want if whole else (have[0], math.prod(have)) == (want[0], math.prod(want))
        return value.index is None and same

    def graph(self) -> Graph:
        """Finish the network.

        Raises
        ------
        Unsupported
            If there is nothing in it.
        """
        self.where = f"network {self.name!r}"
        if not self._outputs:
            raise self.refuse("it has no outputs")
        outputs = {str(number): value.tensor for number, (_, value) in enumerate(self._outputs)}
        with np.errstate(all="ignore"):
            nodes, tensors = fold(self._nodes, outputs, self.shapes)
        self._check_finite(nodes)
        nodes, tensors, given = settle(self, self._placed, nodes, tensors)
        used = {name for node in nodes for name in node.inputs} | set(tensors.values())
        delivered = []
        for number, (name, value) in enumerate(self._outputs):
            sample = self.sample(replace(value, host=())).ravel()
            whole = value.index is None and len(sample) == self._elements(value.tensor)
            index = None if whole else sample
            shape = value.shape if self.bare and not value.host else self.sample_shape(value)
            delivered.append(Output(name, tensors[str(number)], shape, index, value.host))
        inputs = tuple(self._placed[name] for name in self._inputs if name in used)
        return Graph(self.name, inputs, tuple(nodes), tuple(delivered), given=given)

    def _check_finite(self, nodes: Sequence[Node]) -> None:
        """Refuse constants that are not finite: products of finite ones can exceed every number."""
        parts = [(node.name, tuple(node.parameters.values())) for node in nodes]
        parts += [(name, (item.scale, item.shift)) for name, item in self._placed.items()]
        for name, arrays in parts:
            if not all(np.isfinite(array).all() for array in arrays):
                raise self._not_finite(
                    f"the constants of {name!r} multiply to more than a number holds; train it again"
                )
