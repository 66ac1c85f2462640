"""What has been evaluated, on disk at once: a search that is interrupted goes on where it was.

A text file of JSON lines. The first says what the outcomes belong to, by checksums of network, data and
options; each other line is a candidate. Every line carries a checksum, of what it says and of the first line: so
lines of another journal do not count. Each line stands for itself: where one is missing, the candidate is evaluated
again. An interrupted write leaves a last line without its end: it is dropped, with a warning.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwquant import __version__
from hwquant.errors import Damaged, HwquantError
from hwquant.graph import Graph
from hwquant.quantize.calibration import Data
from hwquant.search.evaluate import Outcome, Task
from hwquant.search.fingerprint import fingerprint
from hwquant.search.space import Configuration

FORMAT = "hwquant search"
VERSION = 2


def identity(graph: Graph, calibration: Data, task: Task) -> dict[str, str]:
    """Checksums of all that an outcome depends on besides its bits."""
    return {
        "hwquant version": fingerprint(__version__),
        "network": fingerprint(graph),
        "calibration data": fingerprint(calibration),
        "test data": fingerprint(task.test),
        "quantizer options": fingerprint(task.quantizer),
        "array": fingerprint(task.array),
        "searched layers": fingerprint(task.space.variables),
    }


class Journal:
    """Outcomes by configuration, in memory and, with a ``path``, in a file.

    ``variables`` is the number of bits in a configuration.

    Raises
    ------
    HwquantError
        there is a file already and ``resume`` is not set; it belongs to something else; it cannot be written to
    Damaged
        a line is not as it was written, or the file is no journal
    """

    def __init__(self, path: Path | None, identity: Mapping[str, str], variables: int, resume: bool) -> None:
        self.outcomes: dict[Configuration, Outcome] = {}
        self._path = path
        header = {"format": FORMAT, "version": VERSION, "of": dict(identity)}
        self._seal = _check(header)
        if path is None:
            return
        data = _read(path, resume)
        *lines, rest = data.split(b"\n")
        if not lines and not json.dumps(header).encode().startswith(rest):
            raise _no_journal(path, 1)
        if lines:
            _same(path, _parse(path, 1, lines[0]), header)
        for number, line in enumerate(lines[1:], 2):
            configuration, outcome = _entry(path, number, _parse(path, number, line, self._seal), variables)
            self.outcomes[configuration] = outcome
        if rest:  # only now is it known that the file is ours to change
            text = f"the last line of {path} was not finished; what it held is evaluated again"
            warnings.warn(text, stacklevel=2)
            _truncate(path, len(data) - len(rest))
        if not lines:
            _append(path, header)

    def add(self, configuration: Configuration, outcome: Outcome) -> None:
        """Keep an outcome; it is on the disk when this returns."""
        self.outcomes[configuration] = outcome
        if self._path is not None:
            content = {
                "bits": list(configuration),
                "measures": dict(outcome.measures),
                "noise": outcome.noise,
                "network": outcome.network,
                "error": outcome.error,
            }
            _append(self._path, content, self._seal)


def _read(path: Path, resume: bool) -> bytes:
    """What a journal holds; nothing where there is none."""
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise HwquantError(
            f"cannot read {path}: {error.strerror or error}; name another output, or remove it"
        ) from error
    if data and not resume:
        raise HwquantError(f"{path} holds an earlier search; go on with it (--resume), or remove the file")
    return data


def _truncate(path: Path, length: int) -> None:
    try:
        os.truncate(path, length)
    except OSError as error:
        raise HwquantError(f"cannot write {path}: {error.strerror}; make it writable") from error


def _append(path: Path, content: Mapping[str, Any], seal: str = "") -> None:
    line = json.dumps({**content, "check": _check(content, seal)}) + "\n"
    try:
        with open(path, "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HwquantError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that exists and is writable"
        ) from error


def _check(content: Mapping[str, Any], seal: str = "") -> str:
    return fingerprint(seal, json.dumps(content, sort_keys=True))[:16]


def _parse(path: Path, number: int, line: bytes, seal: str = "") -> dict[str, Any]:
    try:
        content = json.loads(line)
        check = content.pop("check")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _no_journal(path, number) from error
    if check != _check(content, seal):
        raise Damaged(
            f"{path} is damaged at line {number} (its checksum is wrong); remove the file", path=str(path)
        )
    return content


def _no_journal(path: Path, number: int) -> Damaged:
    text = f"{path} is no journal of a search, or it is damaged at line {number}; remove the file"
    return Damaged(text, path=str(path))


def _entry(
    path: Path, number: int, content: Mapping[str, Any], variables: int
) -> tuple[Configuration, Outcome]:
    """A candidate's line, checked: the checksum alone does not say that this hwquant wrote it."""
    match content:
        case {
            "bits": list(bits),
            "measures": dict(measures),
            "noise": int() | float() as noise,
            "network": str(network),
            "error": None | str() as error,
        } if (
            len(content) == 5
            and len(bits) == variables
            and all(type(item) is int and 1 <= item <= 8 for item in bits)
            and noise >= 0
            and all(_is_number(item) for item in measures.values())
            and (error is None) == bool(measures)
        ):
            return tuple(bits), Outcome(measures, noise, network, error)
    raise Damaged(f"{path} is damaged at line {number}; remove the file", path=str(path))


def _is_number(value: object) -> bool:
    """Finite, and not negative: what is measured is a share, or a count."""
    return type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]


def _same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if (
        found.get("format") != FORMAT
        or found.get("version") != VERSION
        or not isinstance(found.get("of"), dict)
    ):
        raise Damaged(f"{path} is no journal of a search of this hwquant; remove the file", path=str(path))
    for name, checksum in wanted["of"].items():
        if found["of"].get(name) != checksum:
            raise HwquantError(
                f"{path} belongs to a search with other {name}, which cannot go on here; name another output, or "
                "remove the file"
            )
    if found != wanted:
        raise _no_journal(path, 1)
