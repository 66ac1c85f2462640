"""Seeds of fuzz tests: a few in every run, many at night, more in a campaign."""

import os
from collections.abc import Iterable

import pytest

CHUNK = 100
"""Seeds of one nightly test, where it does not say otherwise."""


def seed_ranges(few: int, many: int, chunk: int = CHUNK) -> list[object]:
    """Ranges of seeds to parametrize a test with; the first is for every run, the others are nightly.

    Parameters
    ----------
    few : int
        Seeds in every run.
    many : int
        Seeds in all, unless the environment variable ``HWQUANT_FUZZ_CASES`` says otherwise. The first seed is that
        of ``HWQUANT_FUZZ_SEED``, or 0.
    chunk : int
        Seeds of one nightly test.
    """
    first = int(os.environ.get("HWQUANT_FUZZ_SEED", "0"))
    last = first + int(os.environ.get("HWQUANT_FUZZ_CASES", str(many)))
    few = min(few, last - first)
    chunks = [range(start, min(start + chunk, last)) for start in range(first + few, last, chunk)]
    return [
        pytest.param(part, id=f"{part.start}-{part.stop - 1}", marks=pytest.mark.nightly if number else ())
        for number, part in enumerate([range(first, first + few), *chunks])
    ]


def nightly(cases: Iterable[object]) -> list[object]:
    """Cases to parametrize a test with, for nightly runs alone: what others show as well."""
    return [
        pytest.param(*case, marks=pytest.mark.nightly)
        if isinstance(case, tuple)
        else pytest.param(case, marks=pytest.mark.nightly)
        for case in cases
    ]
