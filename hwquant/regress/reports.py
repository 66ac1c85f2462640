"""What a regression leaves: JUnit XML, one JSON file, one page, and the coverage of many runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hwquant.errors import Damaged
from hwquant.files import parse_json, read_bytes, update_bytes
from hwquant.page.page import page_environment
from hwquant.printable import printable
from hwquant.regress.case import Outcome
from hwquant.regress.coverage import BINS, is_coverage

FORMAT, VERSION = "hwquant coverage", 1
Outcomes = Mapping[str, Outcome]
"""Outcomes by configuration, in the file's order."""


def junit(name: str, outcomes: Outcomes) -> bytes:
    """Write outcomes as JUnit XML: what was refused is skipped, what crashed an error."""
    counts = Counter(item.status for item in outcomes.values())
    suite = ElementTree.Element(
        "testsuite",
        name=printable(name),
        tests=str(len(outcomes)),
        failures=str(counts["failed"]),
        errors=str(counts["crashed"]),
        skipped=str(counts["refused"]),
        time=f"{sum(item.seconds for item in outcomes.values()):.3f}",
    )
    kinds = {"failed": "failure", "crashed": "error", "refused": "skipped"}
    for key, item in outcomes.items():
        case = ElementTree.SubElement(
            suite, "testcase", classname=printable(name), name=printable(key), time=f"{item.seconds:.3f}"
        )
        if item.status in kinds:
            ElementTree.SubElement(case, kinds[item.status], message=printable(item.message))
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True) + b"\n"


def summary(outcomes: Outcomes) -> dict[str, Any]:
    """Outcomes as plain JSON values; equal outcomes give equal ones, whoever came to them and when."""
    return {
        "configurations": len(outcomes),
        "statuses": dict(sorted(Counter(item.status for item in outcomes.values()).items())),
        "coverage": total(outcomes),
        "outcomes": {
            key: {"status": item.status, "message": item.message, "cycles": item.cycles}
            for key, item in outcomes.items()
        },
    }


def total(outcomes: Outcomes) -> dict[str, int]:
    """Hits of every bin, by all outcomes."""
    hits: Counter[str] = Counter()
    for item in outcomes.values():
        hits.update(item.coverage)
    return {name: hits[name] for name in BINS}


def page(name: str, outcomes: Outcomes, repeats: Mapping[str, str], coverage: Mapping[str, int]) -> bytes:
    """Make the page, as HTML: outcomes, what repeats each that is bad, and bins with those that were never hit."""
    return (
        page_environment()
        .get_template("regress.html")
        .render(
            name=name,
            outcomes=outcomes,
            statuses=Counter(item.status for item in outcomes.values()),
            repeats=repeats,
            coverage=coverage,
            never=[key for key, count in coverage.items() if not count],
        )
        .encode()
    )


def accumulate(path: Path, digests: Mapping[str, str], outcomes: Outcomes) -> dict[str, int]:
    """Add a run to the coverage in a file; what it has already of a configuration is not added again.

    Parameters
    ----------
    path : Path
        The file, made where it is missing.
    digests : mapping of str
        Checksum of each configuration, by name.
    outcomes : Outcomes
        What became of them.

    Returns
    -------
    dict of int
        Hits of every bin, by all runs.

    Raises
    ------
    Damaged
        The file is no coverage.
    """
    hits: dict[str, int] = {}

    def make() -> bytes:
        kept: dict[str, Any] = {"format": FORMAT, "version": VERSION, "of": [], "hits": {}}
        if path.exists():
            kept = _coverage(path)
        counts, seen = Counter(kept["hits"]), set(kept["of"])
        for key, item in outcomes.items():
            if digests[key] not in seen:
                counts.update(item.coverage)
        hits.update({name: counts[name] for name in BINS})
        kept |= {
            "of": sorted(seen | {digests[key] for key, item in outcomes.items() if item.coverage}),
            "hits": dict(sorted(counts.items())),
        }
        return (json.dumps(kept, indent=1) + "\n").encode()

    update_bytes(path, make)
    return hits


def check_coverage(path: Path) -> None:
    """Check that coverage can be added to a file, before there is any.

    Raises
    ------
    Damaged
        The file is no coverage.
    HwquantError
        It cannot be read.
    """
    _coverage(path)


def _coverage(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(read_bytes(path))
    except ValueError as error:
        raise Damaged(f"{path} is no coverage of a regression; name another file", path=str(path)) from error
    match found:
        case {"format": f, "version": v, "of": list(of), "hits": dict(hits)} if (
            (f, v) == (FORMAT, VERSION) and all(type(item) is str for item in of) and is_coverage(hits)
        ):
            return dict(found)
    raise Damaged(f"{path} is no coverage of a regression; name another file", path=str(path))
