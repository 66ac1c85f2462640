"""A checksum over values: the same for equal networks, data and options, whatever made them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping

import numpy as np


def fingerprint(*values: object) -> str:
    """Take the SHA-256, in hexadecimal, of arrays, dataclasses, mappings, sequences, bytes and single values.

    Raises
    ------
    TypeError
        A value is of another kind.
    """
    digest = hashlib.sha256()
    for value in values:
        for part in _parts(value):
            digest.update(part)
    return digest.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    """Byte strings that tell a value from any other: each level begins with its type and length."""
    match value:
        case np.ndarray():
            fixed = value.astype(value.dtype.newbyteorder("<"))
            yield f"array {fixed.dtype.str} {fixed.shape};".encode()
            yield np.ascontiguousarray(fixed).tobytes()
        case np.generic():
            yield from _parts(value.item())
        case Mapping():
            yield f"mapping {len(value)};".encode()
            for key in sorted(value, key=str):
                yield from _parts(key)
                yield from _parts(value[key])
        case tuple() | list():
            yield f"sequence {len(value)};".encode()
            for item in value:
                yield from _parts(item)
        case bytes():
            yield f"bytes {len(value)};".encode()
            yield value
        case None | bool() | int() | float() | str():
            text = repr(value)
            yield f"{type(value).__name__} {len(text)} {text};".encode()
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            # What does not count in a comparison, as where a network comes from, is none of what it is.
            fields = [field for field in dataclasses.fields(value) if field.compare]
            yield f"{type(value).__name__} {len(fields)};".encode()
            for field in fields:
                yield from _parts(getattr(value, field.name))
        case _:
            raise TypeError(f"a {type(value).__name__} has no fingerprint")
