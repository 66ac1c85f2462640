"""The one file format: JSON and .npy members in a zip, with checksums; same content, same bytes.

A file is an ordinary zip (any unzip opens it), members stored uncompressed, sorted, with a fixed time stamp.
``manifest.json`` names the kind of file, its format version and the SHA-256 of every other member. The zip
comment is the SHA-256 of all bytes before it, so that a change anywhere in the file is noticed, headers
included. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError

MANIFEST = "manifest.json"
DIGEST_BYTES = 64  # a SHA-256 in hexadecimal
ZIP_SIGNATURE = b"PK\x03\x04"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time stamp that a zip can hold


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _npy_bytes(array: NDArray[Any]) -> bytes:
    """Row-major and little-endian, whatever the array in memory was."""
    buffer = io.BytesIO()
    fixed = np.ascontiguousarray(array).reshape(array.shape)
    np.lib.format.write_array(buffer, fixed.astype(fixed.dtype.newbyteorder("<")), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def pack(
    kind: str, version: int, json_members: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """The bytes of a file: members ``<name>.json`` and ``<name>.npy``. Equal content gives equal bytes."""
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
    path : the file; its folder must exist
    kind : what the file holds ("network", "program"); :func:`read` asks for the same
    version : format version of this kind
    json_members : plain JSON values by member name (without ".json")
    arrays : arrays of any real dtype by member name (without ".npy")

    Raises
    ------
    HwquantError : the folder is absent or cannot be written to
    """
    write_bytes(path, pack(kind, version, json_members, arrays))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of any kind, whole; what was there stays untouched until all of it is on the disk.

    Raises
    ------
    HwquantError : the folder is absent or cannot be written to
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise HwquantError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that exists and is writable"
        ) from error


def read(
    path: str | os.PathLike[str], kind: str, newest: int = 1
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that :func:`write` wrote, and check every byte of it.

    Parameters
    ----------
    path : the file
    kind : the kind that it must be
    newest : the newest format version that the caller understands

    Returns
    -------
    JSON values and arrays, each by member name without its ending

    Raises
    ------
    HwquantError : absent, truncated or changed in any byte, of another kind, or of a newer version
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HwquantError(f"cannot read {path}: {error.strerror or error}") from error
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        if data.startswith(ZIP_SIGNATURE):
            raise HwquantError(f"{path} is truncated or damaged (its checksum is wrong); write it again")
        raise HwquantError(f"{path} is not a file that hwquant wrote, or it is damaged; give a {kind} file")
    try:
        return _unpack(data, kind, newest)
    except HwquantError as error:
        raise HwquantError(f"{path} {error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, EOFError) as error:
        raise HwquantError(f"{path} is not a valid hwquant file ({error}); write it again") from error


def _unpack(data: bytes, kind: str, newest: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    meta: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        if manifest["format"] != f"hwquant {kind}":
            raise HwquantError(f"is a {manifest['format']!r} file; a 'hwquant {kind}' file is needed here")
        if manifest["version"] > newest:
            raise HwquantError(
                f"has format version {manifest['version']}, this hwquant reads up to {newest}; update hwquant"
            )
        names = set(archive.namelist()) - {MANIFEST}
        for name in sorted(names ^ set(manifest["sha256"])):
            raise HwquantError(
                f"{'has the unknown' if name in names else 'lacks the'} member {name!r}; write it again"
            )
        for name, digest in manifest["sha256"].items():
            content = archive.read(name)
            if hashlib.sha256(content).hexdigest() != digest:
                raise HwquantError(f"has a damaged member {name!r} (its checksum is wrong); write it again")
            stem, _, ending = name.rpartition(".")
            if ending == "npy":
                arrays[stem] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
            else:
                meta[stem] = json.loads(content)
    return meta, arrays
