"""What has been evaluated, on disk at once: a search that is interrupted goes on where it was.

A text file of JSON lines. The first says what the outcomes belong to, by checksums of network, data and
options; each other line is a candidate. Every line carries a checksum of its own. An interrupted write leaves
a last line without its end: it is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwquant.errors import HwquantError
from hwquant.fingerprint import fingerprint
from hwquant.graph import Graph
from hwquant.quantize.calibration import Data
from hwquant.search.evaluate import Outcome, Task
from hwquant.search.space import Configuration

FORMAT = "hwquant search"
VERSION = 1


def identity(graph: Graph, calibration: Data, task: Task) -> dict[str, str]:
    """Checksums of all that an outcome depends on besides its bits."""
    return {
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
    HwquantError : there is a file already and ``resume`` is not set; it belongs to something else; it is
        damaged; it cannot be written to
    """

    def __init__(self, path: Path | None, identity: Mapping[str, str], variables: int, resume: bool) -> None:
        self.outcomes: dict[Configuration, Outcome] = {}
        self._path = path
        if path is None:
            return
        header = {"format": FORMAT, "version": VERSION, "of": dict(identity)}
        if path.exists() and path.stat().st_size:
            if not resume:
                raise HwquantError(
                    f"{path} holds an earlier search; go on with it (--resume), or remove the file"
                )
            self._load(path, header, variables)
        else:
            _append(path, header)

    def add(self, configuration: Configuration, outcome: Outcome) -> None:
        """Keep an outcome; it is on the disk when this returns."""
        self.outcomes[configuration] = outcome
        if self._path is not None:
            _append(
                self._path,
                {
                    "bits": list(configuration),
                    "measures": dict(outcome.measures),
                    "noise": outcome.noise,
                    "network": outcome.network,
                    "error": outcome.error,
                },
            )

    def _load(self, path: Path, header: Mapping[str, Any], variables: int) -> None:
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with open(path, "r+b") as file:
                file.truncate(len(whole))
        lines = whole.splitlines()
        if not lines:
            _append(path, header)
            return
        _same(path, _parse(path, 1, lines[0]), header)
        for number, line in enumerate(lines[1:], 2):
            content = _parse(path, number, line)
            bits = tuple(content["bits"])
            if len(bits) != variables:
                raise HwquantError(f"{path} is damaged at line {number}; remove the file")
            self.outcomes[bits] = Outcome(
                content["measures"], content["noise"], content["network"], content["error"]
            )


def _append(path: Path, content: Mapping[str, Any]) -> None:
    line = json.dumps({**content, "check": _check(content)}) + "\n"
    try:
        with open(path, "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HwquantError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that exists and is writable"
        ) from error


def _check(content: Mapping[str, Any]) -> str:
    return fingerprint(json.dumps(content, sort_keys=True))[:16]


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
        check = content.pop("check")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise HwquantError(
            f"{path} is no journal of a search, or it is damaged at line {number}; remove the file"
        ) from error
    if check != _check(content):
        raise HwquantError(f"{path} is damaged at line {number} (its checksum is wrong); remove the file")
    return content


def _same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found.get("format") != FORMAT or found.get("version") != VERSION:
        raise HwquantError(f"{path} is no journal of a search of this hwquant; remove the file")
    for name, checksum in wanted["of"].items():
        if found["of"].get(name) != checksum:
            raise HwquantError(
                f"{path} belongs to a search with other {name}, which cannot go on here; name another output, or "
                "remove the file"
            )
