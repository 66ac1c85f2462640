"""Outcomes on disk at once, line by line: what is interrupted goes on where it was.

A text file of JSON lines. The first is a header, which says what the outcomes belong to. Every line carries a
checksum, of what it says and of the header: so lines of another journal do not count. An interrupted write leaves a
last line without its end: it is dropped, with a warning.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hwquant.errors import Damaged, HwquantError
from hwquant.files import AppendedFile, parse_json, remove
from hwquant.fingerprint import fingerprint

Take = Callable[[int, dict[str, Any]], None]
"""What is given each line of a journal: its number, and what it says; it raises where that is wrong."""


class JournalFile:
    """A file of outcomes that is nobody else's until it is closed.

    Parameters
    ----------
    path : Path
        The file, made where it is missing.
    header : mapping of str
        What the first line says: "format", "version", and "of", checksums by what they are of.
    noun : str
        What the outcomes are of, such as "search", for messages.
    resume : bool
        Whether to go on with a file that is there already.
    take : callable
        Called with each line of a file that is there.

    Raises
    ------
    Busy
        Another process writes the file.
    Damaged
        A line is not as it was written, or the file is no such journal.
    HwquantError
        There is a file already and ``resume`` is not set, it belongs to something else, or it cannot be written to.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], noun: str, resume: bool, take: Take) -> None:
        self._noun, self._seal = noun, seal(header)
        self._file = file = AppendedFile(path)
        try:
            if file.size and not resume:
                raise HwquantError(
                    f"{path} holds an earlier {noun}; go on with it (--resume), or remove the file"
                )
            self._load(file, header, take)
        except HwquantError:
            if not file.size:
                remove(path)
            self.close()
            raise

    def __enter__(self) -> JournalFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, so that others may write it."""
        self._file.close()

    def append(self, content: Mapping[str, Any]) -> None:
        """Keep a line; it is on the disk when this returns."""
        self._file.append(line(content, self._seal))

    def _load(self, file: AppendedFile, header: Mapping[str, Any], take: Take) -> None:
        """Read the lines in the file, and drop a last one that was cut off."""
        data, path = file.read(), file.path
        *lines, rest = data.split(b"\n")
        if not lines and not line(header).startswith(rest):
            raise self._no_journal(path, 1)
        if lines:
            self._same(path, self._parse(path, 1, lines[0], ""), header)
        for number, text in enumerate(lines[1:], 2):
            take(number, self._parse(path, number, text, self._seal))
        if rest:  # only now is it known that the file is ours to change
            warnings.warn(
                f"the last line of {path} was not finished; what it held is evaluated again", stacklevel=4
            )
            file.cut(len(data) - len(rest))
        if not lines:
            file.append(line(header))

    def _parse(self, path: Path, number: int, text: bytes, sealed: str) -> dict[str, Any]:
        try:
            content = parse_json(text)
            check = content.pop("check")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise self._no_journal(path, number) from error
        if check != seal(content, sealed) or text + b"\n" != line(content, sealed):
            raise Damaged(
                f"{path} is damaged at line {number} (its checksum is wrong); remove the file", path=str(path)
            )
        return content

    def _no_journal(self, path: Path, number: int) -> Damaged:
        text = f"{path} is no journal of a {self._noun}, or it is damaged at line {number}; remove the file"
        return Damaged(text, path=str(path))

    def _same(self, path: Path, header: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        same = header.get("format") == wanted["format"] and header.get("version") == wanted["version"]
        if not same or not isinstance(header.get("of"), dict):
            raise Damaged(
                f"{path} is no journal of a {self._noun} of this hwquant; remove the file", path=str(path)
            )
        for name, checksum in wanted["of"].items():
            if header["of"].get(name) != checksum:
                raise HwquantError(
                    f"{path} belongs to a {self._noun} with other {name}, which cannot go on here; name another "
                    "output, or remove the file"
                )
        if header != wanted:
            raise self._no_journal(path, 1)


def line(content: Mapping[str, Any], sealed: str = "") -> bytes:
    """A line of a journal: what it says, with its checksum, for a header's seal."""
    return (json.dumps({**content, "check": seal(content, sealed)}, allow_nan=False) + "\n").encode()


def seal(content: Mapping[str, Any], sealed: str = "") -> str:
    """The checksum of a line, for a header's seal."""
    return fingerprint(sealed, json.dumps(content, sort_keys=True))[:16]
