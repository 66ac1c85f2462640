"""The record of proofs is of all that is claimed."""

import json
from pathlib import Path

from hwquant.prove.claims import CLAIMS

RECORD = Path(__file__).parents[2] / "benchmarks/results/proofs.json"


def test_each_claim_is_on_record_as_it_is_claimed_and_counts():
    proofs = json.loads(RECORD.read_text())["results"]
    assert [(one["name"], one["statement"]) for one in proofs] == [
        (one.name, one.statement) for one in CLAIMS
    ]
    assert all(one["holds"] and one["damaged"] > 0 and not one["undetected"] for one in proofs)
