"""Build a Graph from values: names, batch, the layout of the inputs, the outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hwquant.errors import Unsupported
from hwquant.frontends.alternatives import alternative
from hwquant.frontends.batch import NO_BATCH
from hwquant.frontends.fold import Affine, Unfolded, fold
from hwquant.frontends.layouts import Layout, LayoutWanted
from hwquant.frontends.limits import LARGEST, LARGEST_VIEW, MOST_SHIFTED, MOST_SPENT
from hwquant.frontends.refusals import Misfit, NotFinite
from hwquant.frontends.values import Float, Index, Value, compressed, layout, simplified
from hwquant.graph import Graph, Node, Shape
from hwquant.interface import Input, Output
from hwquant.window import Window

ANY_BATCH = 2
"""The batch size that stands for any: not 1, so that a lost batch dimension is noticed."""


class Builder:
    """The nodes of a network under construction.

    Operators are functions on values, in `operators`, `elementwise` and `rearrange`.

    Attributes
    ----------
    batch : int
        Batch size that every value carries as its first dimension.
    layouts : mapping of Layout, optional
        What windows are known to want, by input (see `with_layouts`).
    single : bool
        The model is for one sample, so that every value is all of it; the axis of length 1 for the batch may be lost.
    bare : bool
        The model has no batch dimension: its inputs and outputs are samples as they are. It is ``single`` then.
    where : str
        The model's node at hand, for messages.
    operator : str
        The operator of that node.
    shapes : dict of Shape
        (C, H, W) of every tensor that exists so far.
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
        self.name = name
        self.batch = batch
        self.single, self.bare = single or bare, bare
        self.layouts = layouts or {}
        self.where = ""
        self.operator = ""
        self.shapes: dict[str, Shape] = {}
        self._inputs: dict[str, tuple[int, ...]] = {}
        self._placed: dict[str, Input] = {}
        self._nodes: list[Unfolded] = []
        self._producers: dict[str, Unfolded] = {}
        self._outputs: list[tuple[str, Value]] = []
        self._names: set[str] = set()
        self._spent = 0

    def refuse(self, why: str) -> Unsupported:
        """The error for the node at hand."""
        message = f"{self.where}: {why}" if self.where else why
        return Unsupported(message, where=self.where, operator=self.operator)

    def lost(self, value: Value) -> Unsupported:
        """The error for a value without a batch dimension."""
        return self.refuse(
            f"a tensor of shape {value.shape} has lost its batch dimension; keep it the first one{NO_BATCH}"
        )

    def misfit(self, why: str) -> Misfit:
        """The error for the node at hand where its shapes do not fit."""
        return Misfit(str(self.refuse(why)), where=self.where, operator=self.operator)

    def _not_finite(self, why: str) -> NotFinite:
        refusal = self.refuse(why)
        return NotFinite(str(refusal), where=refusal.where, operator=refusal.operator)

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
            raise self._not_finite(f"tensor {label!r} contains {kind}; train or export the model again")
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
        whole = tuple(shape) if self.bare else (self.batch, *shape)
        return Value(name, whole, preprocess=preprocess, integer=integer)

    def output(self, name: str, value: Value) -> None:
        """Make a value a network output."""
        self.where = f"output {name!r}"
        final = self.place(replace(value, host=()))
        if not self.bare and final.shape[:1] != (self.batch,):
            raise self.lost(final)
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
        self._producers[node.name] = node
        return node.name

    @property
    def nodes(self) -> Sequence[Unfolded]:
        """The nodes so far."""
        return self._nodes

    def producer(self, tensor: str) -> Unfolded | None:
        """The node that makes a tensor; None for an input."""
        return self._producers.get(tensor)

    def value(self, tensor: str, sample_shape: Sequence[int], sample: Index | None = None) -> Value:
        """A value of a tensor from the view of one sample; None for the order as it is."""
        shape = (self.batch, *sample_shape)
        if sample is None:
            return Value(tensor, shape)
        size = math.prod(self.shapes[tensor])
        batch = np.arange(self.batch, dtype=np.int64).reshape(-1, *[1] * len(sample_shape)) * size
        return Value(tensor, shape, simplified(batch + sample.reshape(1, *sample_shape)))

    def sample_shape(self, value: Value) -> tuple[int, ...]:
        """The shape of one sample: without the batch dimension, where there is one."""
        return value.shape if self.single and self._lost(value) else value.shape[1:]

    def _lost(self, value: Value) -> bool:
        """Whether a value of the one sample has no batch dimension, or one of several has it joined with an axis."""
        if self.single:
            return value.shape[:1] != (1,) or (self.bare and len(value.shape) == 1)
        return bool(value.shape) and value.shape[0] != self.batch and value.shape[0] % self.batch == 0

    def with_batch(self, value: Value) -> Value:
        """A value whose first axis is the batch, where it was lost, never there, or joined with an axis of a sample."""
        if not self._lost(value):
            return value
        size = (self.batch, *value.shape) if self.single else (self.batch, -1, *value.shape[1:])
        joined = value.view(lambda array: array.reshape(size))
        if not self._sample_by_sample(joined):
            raise self.lost(value)
        return joined

    def _sample_by_sample(self, value: Value) -> bool:
        """Whether each sample of a value is one of the tensor's, and all are seen alike."""
        if value.index is None:
            return True
        flat = value.index.reshape(self.batch, -1)
        stride = math.prod(self.shapes[value.tensor]) if value.expanded else flat.shape[1]
        return np.array_equal(flat, flat[0] + stride * np.arange(self.batch)[:, None])

    def of_rank(self, value: Value, rank: int) -> Value:
        """A value with axes of length 1 in front, as broadcasting adds them to a sample without a batch dimension."""
        missing = rank - len(value.shape) if self.single else 0
        return value.view(lambda array: array.reshape((1,) * missing + array.shape)) if missing > 0 else value

    def as_given(self, result: Value, value: Value) -> Value:
        """The result of an operator on ``with_batch(value)``, its batch dimension as it is in the value."""
        if not self._lost(value):
            return result
        return result.view(lambda array: array.reshape(-1, *array.shape[2:]))

    def sample(self, value: Value, expanded: bool = False) -> Index:
        """The index of one sample (without the batch dimension); repeated elements are refused unless ``expanded``.

        Raises
        ------
        Unsupported
            If the batch is not the first dimension any more, the value has a softmax or argmax behind it, or its
            elements are repeated.
        """
        if value.expanded and not expanded:
            raise self.refuse(
                f"it reads {value.tensor!r} expanded to the shape {value.shape}; only products read what is expanded"
            )
        if value.host:
            raise self.refuse(
                f"it reads the result of {value.host[-1]}, which is only supported at the network's end"
            )
        if self.single:
            return value.indices().reshape(self.sample_shape(value))
        if not value.shape or value.shape[0] != self.batch:
            raise self.lost(value)
        size = math.prod(value.shape[1:])
        if value.index is None:
            return np.arange(size, dtype=np.int64).reshape(value.shape[1:])
        if not self._sample_by_sample(value):
            raise self.refuse(
                f"a reshape or transpose mixes the samples of a batch; keep the batch dimension first{NO_BATCH}"
            )
        return value.index[0]

    def place(self, value: Value, shape: Shape | None = None) -> Value:
        """Bring a value into the terms of a tensor that exists.

        The first reader of a network input decides its layout: ``shape`` (C, H, W), else the value's own;
        unless a window is known to want another.
        """
        if value.preprocess is None:
            return value
        if value.integer:
            raise self.refuse(f"input {value.tensor!r} is an integer here; cast it to float first")
        sample = self.sample(value)
        if value.tensor not in self._placed:
            user = self._inputs[value.tensor]
            own = shape or layout(sample.shape), simplified(sample.ravel())
            tensor_shape, order = self.layouts.get(value.tensor, own)
            scale, shift = (compressed(part.reshape(user)) for part in value.preprocess)
            self._placed[value.tensor] = Input(value.tensor, user, tensor_shape, scale, shift, order)
            self.shapes[value.tensor] = tensor_shape
        tensor, inverse = self._placed_tensor(value.tensor, *value.preprocess)
        placed = self.value(tensor, sample.shape, sample if inverse is None else inverse[sample])
        return placed.view(lambda array: array.reshape(value.shape))

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
        """Place a value, which has to be its tensor in channel-major order; another one is refused.

        With ``whole`` its height and width must be the tensor's own, else only the channels count.
        """
        shape = layout(self.sample_shape(value))
        placed = self.place(value, shape)
        if not self.is_image(placed, whole):
            again = value.tensor not in self.layouts
            if value.preprocess is not None and again:
                raise LayoutWanted(value.tensor, (shape, simplified(self.sample(value).ravel())))
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
        return value.index is None and (have == want if whole else have[0] == want[0])

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
            index = None if value.index is None else self.sample(replace(value, host=())).ravel()
            shape = value.shape if self.bare and not value.host else self.sample_shape(value)
            delivered.append(Output(name, tensors[str(number)], shape, index, value.host))
        inputs = tuple(self._placed[name] for name in self._inputs if name in used)
        return Graph(self.name, inputs, tuple(nodes), tuple(delivered))

    def _check_finite(self, nodes: Sequence[Node]) -> None:
        """Refuse constants that are not finite: products of finite ones can exceed every number."""
        parts = [(node.name, tuple(node.parameters.values())) for node in nodes]
        parts += [(name, (item.scale, item.shift)) for name, item in self._placed.items()]
        for name, arrays in parts:
            if not all(np.isfinite(array).all() for array in arrays):
                raise self._not_finite(
                    f"the constants of {name!r} multiply to more than a number holds; train it again"
                )
