"""Journals that are not as they were written: noticed, or evaluated again, never another front."""

import json
import os
import warnings

import numpy as np
import pytest
from hwquant_testing.limits import attempt

from hwquant.errors import HwquantError
from hwquant.fingerprint import fingerprint
from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal
from hwquant.search.tuning import Tuned

IDENTITY = {"network": "a", "test data": "b"}
OUTCOMES = {
    (8, 4): Outcome({"accuracy": 0.1 + 0.2, "cycles": 1934}, 1e-7 / 3, "c0ffee"),
    (2, 4): Outcome(error="does not fit"),
    Tuned((8, 4), "feed"): Outcome({"accuracy": 0.5, "cycles": 19}, 0.25, "ab", made=b"a network"),
    Tuned((2, 4), "feed"): Outcome(error="diverges"),
    (8, 8): Outcome({"accuracy": 1.0, "cycles": 20}, 0.0, "abc"),
    (3, 1): Outcome({"accuracy": 0.0, "cycles": 7}, 1e308, "0"),
}
CASES = int(os.environ.get("HWQUANT_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "0"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal"
    journal = Journal(path, IDENTITY, 2, resume=False)
    for configuration, outcome in OUTCOMES.items():
        journal.add(configuration, outcome)
    return path.read_bytes()


def faulty_bytes(rng, whole):
    """A few bytes or lines changed, taken out, doubled, moved."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(data) + 1))
        length = int(rng.integers(1, 30))
        match rng.integers(0, 6):
            case 0 if at < len(data):
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                del data[at:]
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = rng.bytes(length)
            case 4:
                data[at:at] = data[at : at + length]
            case _:
                lines = bytes(data).splitlines(keepends=True)
                rng.shuffle(lines)
                data = bytearray(b"".join(lines))
        if not data:
            break
    return bytes(data)


VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    8,
    9,
    2.5,
    -0.5,
    1e308,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    {},
]
VALUES += [
    [8],
    [8, 4, 2],
    [8.0, 4],
    [True, 4],
    ["8", 4],
    [[8], 4],
    {"accuracy": "x"},
    {"accuracy": None},
    {"cycles": -1},
]
VALUES += [{"accuracy": float("nan")}, {"accuracy": [1]}, {"accuracy": 10**400}, "hwquant search"]
FIELDS = ("bits", "measures", "noise", "network", "error", "format", "version", "of", "more")


def faulty_values(rng, whole):
    """A field changed, removed or added, and every checksum right again."""
    lines = [json.loads(line) for line in whole.splitlines()]
    chosen = lines[int(rng.integers(0, len(lines)))]
    name = FIELDS[int(rng.integers(0, len(FIELDS)))]
    if rng.integers(0, 4):
        chosen[name] = VALUES[int(rng.integers(0, len(VALUES)))]
    else:
        chosen.pop(name, None)
    seal, sealed = "", []
    for line in lines:
        line.pop("check")
        line["check"] = fingerprint(seal, json.dumps(line, sort_keys=True))[:16]
        seal = seal or line["check"]
        sealed.append(json.dumps(line))
    return "".join(f"{line}\n" for line in sealed).encode()


def resume(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Journal(path, IDENTITY, 2, resume=True)


def check_bytes(seed, whole, path):
    data = faulty_bytes(np.random.default_rng(seed), whole)
    path.write_bytes(data)
    found = attempt(resume, path)
    if isinstance(found, HwquantError):
        assert path.read_bytes() == data, f"seed {seed}: refused, and changed"
        return False
    for configuration, outcome in found.outcomes.items():
        assert outcome == OUTCOMES.get(configuration), f"seed {seed}: another outcome for {configuration}"
    with found:
        found.add((5, 5), OUTCOMES[8, 8])
    again = attempt(resume, path)
    assert not isinstance(again, HwquantError), f"seed {seed}: {again}"
    assert again.outcomes == found.outcomes, f"seed {seed}"
    return True


def check_values(seed, whole, path):
    path.write_bytes(faulty_values(np.random.default_rng(seed), whole))
    found = attempt(resume, path)
    if isinstance(found, HwquantError):
        return False
    for item, outcome in found.outcomes.items():
        configuration = item.configuration if isinstance(item, Tuned) else item
        assert len(configuration) == 2, f"seed {seed}"
        assert all(type(bits) is int and 1 <= bits <= 8 for bits in configuration), f"seed {seed}"
        assert type(outcome.network) is str, f"seed {seed}"
        assert (outcome.error is None) == bool(outcome.measures), f"seed {seed}"
        assert outcome.noise >= 0, f"seed {seed}"
        assert all(0 <= value < float("inf") for value in outcome.measures.values()), f"seed {seed}"
    return True


CHECKS = [check_bytes, check_values]


@pytest.mark.parametrize("check", CHECKS)
def test_a_faulty_journal_is_refused_or_its_lost_lines_are_evaluated_again(check, whole, tmp_path):
    taken = [check(seed, whole, tmp_path / "journal") for seed in range(150)]
    assert 0 < sum(taken) < 150


@pytest.mark.nightly
@pytest.mark.parametrize("check", CHECKS)
def test_many_faulty_journals(check, whole, tmp_path):
    for seed in range(SEED, SEED + CASES):
        check(seed, whole, tmp_path / "journal")
