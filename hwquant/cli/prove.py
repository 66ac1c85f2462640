"""``hwquant prove``: what is true of a build's core for all inputs, and in all cycles."""

from __future__ import annotations

from pathlib import Path

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.core import buses
from hwquant.cli.progress import progress
from hwquant.cli.types import LateChoice
from hwquant.errors import HwquantError

NOT_PROVEN = 1


@click.command()
@click.argument("build", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--bus",
    default="axi",
    show_default=True,
    type=LateChoice(buses),
    help="What surrounds the core, as of `hwquant core`.",
)
@click.option("--only", metavar="TEXT", default="", help="Claims whose names have this text.")
@json_option
@click.pass_context
def prove(context: click.Context, build: Path, bus: str, only: str, as_json: bool) -> None:
    """Prove what is claimed of the components of BUILD's core.

    For all inputs, with the core's parameters; each proof has its controls. Exit 1 if one fails.
    """
    from hwquant.build import load_build
    from hwquant.prove.core import core_claims
    from hwquant.prove.prover import prove as prove_claim

    every = core_claims(load_build(build).program, bus)
    claims = [claim for claim in every if only in claim.name]
    if not claims:
        names = "; ".join(claim.name for claim in every)
        raise HwquantError(f"no claim has {only!r} in its name; --only takes a part of one of: {names}")
    proofs = []
    with progress() as track:
        for number, claim in enumerate(claims):
            track(claim.name, number, len(claims))
            proofs.append(prove_claim(claim))
    text = []
    for proof in proofs:
        verdict = "proven" if proof.counts else "controls missed" if proof.holds else "NOT PROVEN"
        text.append(
            f"{verdict}: {proof.name}: {proof.statement} ({proof.method}, "
            f"{'all cycles' if proof.unbounded else 'bounded'}, {proof.seconds:.1f} s; "
            f"{proof.damaged - len(proof.undetected)} of {proof.damaged} damaged registers found out)"
        )
    counts = sum(proof.counts for proof in proofs)
    text.append(f"{counts} of {len(proofs)} claims proven")
    emit(as_json, {"bus": bus, "proven": counts, "proofs": [proof.record() for proof in proofs]}, *text)
    if counts < len(proofs):
        context.exit(NOT_PROVEN)
