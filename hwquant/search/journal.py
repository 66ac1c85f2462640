"""What has been evaluated, on disk at once: a search that is interrupted goes on where it was.

A text file of JSON lines. The first says what the outcomes belong to, by checksums of network, data and
options; each other line is a candidate. Every line carries a checksum of its own. An interrupted write leaves
a last line without its end: it is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hwquant.errors import Damaged, HwquantError
from hwquant.files import AppendedFile, parse_json, remove
from hwquant.fingerprint import fingerprint
from hwquant.graph import Graph
from hwquant.quantize.calibration import Data
from hwquant.search.evaluate import Outcome, Task
from hwquant.search.space import Configuration

FORMAT = "hwquant search"
VERSION = 1
LEAST = 20
"""Bytes of a first line that was cut off which must be those of a journal."""


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
    """Outcomes by configuration, in memory and, with a ``path``, in a file that is nobody else's until it is closed.

    ``variables`` is the number of bits in a configuration.

    Raises
    ------
    Busy
        if another search writes it
    Damaged
        if it was changed, or is of something else
    HwquantError
        if there is a file already and ``resume`` is not set; it belongs to another search; it cannot be written to
    """

    def __init__(self, path: Path | None, identity: Mapping[str, str], variables: int, resume: bool) -> None:
        self.outcomes: dict[Configuration, Outcome] = {}
        self._file: AppendedFile | None = None
        if path is None:
            return
        header = {"format": FORMAT, "version": VERSION, "of": dict(identity)}
        self._file = file = AppendedFile(path)
        try:
            if file.size and not resume:
                raise HwquantError(
                    f"{path} holds an earlier search; go on with it (--resume), or remove the file"
                )
            if not self._load(file, header, variables):
                file.append(_line(header))
        except HwquantError:
            if not file.size:
                remove(path)
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write the file."""
        if self._file is not None:
            self._file.close()

    def add(self, configuration: Configuration, outcome: Outcome) -> None:
        """Keep an outcome; it is on the disk when this returns."""
        self.outcomes[configuration] = outcome
        if self._file is not None:
            content = {
                "bits": list(configuration),
                "measures": dict(outcome.measures),
                "noise": outcome.noise,
                "network": outcome.network,
                "error": outcome.error,
            }
            self._file.append(_line(content))

    def _load(self, file: AppendedFile, header: Mapping[str, Any], variables: int) -> bool:
        """Read what is there; whether there was a first line."""
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        # What has no end was cut off; if nothing has, it must at least begin as a journal does.
        if not whole and not _line(header).startswith(data[:LEAST]):
            raise Damaged(f"{file.path} is no journal of a search; remove the file", path=str(file.path))
        lines = whole.splitlines()
        if lines:
            _same(file.path, _parse(file.path, 1, lines[0]), header)
        for number, line in enumerate(lines[1:], 2):
            content = _parse(file.path, number, line)
            if not _is_outcome(content, variables):
                raise _damaged(file.path, number, "it is no outcome")
            self.outcomes[tuple(content["bits"])] = Outcome(
                content["measures"], content["noise"], content["network"], content["error"]
            )
        if len(whole) < len(data):
            file.cut(len(whole))
        return bool(lines)


def _is_outcome(content: Mapping[str, Any], variables: int) -> bool:
    bits, measures = content.get("bits"), content.get("measures")
    return (
        isinstance(bits, list)
        and len(bits) == variables
        and all(type(item) is int for item in bits)
        and isinstance(measures, dict)
        and all(type(item) in (int, float) for item in [*measures.values(), content.get("noise")])
        and isinstance(content.get("network"), str)
        and isinstance(content.get("error", 0), str | None)
    )


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps({**content, "check": _check(content)}) + "\n").encode()


def _check(content: Mapping[str, Any]) -> str:
    return fingerprint(json.dumps(content, sort_keys=True))[:16]


def _damaged(path: Path, number: int, why: str) -> Damaged:
    message = f"{path} is no journal of a search, or it is damaged at line {number} ({why}); remove the file"
    return Damaged(message, path=str(path))


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = parse_json(line)
        check = content.pop("check")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(path, number, str(error)) from error
    if check != _check(content) or line + b"\n" != _line(content):
        raise _damaged(path, number, "its checksum is wrong")
    return content


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
