"""The first dimension of a model's inputs: the one that may be open, and that all of them share."""

from __future__ import annotations

from collections.abc import Iterable

from hwquant.errors import Unsupported


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
    fixed = {size for size in sizes if size is not None}
    if len(fixed) > 1:
        raise Unsupported(
            f"the inputs have different batch sizes {sorted(fixed)}; the first dimension is the batch"
        )
    return fixed.pop() if fixed else None


def not_fixed(name: str, axis: str, remedy: str) -> Unsupported:
    """The error for an input with an open dimension that is not its batch."""
    return Unsupported(
        f"dimension {axis} of input {name!r} is not fixed, only the batch may be open; {remedy}"
    )
