"""The one file format: JSON and .npy members in a zip, with checksums; same content, same bytes.

A file is an ordinary zip (any unzip opens it), members stored uncompressed, sorted, with a fixed time stamp.
``manifest.json`` names the kind of file, its format version and the SHA-256 of every other member. The zip
comment is the SHA-256 of all bytes before it, so that a change anywhere in the file is noticed, headers
included. Nothing is pickled, and nothing takes more memory than the file has bytes.

Every kind has a version of its own, which is raised with any change of what its files hold or mean. A reader takes
all versions up to its own (a member or a key that older files lack has a default), and refuses a newer one by name.
``tests/data`` has files of every version.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Damaged, HwquantError
from hwquant.files import parse_json, read_bytes, recover, write_bytes
from hwquant.files.npy import from_bytes, read_header

__all__ = ["pack", "read", "unpack", "write"]

MANIFEST = "manifest.json"
DIGEST_BYTES = 64  # a SHA-256 in hexadecimal
ZIP_SIGNATURE = b"PK\x03\x04"
PLAIN_FLAGS = 0x800
"""Flags that a member may have: its name is UTF-8. No encryption, nothing that is left to a descriptor behind it."""
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_MALFORMED = (
    *(zipfile.BadZipFile, NotImplementedError, LookupError, ValueError, TypeError, AttributeError),
    *(struct.error, EOFError, OverflowError),
)
"""What zipfile and the readers of members raise for bytes that :func:`pack` did not make."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time stamp that a zip can hold


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as a .npy file: row-major and little-endian, whatever the array in memory was."""
    buffer = io.BytesIO()
    fixed = np.ascontiguousarray(array).reshape(array.shape)
    np.lib.format.write_array(buffer, fixed.astype(fixed.dtype.newbyteorder("<")), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def pack(
    kind: str, version: int, json_members: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """Make the bytes of a file, with members ``<name>.json`` and ``<name>.npy``; equal content gives equal bytes.

    Parameters
    ----------
    kind : str
        What the file holds ("network", "program").
    version : int
        Format version of this kind.
    json_members : mapping
        Plain JSON values by member name, without ".json".
    arrays : mapping of ndarray
        Arrays of any real dtype by member name, without ".npy".
    """
    members = {f"{name}.json": _json_bytes(value) for name, value in json_members.items()}
    members |= {f"{name}.npy": _npy_bytes(array) for name, array in arrays.items()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    members[MANIFEST] = _json_bytes({"format": f"hwquant {kind}", "version": version, "sha256": digests})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = b"0" * DIGEST_BYTES
        for name in sorted(members):
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system = 3  # the same bytes on every platform
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name])
    body = buffer.getvalue()[:-DIGEST_BYTES]
    return body + hashlib.sha256(body).hexdigest().encode()


def write(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    json_members: Mapping[str, object],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """Write a file, or leave what was there untouched.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its folder must exist.
    kind : str
        What the file holds ("network", "program"); :func:`read` asks for the same.
    version : int
        Format version of this kind.
    json_members : mapping
        Plain JSON values by member name, without ".json".
    arrays : mapping of ndarray
        Arrays of any real dtype by member name, without ".npy".

    Raises
    ------
    HwquantError
        The folder is absent or cannot be written to.
    """
    write_bytes(path, pack(kind, version, json_members, arrays))


def read(
    path: str | os.PathLike[str], kind: str, newest: int = 1
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that :func:`write` wrote, and check every byte of it.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    kind : str
        The kind that it must be.
    newest : int, default 1
        The newest format version that the caller understands.

    Returns
    -------
    values : dict
        JSON values by member name, without ".json".
    arrays : dict of ndarray
        Arrays by member name, without ".npy".

    Raises
    ------
    Damaged
        The file is truncated or changed in any byte, or of another kind.
    HwquantError
        The file is absent, or of a newer version.
    """
    path = Path(path)
    recover(path)
    return unpack(read_bytes(path), kind, newest, path)


def unpack(
    data: bytes, kind: str, newest: int, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the contents of bytes that :func:`pack` made, and check every byte.

    Parameters
    ----------
    data : bytes
        Contents of a file.
    kind : str
        The kind that it must be.
    newest : int
        The newest format version that the caller understands.
    path : str or os.PathLike
        What messages call the file.

    Returns
    -------
    values : dict
        JSON values by member name, without ".json".
    arrays : dict of ndarray
        Arrays by member name, without ".npy".

    Raises
    ------
    Damaged
        The bytes are truncated or changed anywhere, or of another kind.
    HwquantError
        The file is of a newer version.
    """
    body, checksum = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        if data.startswith(ZIP_SIGNATURE):
            message = "is truncated or damaged (its checksum is wrong); write it again"
        else:
            message = f"is not a file that hwquant wrote, or it is damaged; give a {kind} file"
        raise Damaged(f"{path} {message}", path=str(path))
    try:
        members = _members(data)
        manifest = parse_json(members.pop(MANIFEST))
        format, version, digests = manifest["format"], manifest["version"], dict(manifest["sha256"])
        if type(version) is not int or version < 1:
            raise ValueError("its version is no positive integer")
        if format == f"hwquant {kind}" and version > newest:
            raise HwquantError(
                f"{path} has format version {version}, this hwquant reads up to {newest}; update hwquant"
            )
        fault = _fault(members, digests, kind, format)
        if fault:
            raise Damaged(f"{path} {fault}", path=str(path))
        return _decode(members)
    except _MALFORMED as error:
        raise Damaged(
            f"{path} is not a valid hwquant file ({error}); write it again", path=str(path)
        ) from error


def _members(data: bytes) -> dict[str, bytes]:
    """The members of a zip in which each is stored as it is, one behind the other, none twice."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        end = archive.start_dir
    members: dict[str, bytes] = {}
    position = 0
    for info in infos:
        name = info.filename
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"its member {name!r} is compressed")
        if info.flag_bits & ~PLAIN_FLAGS or name in members:
            raise ValueError(f"its member {name!r} is encrypted, or there twice")
        if info.header_offset != position:
            raise ValueError(f"its member {name!r} is not behind the one before it")
        signature, *_, name_size, extra_size = LOCAL_HEADER.unpack_from(data, position)
        begin = position + LOCAL_HEADER.size + name_size + extra_size
        position = begin + info.file_size
        if signature != ZIP_SIGNATURE or position > end:
            raise ValueError(f"its member {name!r} is not where its directory says")
        members[name] = data[begin:position]
    if position != end:
        raise ValueError("there is something between its members and its directory")
    return members


def _fault(members: Mapping[str, bytes], digests: Mapping[str, str], kind: str, format: object) -> str:
    """What is wrong with a file, as the end of a sentence; empty where nothing is."""
    if format != f"hwquant {kind}":
        return f"is a {format!r:.40} file; a 'hwquant {kind}' file is needed here"
    for name in sorted(members.keys() ^ digests.keys()):
        return f"{'has the unknown' if name in members else 'lacks the'} member {name!r}; write it again"
    for name, content in members.items():
        if hashlib.sha256(content).hexdigest() != digests[name]:
            return f"has a damaged member {name!r} (its checksum is wrong); write it again"
    return ""


def _decode(members: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    meta: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for name, content in members.items():
        stem, _, ending = name.rpartition(".")
        if ending == "npy":
            header = read_header(io.BytesIO(content), len(content))
            arrays[stem] = from_bytes(header, content[header.offset :])
        else:
            meta[stem] = parse_json(content)
    return meta, arrays
