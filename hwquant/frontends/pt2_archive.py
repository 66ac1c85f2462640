"""The zip archive around a program of ``torch.export.save``; its members are stored, so the file bounds them.

The checks of `hwquant.container` would refuse it: torch pads between members, and keeps them in a folder.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from hwquant.errors import Damaged, HwquantError
from hwquant.files.reading import open_ordinary

UNREADABLE = (
    ValueError,  # UnicodeDecodeError is one
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RuntimeError,  # an encrypted member; NotImplementedError, RecursionError
    OverflowError,
    EOFError,
    StopIteration,
    struct.error,
    zipfile.BadZipFile,
)
"""What a file can raise that was not written by torch, or was changed since."""

_ENCRYPTED = 1


class Archive:
    """The members of an archive by their paths below its one folder.

    Parameters
    ----------
    path : str or Path
        The file.

    Attributes
    ----------
    where : str
        The file, for messages.
    """

    def __init__(self, path: str | Path) -> None:
        self.where, self._path = repr(str(path)), str(path)
        try:
            with open_ordinary(Path(path)) as file:
                data = file.read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise HwquantError(f"cannot read {self.where}: {reason}") from None
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except UNREADABLE:
            raise self.damaged(
                "is not a .pt2 file, or is truncated; write it with torch.export.save"
            ) from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        folders = set()
        for info in self._zip.infolist():
            folder, _, name = info.filename.partition("/")
            folders.add(folder if name else "")
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
                raise self.damaged(
                    "is compressed or encrypted, which torch.export.save does not do; write it again"
                )
            if (name or folder) in self._members:
                raise self.damaged(f"has two members named {name or folder!r}; write it again")
            self._members[name or folder] = info
        if sum(max(info.file_size, info.compress_size) for info in self._zip.infolist()) > len(data):
            raise self.damaged("has members that are larger than the file; write it again")
        if "models/model.json" in self._members and len(folders) != 1:
            raise self.damaged("has members in several folders, where torch has one; write it again")

    def __contains__(self, member: str) -> bool:
        return member in self._members

    def read(self, member: str) -> bytes:
        """Read a member's bytes, their CRC checked."""
        if member not in self._members:
            raise self.damaged(f"lacks its member {member!r}; write it again")
        try:
            return self._zip.read(self._members[member])
        except UNREADABLE as error:
            raise self.damaged(f"is damaged: {error}; copy or write it again") from None

    def json(self, member: str) -> Any:
        """Read a member's JSON.

        Raises
        ------
        ValueError, RecursionError
            If it is none.
        """
        return json.loads(self.read(member))

    def damaged(self, what: str) -> Damaged:
        """The error for this file."""
        return Damaged(f"{self.where} {what}", path=self._path)
