"""The dimensions of a model's inputs: the batch, which may be open, and those that have to be fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hwquant.errors import HwquantError, Unsupported

BatchAxis = Literal[0] | None
"""Where the batch dimension of a model's inputs is: first, or nowhere."""

NO_BATCH = (
    "; where the model has no batch dimension, say so with --batch-axis none (in Python batch_axis=None)"
)
"""How a message about the batch ends."""

Shapes = Mapping[str, Sequence[int]]
"""The whole shape of inputs, batch included, by name."""


@dataclass(frozen=True)
class Dimensions:
    """The shape of an input as a model has it.

    Attributes
    ----------
    name : str
        The input.
    sizes : tuple of int or None
        The size of each dimension, None where it is open.
    labels : tuple of str
        The names of the dimensions, empty where they have none. Open ones of one name are equal.
    """

    name: str
    sizes: tuple[int | None, ...]
    labels: tuple[str, ...] = ()

    @property
    def opened(self) -> tuple[int, ...]:
        """The axes that are open."""
        return tuple(axis for axis, size in enumerate(self.sizes) if size is None)

    def label(self, axis: int) -> str:
        """The name of a dimension, empty where it has none; some exporters write "?" for all of them."""
        label = self.labels[axis] if axis < len(self.labels) else ""
        return label if any(letter.isalpha() for letter in label) and label != "None" else ""


def fixed(inputs: Sequence[Dimensions], shapes: Shapes) -> dict[str, tuple[int | None, ...]]:
    """Fix open dimensions by shapes that a user gives, and those of other inputs that have the same name.

    Parameters
    ----------
    inputs : sequence of Dimensions
        The model's inputs.
    shapes : mapping of sequence of int
        Whole shapes by name of input.

    Returns
    -------
    dict of tuple
        The sizes of each input by its name, None where one is still open.

    Raises
    ------
    HwquantError
        If a shape does not fit its input, or is for none.
    """
    known: dict[str, int] = {}
    by_name = {item.name: item for item in inputs}
    for name, shape in shapes.items():
        if name not in by_name:
            raise HwquantError(
                f"the model has no input {name!r} to give a shape; it has {', '.join(by_name)}"
            )
        item = by_name[name]
        if len(shape) != len(item.sizes):
            raise HwquantError(
                f"the shape {_shown(shape)} for input {name!r} has {len(shape)} dimensions; the model's are "
                f"{_spelled(item)}, the batch included"
            )
        for axis, (size, wanted) in enumerate(zip(item.sizes, shape)):
            if type(wanted) is not int or wanted < 1:
                raise HwquantError(
                    f"the shape {_shown(shape)} for input {name!r} must be of positive integers"
                )
            if size is not None and size != wanted:
                raise HwquantError(
                    f"dimension {axis} of input {name!r} is {size} in the model, and cannot become {wanted}; "
                    "only open dimensions can be chosen"
                )
            label = item.label(axis)
            if size is None and label and known.setdefault(label, wanted) != wanted:
                raise HwquantError(f"dimension {label!r} cannot be both {known[label]} and {wanted}")
    return {
        item.name: tuple(shapes[item.name])
        if item.name in shapes
        else tuple(
            known.get(item.label(axis)) if size is None else size for axis, size in enumerate(item.sizes)
        )
        for item in inputs
    }


def check_fixed(inputs: Sequence[Dimensions], batch_axis: BatchAxis) -> None:
    """Refuse dimensions that are open, other than the batch, with what has to be typed to fix them.

    Raises
    ------
    Unsupported
        If there are any.
    """
    first = 0 if batch_axis is None else 1
    wanted = [item for item in inputs if None in item.sizes[first:]]
    if not wanted:
        return
    item = wanted[0]
    axes = [axis for axis, size in enumerate(item.sizes) if size is None and axis >= first]
    named = ", ".join(f"{axis} ({item.label(axis)!r})" if item.label(axis) else str(axis) for axis in axes)
    flags = " ".join(f"--shape {other.name}={_spelled(other)}" for other in wanted)
    plural, verb, them = ("s", "are", "them") if len(axes) > 1 else ("", "is", "it")
    only = ", only the batch may be open" if first else ""
    raise Unsupported(
        f"dimension{plural} {named} of input {item.name!r} {verb} not fixed{only}; fix {them} with {flags} "
        f"(in Python shapes={{{item.name!r}: ({_spelled(item, ', ')})}}), numbers in place of the names"
    )


def _spelled(item: Dimensions, separator: str = ",") -> str:
    """A shape as it is typed: the names of dimensions stand for numbers."""
    names = [
        str(size)
        if size is not None
        else "1"
        if axis == 0 and len(item.sizes) > 1
        else _word(item.label(axis), axis)
        for axis, size in enumerate(item.sizes)
    ]
    return separator.join(names)


def _word(label: str, axis: int) -> str:
    return label.upper() if label.isidentifier() else f"D{axis}"


def _shown(shape: Sequence[int]) -> str:
    return ",".join(map(str, shape))


class BatchMatters(Unsupported):
    """A model in which a sample's result depends on how many others there are."""


def shared_batch(sizes: Iterable[int | None]) -> int | None:
    """Find the batch size of all inputs.

    Parameters
    ----------
    sizes : iterable of int or None
        The batch size of each input, None where it is open.

    Returns
    -------
    int or None
        None where it is open in all of them.

    Raises
    ------
    Unsupported
        If two differ.
    """
    known = {size for size in sizes if size is not None}
    if len(known) > 1:
        raise Unsupported(
            f"the inputs have different batch sizes {sorted(known)}; the first dimension is the batch{NO_BATCH}"
        )
    return known.pop() if known else None
