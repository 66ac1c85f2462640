"""What is proven of the RTL: a table, and ``results/proofs.json``.

A name, or a part of one, proves only the claims that have it, and writes nothing.
"""

from __future__ import annotations

import sys

from results import write_results

from hwquant.prove.claims import CLAIMS
from hwquant.prove.prover import prove


def main(wanted: str = "") -> int:
    """Prove the claims; the exit status."""
    proofs = []
    for claim in CLAIMS:
        if wanted not in claim.name:
            continue
        proof = prove(claim)
        proofs.append(proof)
        scope = "all cycles" if proof.unbounded else "bounded"
        verdict = "proven" if proof.counts else "NOT PROVEN" if not proof.holds else "CONTROLS MISSED"
        found = f"{proof.damaged - len(proof.undetected)}/{proof.damaged}"
        print(
            f"{verdict:15} {scope:10} {proof.seconds:7.1f} s  damage found {found:7} {proof.name} ({proof.method}): "
            f"{proof.statement}",
            flush=True,
        )
    if not wanted:
        write_results("proofs", [proof.record() for proof in proofs])
    return 0 if proofs and all(proof.counts for proof in proofs) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
