"""Build a Graph from values: names, batch, the layout of the inputs, the outputs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hwquant.errors import Unsupported
from hwquant.frontends.alternatives import alternative
from hwquant.frontends.fold import Affine, Unfolded, fold
from hwquant.frontends.found_copies import find_copies
from hwquant.frontends.values import Float, Index, Value, compressed, each_once, layout, simplified
from hwquant.graph import Concat, Graph, Input, Node, Output, Rearrange, Shape
from hwquant.window import Window

ANY_BATCH = 2
"""The batch size that stands for any: not 1, so that a lost batch dimension is noticed."""

LARGEST = 1 << 26
"""Elements of a tensor, batch included, beyond which a model is taken for damaged: no chip holds them."""

LARGEST_VIEW = 1 << 24
"""Elements of what is reordered one by one, such as every network input, beyond which a model is damaged."""

MOST_SPENT = 1 << 28
"""Elements, batch included, that all views and constant factors of a model have together."""


MOST_SHIFTED = 1e9
"""How large the shift of a shared input can be that another reader has to undo, in multiples of the input."""

Layout = tuple[Shape, Index | None]
"""(C, H, W) of an input's tensor, and where its elements are in the user's array (None: as they are)."""


class LayoutWanted(Exception):
    """A window reads an input in another order than an earlier reader, to which the order does not matter.

    Parameters
    ----------
    name : str
        The input.
    wanted : Layout
        The layout in which the window reads it.
    """

    def __init__(self, name: str, wanted: Layout) -> None:
        super().__init__(name)
        self.name, self.wanted = name, wanted


def with_layouts(translate: Callable[[Mapping[str, Layout]], Graph]) -> Graph:
    """Make a graph with an importer, once the layouts in which windows want the inputs are known.

    Parameters
    ----------
    translate : callable
        A function from layouts to the graph that is made with them by a `Builder`.

    Returns
    -------
    Graph
        The graph.
    """
    layouts: dict[str, Layout] = {}
    while True:  # at most once an input more
        try:
            return translate(dict(layouts))
        except LayoutWanted as found:
            layouts[found.name] = found.wanted


class Builder:
    """The nodes of a network under construction.

    Operators are functions on values, in `operators`, `elementwise` and `rearrange`.

    Attributes
    ----------
    batch : int
        Batch size that every value carries as its first dimension.
    layouts : mapping of Layout, optional
        What windows are known to want, by input (see `with_layouts`).
    where : str
        The model's node at hand, for messages.
    operator : str
        The operator of that node.
    shapes : dict of Shape
        (C, H, W) of every tensor that exists so far.
    """

    def __init__(self, name: str, batch: int, layouts: Mapping[str, Layout] | None = None) -> None:
        self.name = name
        self.batch = batch
        self.layouts = layouts or {}
        self.where = ""
        self.operator = ""
        self.shapes: dict[str, Shape] = {}
        self._inputs: dict[str, tuple[int, ...]] = {}
        self._placed: dict[str, Input] = {}
        self._nodes: list[Unfolded] = []
        self._outputs: list[tuple[str, Value]] = []
        self._joins: dict[str, tuple[str, ...]] = {}
        self._copied: dict[tuple[object, ...], str] = {}
        self._names: set[str] = set()
        self._spent = 0

    def refuse(self, why: str) -> Unsupported:
        """The error for the node at hand."""
        message = f"{self.where}: {why}" if self.where else why
        return Unsupported(message, where=self.where, operator=self.operator)

    def refuse_operator(self, operator: str) -> Unsupported:
        """The error for an operator that has no translation, with what to use in its place."""
        return self.refuse(f"this operator is not supported; {alternative(operator)}")

    def unique(self, name: str) -> str:
        """A name that no tensor has yet."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def weights(self, array: ArrayLike, label: str) -> Float:
        """A constant of the model as float64.

        Parameters
        ----------
        array : array_like
            The constant.
        label : str
            Its name in the model.

        Returns
        -------
        ndarray of float64
            In the constant's shape.

        Raises
        ------
        Unsupported
            If it holds NaN or infinity, or no real numbers.
        """
        array = np.asarray(array)
        try:
            real = array.astype(np.float64)
        except (TypeError, ValueError):
            raise self.refuse(f"tensor {label!r} holds {array.dtype}, not real numbers") from None
        if not np.isfinite(real).all():
            kind = "NaN" if np.isnan(real).any() else "infinity"
            raise self.refuse(f"tensor {label!r} contains {kind}; train or export the model again")
        return real

    def spend(self, size: int) -> None:
        """Account for elements of a sample that are reordered or scaled one by one.

        Parameters
        ----------
        size : int
            Number of elements.

        Raises
        ------
        Unsupported
            If they are too many, here or in the whole model.
        """
        elements = size * max(self.batch, ANY_BATCH)
        self._spent += elements
        if elements > LARGEST_VIEW or self._spent > MOST_SPENT:
            raise self.refuse(
                f"it reorders or scales {size} elements, which is too large; export smaller shapes"
            )

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
        return Value(name, (self.batch, *shape), preprocess=preprocess, integer=integer)

    def output(self, name: str, value: Value) -> None:
        """Make a value a network output."""
        self.where = f"output {name!r}"
        final = self.place(replace(value, host=()))
        self.sample(final)
        self._outputs.append((name, replace(final, host=value.host)))

    def emit(self, node: Unfolded) -> str:
        """Append a node, and return the name of its tensor."""
        shape = node.output_shape(*(self.shapes[name] for name in node.inputs))
        if min(shape) < 1:
            inputs = ", ".join(str(self.shapes[name]) for name in node.inputs)
            raise self.refuse(f"its output would be empty, {shape} from {inputs}")
        padded = 0
        window: Window | None = getattr(node, "window", None)
        if window is not None:
            channels, height, width = self.shapes[node.inputs[0]]
            top, left, bottom, right = window.padding
            padded = channels * (height + top + bottom) * (width + left + right)
        if max(math.prod(shape), padded) * max(self.batch, ANY_BATCH) > LARGEST:
            raise self.refuse(
                f"its output of shape {shape} is too large; export the model with smaller shapes"
            )
        self.shapes[node.name] = shape
        self._nodes.append(node)
        return node.name

    def producer(self, tensor: str) -> Unfolded | None:
        """The node that makes a tensor; None for an input."""
        return next((node for node in self._nodes if node.name == tensor), None)

    def value(self, tensor: str, sample_shape: Sequence[int], sample: Index | None = None) -> Value:
        """A value of a tensor from the view of one sample; None for the order as it is."""
        shape = (self.batch, *sample_shape)
        if sample is None:
            return Value(tensor, shape)
        size = math.prod(self.shapes[tensor])
        batch = np.arange(self.batch, dtype=np.int64).reshape(-1, *[1] * len(sample_shape)) * size
        return Value(tensor, shape, simplified(batch + sample.reshape(1, *sample_shape)))

    def join(self, name: str, tensors: Sequence[str]) -> str:
        """Join tensors element by element, one after the other, and a zero behind the last; return the join's name.

        A join is no tensor: views of it are copied out of its tensors where something reads them (see `place`).
        """
        label = f"{name}/joined"
        while label in self.shapes:
            label += "_"
        self._joins[label] = tuple(tensors)
        self.shapes[label] = (sum(math.prod(self.shapes[item]) for item in tensors) + 1, 1, 1)
        return label

    def parts(self, tensor: str) -> tuple[str, ...]:
        """The tensors whose elements, one tensor after the other, are those of a tensor, which may be a join."""
        node = self.producer(tensor)
        inside = node.inputs if isinstance(node, Concat) else self._joins.get(tensor)
        return (tensor,) if inside is None else tuple(part for name in inside for part in self.parts(name))

    def joined(self, value: Value) -> bool:
        """Whether a value is a view of a join."""
        return value.tensor in self._joins

    def copied(self, value: Value, shape: Shape) -> Value | None:
        """Copy the elements that a placed value sees to a tensor (C, H, W) of their own; None where that is too much.

        Parameters
        ----------
        value : Value
            The value.
        shape : tuple of int
            The shape of the new tensor, in whose order the value sees its elements.
        """
        sample, parts = self.sample(value).reshape(shape), self.parts(value.tensor)
        key = (value.tensor, shape, hashlib.sha256(np.ascontiguousarray(sample)).digest())
        if key not in self._copied:
            copies = find_copies(sample, [self.shapes[part] for part in parts])
            if copies is None:
                return None
            read = sorted({copy.input for copy in copies})
            copies = tuple(replace(copy, input=read.index(copy.input)) for copy in copies)
            name = self.unique(f"{value.tensor.removesuffix('/joined')}_copied")
            self._copied[key] = self.emit(Rearrange(name, tuple(parts[number] for number in read), shape, copies))
        return self.value(self._copied[key], value.shape[1:])

    def sample(self, value: Value) -> Index:
        """The index of one sample (without the batch dimension).

        Raises
        ------
        Unsupported
            If the batch is not the first dimension any more, or the value has a softmax or argmax behind it.
        """
        if value.host:
            raise self.refuse(
                f"it reads the result of {value.host[-1]}, which is only supported at the network's end"
            )
        if not value.shape or value.shape[0] != self.batch:
            raise self.refuse(
                f"a tensor of shape {value.shape} has lost its batch dimension; keep it the first one"
            )
        size = math.prod(value.shape[1:])
        if value.index is None:
            return np.arange(size, dtype=np.int64).reshape(value.shape[1:])
        flat = value.index.reshape(self.batch, size)
        if not np.array_equal(flat, flat[0] + self._elements(value.tensor) * np.arange(self.batch)[:, None]):
            raise self.refuse(
                "a reshape or transpose mixes the samples of a batch; keep the batch dimension first"
            )
        return value.index[0]

    def place(self, value: Value, shape: Shape | None = None) -> Value:
        """Bring a value into the terms of a tensor that exists.

        The first reader of a network input decides its layout: ``shape`` (C, H, W), else the value's own;
        unless a window is known to want another.
        """
        if value.preprocess is None:
            return self._out_of_join(value) if self.joined(value) else value
        if value.integer:
            raise self.refuse(f"input {value.tensor!r} is an integer here; cast it to float first")
        sample = self.sample(value)
        if value.tensor not in self._placed:
            user = self._inputs[value.tensor]
            own = shape or layout(value.shape[1:]), simplified(sample.ravel())
            if not each_once(sample, math.prod(user)):
                own = layout(user), None
            tensor_shape, order = self.layouts.get(value.tensor, own)
            scale, shift = (compressed(part.reshape(user)) for part in value.preprocess)
            self._placed[value.tensor] = Input(value.tensor, user, tensor_shape, scale, shift, order)
            self.shapes[value.tensor] = tensor_shape
        tensor, inverse = self._placed_tensor(value.tensor, *value.preprocess)
        return self.value(tensor, value.shape[1:], sample if inverse is None else inverse[sample])

    def copy(self, value: Value) -> Value:
        """Place a value as a tensor of its own, in channel-major order of its shape."""
        return self.image(value)

    def spread(self, value: Value, numbers: Float, rest: float) -> Float | None:
        """Give each element of a value's tensor its number; None where the value sees an element with two.

        Parameters
        ----------
        value : Value
            The value.
        numbers : ndarray of float64
            A number for each element of a sample, as the value sees it.
        rest : float
            The number of what the value does not see.
        """
        elements, sample = self._elements(value.tensor), self.sample(value).ravel()
        base = np.full(elements, rest)
        base[sample] = numbers.ravel()
        return base if np.array_equal(base[sample], numbers.ravel()) else None

    def _out_of_join(self, value: Value) -> Value:
        found = self.copied(value, layout(value.shape[1:]))
        if found is None:
            raise self.refuse(
                f"it reads elements of {', '.join(map(repr, self.parts(value.tensor)))} joined to {value.shape}, in an "
                "order that would take too many copies of single pixels; leave that to the host, at the network's end"
            )
        return found

    def _elements(self, tensor: str) -> int:
        """Elements of a sample of a tensor, or of a network input whose layout is still open."""
        return math.prod(self.shapes.get(tensor) or self._inputs[tensor])

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

    def image(self, value: Value, whole: bool = True) -> Value:
        """Place a value, and make it its tensor in channel-major order: copied, where it is not.

        With ``whole`` its height and width must be the tensor's own, else only the channels count.
        """
        shape = layout(value.shape[1:])
        placed = self.place(value, shape)
        if not self.is_image(placed, whole):
            again = value.tensor not in self.layouts
            if value.preprocess is not None and again:
                if each_once(self.sample(value), self._elements(value.tensor)):
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
        have, want = self.shapes[value.tensor], layout(value.shape[1:])
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
        used = {name for node in nodes for name in node.inputs} | set(tensors.values())
        delivered = []
        for number, (name, value) in enumerate(self._outputs):
            index: Index | None = self.sample(replace(value, host=())).ravel()
            if value.index is None and len(index) == self._elements(value.tensor):
                index = None
            delivered.append(Output(name, tensors[str(number)], value.shape[1:], index, value.host))
        inputs = tuple(self._placed[name] for name in self._inputs if name in used)
        return Graph(self.name, inputs, tuple(nodes), tuple(delivered))

    def _check_finite(self, nodes: Sequence[Node]) -> None:
        """Refuse constants that are not finite: products of finite ones can exceed every number."""
        parts = [(node.name, tuple(node.parameters.values())) for node in nodes]
        parts += [(name, (item.scale, item.shift)) for name, item in self._placed.items()]
        for name, arrays in parts:
            if not all(np.isfinite(array).all() for array in arrays):
                raise self.refuse(
                    f"the constants of {name!r} multiply to more than a number holds; train it again"
                )
