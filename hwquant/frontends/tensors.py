"""The tensors of a network under construction, and how values see them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hwquant.errors import Unsupported
from hwquant.frontends.alternatives import alternative
from hwquant.frontends.batch import NO_BATCH
from hwquant.frontends.fold import Unfolded
from hwquant.frontends.found_copies import find_copies
from hwquant.frontends.limits import LARGEST, LARGEST_VIEW, MOST_SPENT
from hwquant.frontends.refusals import Invalid, Misfit, NotFinite
from hwquant.frontends.values import Float, Index, Value, simplified
from hwquant.given import GivenFormat, GivenWeights
from hwquant.graph import Concat, Rearrange, Shape
from hwquant.window import Window

ANY_BATCH = 2
"""The batch size that stands for any: not 1, so that a lost batch dimension is noticed."""


class Tensors:
    """Tensors and joins of tensors, by name.

    Attributes
    ----------
    batch : int
        Batch size that every value carries as its first dimension.
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
    formats : dict of GivenFormat
        The integers of tensors that are quantized in the model.
    input_formats : dict of (GivenFormat, (ndarray, ndarray))
        Those of network inputs, with the scale and shift in front of them.
    grids : dict of (GivenWeights, ndarray)
        Grids of the weights of convolutions, and these weights.
    off_grid : list of str
        Convolutions whose weights are integers in the model, but no grid here.
    integers : dict of Value
        What the model's own integer tensors are, by their names in it.
    """

    def __init__(self, batch: int, *, single: bool, bare: bool) -> None:
        self.batch = batch
        self.single, self.bare = single or bare, bare
        self.where = ""
        self.operator = ""
        self.shapes: dict[str, Shape] = {}
        self._nodes: list[Unfolded] = []
        self._producers: dict[str, Unfolded] = {}
        self._names: set[str] = set()
        self._spent = 0
        self._joins: dict[str, tuple[str, ...]] = {}
        self._copied: dict[tuple[object, ...], str] = {}
        self.formats: dict[str, GivenFormat] = {}
        self.input_formats: dict[str, tuple[GivenFormat, tuple[Float, Float]]] = {}
        self.grids: dict[str, tuple[GivenWeights, Float]] = {}
        self.off_grid: list[str] = []
        self.integers: dict[str, Value] = {}

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

    def invalid(self, why: str) -> Invalid:
        """The error for the node at hand where no runtime would compute it."""
        return Invalid(str(self.refuse(why)), where=self.where, operator=self.operator)

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
        key = (value.tensor, shape, hashlib.sha256(sample.tobytes()).digest())
        if key not in self._copied:
            copies = find_copies(sample, [self.shapes[part] for part in parts])
            if copies is None:
                return None
            read = sorted({copy.input for copy in copies})
            copies = tuple(replace(copy, input=read.index(copy.input)) for copy in copies)
            name = self.unique(f"{value.tensor.removesuffix('/joined')}_copied")
            self._copied[key] = self.emit(
                Rearrange(name, tuple(parts[number] for number in read), shape, copies)
            )
        whole = self.value(self._copied[key], sample.shape)
        return whole.view(lambda array: array.reshape(value.shape))

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
        """Whether each sample of a value is of one of the tensor's, and all are seen alike."""
        if value.index is None:
            return True
        flat = value.index.reshape(self.batch, -1)
        return np.array_equal(flat, flat[0] + self._elements(value.tensor) * np.arange(self.batch)[:, None])

    def of_rank(self, value: Value, rank: int) -> Value:
        """A value with axes of length 1 in front, as broadcasting adds them to a sample without a batch dimension."""
        missing = rank - len(value.shape) if self.single else 0
        return value.view(lambda array: array.reshape((1,) * missing + array.shape)) if missing > 0 else value

    def as_given(self, result: Value, value: Value) -> Value:
        """The result of an operator on ``with_batch(value)``, its batch dimension as it is in the value."""
        if not self._lost(value):
            return result
        if self.single:
            return result.view(lambda array: array[0])
        return result.view(lambda array: array.reshape(-1, *array.shape[2:]))

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
        if self.single:
            return value.indices().reshape(self.sample_shape(value))
        if not value.shape or value.shape[0] != self.batch:
            raise self.lost(value)
        if value.index is None:
            return np.arange(math.prod(value.shape[1:]), dtype=np.int64).reshape(value.shape[1:])
        if not self._sample_by_sample(value):
            raise self.refuse(
                f"a reshape or transpose mixes the samples of a batch; keep the batch dimension first{NO_BATCH}"
            )
        return value.index[0]

    def spread(self, value: Value, numbers: Float, rest: float) -> Float | None:
        """Give each element of a value's tensor its number; None where the value sees an element with two.

        Parameters
        ----------
        value : Value
            The value.
        numbers : ndarray of float64
            A number for each element of a sample, as the value sees it.
        rest : float
            The number of channels that the value does not see; of others all elements get that of one that it sees.
        """
        sample = self.sample(value).ravel()
        base, seen = np.full(self._elements(value.tensor), rest), np.zeros(self._elements(value.tensor), bool)
        base[sample], seen[sample] = numbers.ravel(), True
        if not np.array_equal(base[sample], numbers.ravel()):
            return None
        start = 0
        for part in self._joins.get(value.tensor, (value.tensor,)):
            channels, *size = self.shapes.get(
                part, (0, 0, 0)
            )  # an input whose layout is open has no channels yet
            own = slice(start, start + channels * math.prod(size))
            start = own.stop
            if channels and not seen[own].all():
                rows, known = base[own].reshape(channels, -1), seen[own].reshape(channels, -1)
                first = np.take_along_axis(rows, known.argmax(axis=1)[:, None], axis=1)
                base[own] = np.where(known, rows, first).ravel()
        return base

    def _elements(self, tensor: str) -> int:
        """Elements of a sample of a tensor."""
        return math.prod(self.shapes[tensor])
