"""A training that was cut off goes on from a file, to the same weights bit for bit.

A checkpoint is for the hwquant that wrote it. Files of version 2, the first with digests, are read, and newer ones are
refused. So is one of another network, other data or other options; a later hwquant may describe the same ones
otherwise, and then refuses it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwquant import container
from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.files.reading import open_ordinary
from hwquant.fingerprint import fingerprint
from hwquant.training.plain import Arrays, conforms, decode, encode

KIND = "training"
VERSION = 2
_TORCH_FILE = b"/data.pkl"
"""What a file of ``torch.save`` has near its beginning, as checkpoints of version 1 do."""

EPOCH = {"epoch": int, "loss": float, "score": (float, None)}
"""The form of one epoch's result."""
FIT = {"stage": str, "results": [EPOCH], "network": dict, "optimizer": dict}
"""The form of the part that :func:`hwquant.training.fit` saves."""


class Checkpoint:
    """A file of plain values and tensors with their digests; nothing of it is unpickled.

    It is written whole or not at all.

    Parameters
    ----------
    path : str or PathLike
        The file; its folder must exist.
    owner : Mapping[str, str]
        Fingerprints of the network, data and options that are trained, by what people call them; a file of another
        owner is refused.
    resume : bool, default False
        Go on from the file, which must exist; else a file that exists is replaced with the first save.

    Attributes
    ----------
    path : Path
        The file.
    state : dict
        What was saved so far, by name; empty at the start of a new training.

    Raises
    ------
    Damaged
        The file is not what was written.
    Unsupported
        The file is a checkpoint without digests, of an older hwquant.
    HwquantError
        The file is absent, or belongs to something else.
    """

    def __init__(self, path: str | os.PathLike[str], owner: Mapping[str, str], resume: bool = False) -> None:
        self.path, self._owner = Path(path), dict(owner)
        self.state: dict[str, Any] = {}
        if not self.path.parent.is_dir():
            raise HwquantError(
                f"cannot write {path}: the folder {self.path.parent} does not exist; make it first"
            )
        if resume:
            self._check_kind()
            owner, self.state = self._read()
            names = sorted(owner.keys() | self._owner.keys())
            other = [name for name in names if owner.get(name) != self._owner.get(name)]
            if other:
                raise HwquantError(
                    f"{path} belongs to another training (what differs: {', '.join(other)}); repeat the call that "
                    "wrote it, or start anew without resuming"
                )

    def save(self, **parts: Any) -> None:
        """Replace parts of the state (dictionaries, lists, numbers, strings, tensors) and write all of it."""
        self.state.update(parts)
        arrays: Arrays = {}
        content = {"owner": self._owner, "state": encode(self.state, arrays)}
        container.write(self.path, KIND, VERSION, {"training": content}, arrays)

    def part(self, name: str, form: Mapping[str, Any], needed: bool = False) -> dict[str, Any]:
        """Return a part of the state; empty where it has not been saved.

        Parameters
        ----------
        name : str
            The name under which it was saved.
        form : mapping
            What it is built like (see :func:`~hwquant.training.plain.conforms`).
        needed : bool, default False
            Refuse a state without it.

        Returns
        -------
        dict
            The part.

        Raises
        ------
        Damaged
            The part is not built like ``form``.
        """
        value = self.state.get(name, {})
        if (needed or value != {}) and not conforms(value, form):
            raise self.damaged(f"its part {name!r} is not built as it must be")
        return value

    def restore(self, network: nn.Module, saved: Mapping[str, Any]) -> None:
        """Give a network its saved state; raise Damaged where it is not one of this network, or not finite."""
        if not all(item.isfinite().all() for item in saved.values() if isinstance(item, torch.Tensor)):
            raise self.damaged("it holds weights that are not finite")
        try:
            network.load_state_dict(dict(saved))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise self.damaged("its network is another one") from error

    def restore_optimizer(self, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
        """Give an optimizer its saved state; raise Damaged where it is not one of this optimizer."""
        if not _of_optimizer(optimizer, saved):
            raise self.damaged("its optimizer is another one")
        try:
            optimizer.load_state_dict(dict(saved))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise self.damaged("its optimizer is another one") from error

    def _read(self) -> tuple[dict[str, str], dict[str, Any]]:
        meta, arrays = container.read(self.path, KIND, VERSION)
        content: Any = meta.get("training")
        if not conforms(content, {"owner": dict, "state": dict}):
            raise self.damaged("it has no state")
        try:
            state = decode(content["state"], arrays)
        except (ValueError, RecursionError) as error:
            raise self.damaged(str(error)) from error
        if not isinstance(state, dict):
            raise self.damaged("its state is no dictionary")
        return content["owner"], state

    def _check_kind(self) -> None:
        """Refuse by name what an older hwquant wrote."""
        try:
            with open_ordinary(self.path) as file:
                beginning = file.read(200)
        except OSError as error:
            raise HwquantError(f"cannot resume from {self.path}: {error.strerror or error}") from error
        if _TORCH_FILE in beginning:
            raise Unsupported(
                f"{self.path} is a checkpoint of an older hwquant, without digests, or a file of torch.save; start "
                "anew without resuming",
                where=str(self.path),
            )

    def damaged(self, what: str) -> Damaged:
        """Make the error that says what is wrong with the file."""
        return Damaged(
            f"{self.path} is a damaged checkpoint: {what}; start anew without resuming", path=str(self.path)
        )


def _of_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> bool:
    """Whether a saved state is one of this optimizer: the same groups, and state for parameters that it has."""
    if not conforms(saved, {"state": dict, "param_groups": [dict]}):
        return False
    fresh = optimizer.state_dict()["param_groups"]
    if len(saved["param_groups"]) != len(fresh):
        return False
    for group, mine in zip(saved["param_groups"], fresh):
        # The loop changes the rate, and notes where it began; the rest is what the options say.
        rates = {"lr", "initial_lr"}
        if group.keys() - rates != mine.keys() - rates or "lr" not in group:
            return False
        largest = torch.finfo(torch.float32).max
        if not all(
            isinstance(group[name], float) and 0 <= group[name] < largest for name in rates & group.keys()
        ):
            return False
        if any(group[name] != value for name, value in mine.items() if name not in rates):
            return False
    parameters = [(group, item) for group in optimizer.param_groups for item in group["params"]]
    return all(
        type(number) is int
        and 0 <= number < len(parameters)
        and isinstance(items, dict)
        and _of_parameter(type(optimizer), *parameters[number], items)
        for number, items in saved["state"].items()
    )


def _of_parameter(
    kind: type, group: Mapping[str, Any], parameter: torch.Tensor, items: Mapping[str, Any]
) -> bool:
    """Whether this is what an optimizer keeps for a parameter; an optimizer not named here may keep anything."""
    momentum = {"momentum_buffer"} if group.get("momentum") else set()
    state_names = {
        torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
        torch.optim.SGD: momentum,
        torch.optim.RMSprop: {"step", "square_avg"} | momentum,
    }
    if kind not in state_names:
        return True
    return items.keys() == state_names[kind] and all(
        isinstance(item, torch.Tensor)
        and item.shape == (() if name == "step" else parameter.shape)
        and item.dtype == (torch.float32 if name == "step" else parameter.dtype)
        and bool(item.isfinite().all())
        and bool(
            (item >= (1 if name == "step" else 0)).all() or name not in ("step", "exp_avg_sq", "square_avg")
        )
        for name, item in items.items()
    )


def owner(**values: Any) -> dict[str, str]:
    """Fingerprints of what a training depends on, by name (with spaces for underscores).

    Of a function, or a loader of batches, only its name is known.

    Parameters
    ----------
    **values : Any
        Networks, arrays, options, functions and so on, by name.

    Returns
    -------
    dict of str to str
        A fingerprint for each.
    """
    return {name.replace("_", " "): _fingerprint(value) for name, value in values.items()}


def _fingerprint(value: Any) -> str:
    try:
        return fingerprint(value)
    except TypeError:
        return (
            f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
        )
