"""Nested plain values and tensors as JSON and arrays, and back: nothing else goes into a checkpoint or comes out.

A dictionary becomes ``{"dict": [[key, value], ...]}``, since its keys may be numbers, and so that what is written
as a dictionary can mean nothing else; a tuple ``{"tuple": [...]}``; a tensor ``{"tensor": place, "dtype": name}``; a
number that JSON lacks ``{"float": "nan"}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_VIEWS = {torch.bfloat16: torch.int16}
"""What numpy has no type for, and the bits as which it is kept."""
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
    )
}


def encode(value: Any, arrays: Arrays) -> Any:
    """Make a JSON value of a plain value, or of nested ones with tensors.

    Parameters
    ----------
    value : Any
        Dictionaries, lists, tuples, numbers, strings, None and tensors.
    arrays : dict
        Where the tensors go.

    Returns
    -------
    Any
        The JSON value.

    Raises
    ------
    TypeError
        For what is neither a plain value nor a tensor.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        case torch.Tensor():
            place = f"tensors/{len(arrays)}"
            held = value.detach().cpu()
            arrays[place] = held.view(_VIEWS.get(held.dtype, held.dtype)).numpy()
            return {"tensor": place, "dtype": str(value.dtype).removeprefix("torch.")}
        case Mapping():
            return {"dict": [[encode(key, arrays), encode(item, arrays)] for key, item in value.items()]}
        case tuple():
            return {"tuple": [encode(item, arrays) for item in value]}
        case list():
            return [encode(item, arrays) for item in value]
        case _:
            raise TypeError(f"a {type(value).__name__} cannot be kept in a checkpoint")


def decode(value: Any, arrays: Arrays) -> Any:
    """Read back what :func:`encode` was given; dictionaries and tensors are new ones.

    Parameters
    ----------
    value : Any
        The JSON value.
    arrays : dict
        The tensors that it refers to.

    Returns
    -------
    Any
        The plain value.

    Raises
    ------
    ValueError
        For what :func:`encode` does not write.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [decode(item, arrays) for item in value]
        case {"float": "nan" | "inf" | "-inf" as text, **rest} if not rest:
            return float(text)
        case {"tuple": list(items), **rest} if not rest:
            return tuple(decode(item, arrays) for item in items)
        case {"dict": list(pairs), **rest} if not rest:
            return dict(_pair(pair, arrays) for pair in pairs)
        case {"tensor": str(place), "dtype": str(name), **rest} if not rest:
            return _tensor(place, name, arrays)
    raise ValueError(f"{value!r:.60} is nothing that a checkpoint holds")


def _pair(pair: Any, arrays: Arrays) -> tuple[str | int, Any]:
    match pair:
        case [(str() | int()) as key, value]:
            return key, decode(value, arrays)
    raise ValueError(f"{pair!r:.60} is no key with its value")


def _tensor(place: str, name: str, arrays: Arrays) -> torch.Tensor:
    dtype, array = _DTYPES.get(name), arrays.get(place)
    if dtype is None or array is None:
        raise ValueError(f"there is no tensor {place!r:.40} of type {name!r:.20}")
    kept = _VIEWS.get(dtype, dtype)
    if str(array.dtype) != str(kept).removeprefix("torch."):
        raise ValueError(f"tensor {place!r} has the type {array.dtype}, not {kept}")
    return torch.from_numpy(np.array(array, order="C")).view(dtype)


def conforms(value: Any, form: Any) -> bool:
    """Whether a value is built like a form.

    Parameters
    ----------
    value : Any
        Any value.
    form : Any
        A type, None, a tuple of forms of which one will do, ``[form]`` for a list of these, or a dictionary with
        exactly these keys.

    Returns
    -------
    bool
        True if it is.
    """
    if isinstance(form, type):
        return isinstance(value, form) and isinstance(value, bool) == (form is bool)
    if isinstance(form, tuple):
        return any(conforms(value, item) for item in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(conforms(item, form[0]) for item in value)
    if isinstance(form, dict):
        return (
            isinstance(value, dict)
            and value.keys() == form.keys()
            and all(conforms(value[key], item) for key, item in form.items())
        )
    return value is form
