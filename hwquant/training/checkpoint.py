"""A training that was cut off goes on from a file, to the same weights bit for bit."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hwquant.errors import HwquantError
from hwquant.files import write_bytes

_FORMAT = "hwquant training 1"


class Checkpoint:
    """A file of plain values and tensors, written whole or not at all, and read without unpickling objects.

    Parameters
    ----------
    path : the file; its folder must exist
    owner : plain values that say what is trained on what, and how; a file of another owner is refused
    resume : go on from the file, which must exist; else a file that exists is replaced with the first save

    Attributes
    ----------
    state : what was saved so far, by name; empty at the start of a new training
    """

    def __init__(self, path: str | os.PathLike[str], owner: Mapping[str, Any], resume: bool = False) -> None:
        self.path, self._owner = Path(path), dict(owner)
        self.state: dict[str, Any] = {}
        if not self.path.parent.is_dir():
            raise HwquantError(
                f"cannot write {path}: the folder {self.path.parent} does not exist; make it first"
            )
        if resume:
            content = self._read()
            for name in sorted(content["owner"].keys() | self._owner.keys()):
                if content["owner"].get(name) != self._owner.get(name):
                    raise HwquantError(
                        f"{path} belongs to a training with another {name}; repeat the call that wrote it, or "
                        "start anew without resuming"
                    )
            self.state = content["state"]

    def save(self, **parts: Any) -> None:
        """Replace parts of the state (dictionaries, lists, numbers, strings, tensors) and write all of it."""
        self.state.update(parts)
        buffer = io.BytesIO()
        torch.save({"format": _FORMAT, "owner": self._owner, "state": self.state}, buffer)
        write_bytes(self.path, buffer.getvalue())

    def _read(self) -> dict[str, Any]:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise HwquantError(f"cannot resume from {self.path}: {error.strerror or error}") from error
        try:
            content = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError) as error:
            raise HwquantError(f"{self.path} is no checkpoint, or it is damaged; start anew") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise HwquantError(f"{self.path} is no checkpoint of hwquant; start anew")
        return content
