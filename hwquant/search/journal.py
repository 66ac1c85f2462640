"""What has been evaluated, on disk at once: a search that is interrupted goes on where it was.

The first line of the journal (:mod:`hwquant.journal`) says what the outcomes belong to, by checksums of network, data
and options; each other line is a candidate, with its network where that was fine-tuned. Each line stands for itself:
where one is missing, the candidate is evaluated again.

A journal is for the version of hwquant that began it, which is one of the checksums; a file of another `VERSION` is
refused.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from hwquant import __version__
from hwquant.errors import Damaged
from hwquant.fingerprint import fingerprint
from hwquant.graph import Graph
from hwquant.journal import JournalFile
from hwquant.quantize.calibration import Data
from hwquant.search.evaluate import Item, Outcome, Task
from hwquant.search.objectives import ACCURACY
from hwquant.search.space import INT8, WIDE_BIAS
from hwquant.search.tuning import Tuned

FORMAT = "hwquant search"
BASE64 = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
VERSION = 2


def identity(graph: Graph, calibration: Data, task: Task) -> dict[str, str]:
    """Take the checksums of all that an outcome depends on besides its bits, by what they are of."""
    return {
        "hwquant version": fingerprint(__version__),
        "network": fingerprint(graph),
        "calibration data": fingerprint(calibration),
        "test data": fingerprint(task.test),
        "quantizer options": fingerprint(task.quantizer),
        "array": fingerprint(task.array),
        "searched layers": fingerprint([(item.kind, item.name) for item in task.space.variables]),
        "board": fingerprint(task.target),
    }


class Journal:
    """Outcomes by configuration, in memory and, with a ``path``, in a file that is nobody else's until it is closed.

    Parameters
    ----------
    path : Path or None
        The file; None keeps the outcomes in memory alone.
    identity : mapping of str
        What :func:`identity` says of the search.
    variables : int
        Number of bits in a configuration.
    resume : bool
        Whether to go on with a file that is there already.
    values : range, default range(1, 33)
        What the bits, or whatever else a configuration chooses, may be.

    Attributes
    ----------
    outcomes : dict of Outcome
        All outcomes so far, by configuration, or by configuration and training.

    Raises
    ------
    Busy
        Another search writes the file.
    Damaged
        A line is not as it was written, or the file is no journal.
    HwquantError
        There is a file already and ``resume`` is not set, it belongs to another search, or it cannot be written to.
    """

    def __init__(
        self,
        path: Path | None,
        identity: Mapping[str, str],
        variables: int,
        resume: bool,
        values: range = range(1, max(INT8, WIDE_BIAS) + 1),
    ) -> None:
        self.outcomes: dict[Item, Outcome] = {}
        self._file: JournalFile | None = None
        if path is None:
            return

        def take(number: int, content: dict[str, Any]) -> None:
            item, outcome = _entry(path, number, content, variables, values)
            self.outcomes[item] = outcome

        header = {"format": FORMAT, "version": VERSION, "of": dict(identity)}
        self._file = JournalFile(path, header, "search", resume, take)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, so that others may write it."""
        if self._file is not None:
            self._file.close()

    def add(self, item: Item, outcome: Outcome) -> None:
        """Keep an outcome; it is on the disk when this returns."""
        self.outcomes[item] = outcome
        if self._file is not None:
            content: dict[str, Any] = {
                "bits": list(item.configuration if isinstance(item, Tuned) else item),
                "measures": dict(outcome.measures),
                "noise": outcome.noise,
                "network": outcome.network,
                "error": outcome.error,
            }
            if isinstance(item, Tuned):
                content |= {"training": item.training, "made": b64encode(outcome.made).decode()}
            self._file.append(content)


def _entry(
    path: Path, number: int, content: Mapping[str, Any], variables: int, values: range
) -> tuple[Item, Outcome]:
    """Check and decode a candidate's line: its checksum alone does not say that this hwquant wrote it."""
    match content:
        case {
            "bits": list(bits),
            "measures": dict(measures),
            "noise": noise,
            "network": str(network),
            "error": None | str() as error,
            **rest,
        } if (
            len(bits) == variables
            and all(type(item) is int and item in values for item in bits)
            and all(_is_number(item) for item in (noise, *measures.values()))
            and measures.get(ACCURACY, 0) <= 1
            and (error is None) == bool(measures)
        ):
            outcome = Outcome(measures, noise, network, error)
            match rest:
                case {"training": str(training), "made": str(made)} if (
                    len(rest) == 2 and bool(made) == (error is None) and BASE64.fullmatch(made)
                ):
                    return Tuned(tuple(bits), training), replace(outcome, made=b64decode(made))
                case _ if not rest:
                    return tuple(bits), outcome
    raise Damaged(f"{path} is damaged at line {number}; remove the file", path=str(path))


def _is_number(value: object) -> bool:
    """Whether a value is a finite number that is not negative: what is measured is a share, a count, or a power."""
    return type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]
