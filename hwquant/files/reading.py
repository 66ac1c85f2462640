"""What is read, before it is believed: ordinary files of a sane size, TOML, and strict JSON, with a digest."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from hwquant.errors import Damaged, HwquantError

LARGEST = 1 << 30
"""Bytes that a file may have which is read at once; no network for an array of this package has as many."""
SELF = "self"
"""Key of a JSON object's own digest."""
_INTEGERS = range(-(1 << 63), 1 << 63)


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Read all of an ordinary file.

    Raises
    ------
    HwquantError
        The file cannot be read.
    Damaged
        The file is a device or a pipe, or has more than ``largest`` bytes.
    """
    try:
        return read_ordinary(path, largest)
    except OSError as error:
        raise HwquantError(f"cannot read {path}: {error.strerror or error}") from error


def read_ordinary(path: Path, largest: int = LARGEST) -> bytes:
    """Read a file as :func:`read_bytes` does, but raise the OSError where the system cannot."""
    with open_ordinary(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise Damaged(f"{path} has {size:,} bytes; {largest:,} can be", path=str(path))
        return file.read(size)  # as many bytes are taken as it is asked for


def open_ordinary(path: Path) -> BinaryIO:
    """Open a file to read; raises Damaged for a device or a pipe, which may have no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise Damaged(f"{path} is no ordinary file; give one", path=str(path))


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def parse_json(data: bytes) -> Any:
    """Read JSON that its standard leaves no doubt about.

    No key is there twice, no number is NaN, integers have 64 bits, and floats are finite.

    Raises
    ------
    ValueError
        The data are not such JSON, or are nested too deep.
    """
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_once,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_constant,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key is there twice")
    return result


def _integer(text: str) -> int:
    if len(text) > 20 or (value := int(text)) not in _INTEGERS:
        raise ValueError(f"{text:.30} is no integer of 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.30} is larger than any float")
    return value


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML.

    Raises
    ------
    ValueError
        The text is no TOML, is nested too deep, or holds an integer of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def json_bytes(value: object) -> bytes:
    """The JSON of a value as it is written to files: finite, indented, with an end of line."""
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def sealed(content: Mapping[str, Any]) -> bytes:
    """The JSON of an object with its own SHA-256 at the end, by which damage is noticed."""
    return json_bytes({**content, SELF: hashlib.sha256(json_bytes(content)).hexdigest()})


def unsealed(data: bytes) -> dict[str, Any]:
    """Read the object that :func:`sealed` was given.

    Raises
    ------
    ValueError
        The bytes are not those that :func:`sealed` returned.
    """
    content = parse_json(data)
    if (
        not isinstance(content, dict)
        or not isinstance(content.pop(SELF, None), str)
        or data != sealed(content)
    ):
        raise ValueError("its checksum is wrong")
    return content
