"""Regressions: networks, arrays, memories, simulators and pauses, each with each, against the golden model.

==============  ==========================================================================
``campaign``    the file, and the configurations that it stands for
``case``        one configuration: compiled, simulated, compared
``child``       the same in a process of its own
``coverage``    what of the hardware was exercised
``reports``     JUnit XML, a page, and the coverage of many runs
==============  ==========================================================================
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwquant.errors import Damaged, HwquantError
from hwquant.journal import JournalFile
from hwquant.regress.case import Case, Outcome, evaluate
from hwquant.regress.child import isolated
from hwquant.regress.coverage import MOST, is_coverage
from hwquant.workers import open_workers

__all__ = ["Case", "Outcome", "evaluate", "regress"]

FORMAT, VERSION = "hwquant regression", 1
Watch = Callable[[str, Outcome], None]
"""Called with each outcome as it comes, or as it was kept, and the name of its configuration."""


@dataclass(frozen=True)
class Isolated:
    """What workers do with a configuration.

    Attributes
    ----------
    timeout : float
        Seconds that it may take.
    """

    timeout: float

    def __call__(self, case: Case) -> Outcome:
        """Evaluate a configuration in a process of its own."""
        return isolated(case, self.timeout)


def regress(
    cases: Sequence[Case],
    *,
    timeout: float = 600.0,
    jobs: int | None = None,
    scheduler: str | None = None,
    journal: Path | None = None,
    resume: bool = False,
    watch: Watch = lambda name, outcome: None,
) -> dict[str, Outcome]:
    """Evaluate configurations, on many workers.

    Parameters
    ----------
    cases : sequence of Case
        The configurations, each of another name.
    timeout : float, default 600.0
        Seconds that each may take.
    jobs : int, optional
        Processes on this machine; None starts one a core.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers evaluate instead.
    journal : Path, optional
        File that keeps outcomes as they come.
    resume : bool, default False
        Whether to go on with a file that is there: what it has of an equal configuration is not evaluated again, unless
        that crashed.
    watch : callable, optional
        Called with each outcome.

    Returns
    -------
    dict of Outcome
        Outcomes by name, in the order of ``cases``.

    Raises
    ------
    HwquantError
        Two configurations have one name, the journal cannot be used, or workers are missing.
    """
    digests = {case.name: case.digest for case in cases}
    if len(digests) < len(cases):
        twice = next(name for name, count in Counter(case.name for case in cases).items() if count > 1)
        raise HwquantError(
            f"two configurations are called {twice!r}; give each network a file of another name, or random networks "
            "another 'first'"
        )
    found: dict[str, Outcome] = {}

    def take(number: int, content: dict[str, Any]) -> None:
        name, of, outcome = _entry(journal, number, content)
        # What crashed may have done so for want of time, or of a tool.
        if digests.get(name) == of and outcome.status != "crashed":
            found[name] = outcome

    kept = None
    if journal is not None:
        kept = JournalFile(
            journal, {"format": FORMAT, "version": VERSION, "of": {}}, "regression", resume, take
        )
    try:
        for name, outcome in found.items():
            watch(name, outcome)
        missing = [case for case in cases if case.name not in found]
        if missing:
            with open_workers(Isolated(timeout), jobs, scheduler) as workers:
                for index, outcome in workers(missing):
                    name = missing[index].name
                    if kept is not None:
                        kept.append({"name": name, "of": digests[name], **dataclasses.asdict(outcome)})
                    found[name] = outcome
                    watch(name, outcome)
    finally:
        if kept is not None:
            kept.close()
    return {name: found[name] for name in digests}


def _entry(path: Path | None, number: int, content: dict[str, Any]) -> tuple[str, str, Outcome]:
    match content:
        case {
            "name": str(name),
            "of": str(of),
            "status": "passed" | "failed" | "crashed" | "refused" as status,
            "message": str(message),
            "cycles": int(cycles),
            "coverage": dict(coverage),
            "seconds": float(seconds),
            **rest,
        } if (
            not rest
            and is_coverage(coverage)
            and type(cycles) is int
            and 0 <= cycles < MOST
            and 0 <= seconds < MOST
            and bool(coverage) == (status == "passed")
            and bool(message) == (status != "passed")
        ):
            return name, of, Outcome(status, message, cycles, coverage, seconds)
    raise Damaged(f"{path} is damaged at line {number}; remove the file", path=str(path))
