"""Who finds out that RTL is damaged: a table, and ``results/mutation.json``.

Components with claims are damaged alone, and all claims of the component are asked; cores are damaged whole, as Verilog
is written from them, and simulated on random networks. Mutants that are proven equal to the RTL in all cycles do not
count; all others that are not killed do. ``--component`` takes only targets whose names have its
text, and writes nothing. ``--resume`` goes on with the record: targets that it has not, or, with ``--component``, those
once more.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from mutants import (
    CYCLES,
    MUTATED,
    ClaimedComponent,
    Equivalence,
    Mutant,
    component_of,
    damage,
    equal_when_reachable,
    list_mutants,
)
from mutated_core import Hardware, MutatedCore, core_text, experiments
from results import FOLDER, write_results

from hwquant.errors import HwquantError
from hwquant.files import working_folder
from hwquant.program.external import ExternalMemory
from hwquant.prove.claims import CLAIMS
from hwquant.prove.core import core_claims
from hwquant.prove.harness import Claim
from hwquant.prove.prover import decided
from hwquant.random_networks.features import Features

PROGRAMS = 8
"""Networks that a core is simulated on."""
BOUND = CYCLES
"""Cycles from configuration on in which mutants are compared with the RTL, where no proof for all cycles comes out."""
SOUND = Mutant(0, "", "", "", (), ())
ALL = 1 << 20
"""More mutants than a component has."""
MOST_ALIKE = 8
"""Mutants of a claim's component that may stand for one of the core; more are too vague."""
TARGET = 0.95
"""Share of the mutants that are not proven equivalent that should be killed."""

_BLOCK = {"block": (2, 2), "offsets": False, "per_channel": False}
CORES = (
    Hardware("2x2", (2, 2), Features(**_BLOCK), {}),
    Hardware(
        "2x2, a multiplier, tables, products",
        (2, 2),
        Features(**_BLOCK, multiplier=True, products=True, tables=0.4),
        {},
    ),
    Hardware(
        "2x2, external memory",
        (2, 2),
        Features(**_BLOCK),
        {"external": ExternalMemory(32, 1 << 16), "limits": {"activation_depth": 32}},
    ),
    Hardware("3x2, offsets", (3, 2), Features(block=(3, 2)), {}),
)


@dataclass(frozen=True)
class Fate:
    """What became of a mutant.

    Attributes
    ----------
    mutant : Mutant
        The mutant.
    outcome : str
        A key of :data:`OUTCOMES`.
    reason : str
        What shows it.
    """

    mutant: Mutant
    outcome: str
    reason: str


OUTCOMES = {
    "claim": "a claim is refuted",
    "simulation": "a simulation differs",
    "equivalent": "no output is ever different, proven for all cycles",
    "bounded": f"no output is different in {BOUND} cycles, whatever the inputs; in later ones it may be",
    "survived": "nobody has found it out",
}
"""What becomes of mutants; the first two are kills, equivalent ones do not count."""
NOT_KILLED = ("survived", "bounded")


def _judged(work: Path, module: str, equivalences: dict[str, Equivalence], mutant: Mutant) -> Fate:
    """What a mutant is that nobody has killed."""
    if module not in equivalences:
        equivalences[module] = Equivalence(work, module)
    if equivalences[module].in_all_cycles(mutant):
        return Fate(mutant, "equivalent", "by induction")
    try:
        cycle = equivalences[module].in_cycles(mutant, BOUND)
    except TimeoutError as error:
        return Fate(mutant, "survived", f"whether its module differs is not decided in time, {error}")
    if cycle is not None:
        return Fate(mutant, "survived", f"inputs of {module} that show it in cycle {cycle} are possible")
    if equal_when_reachable(work, module, mutant):
        return Fate(mutant, "equivalent", "by an invariant")
    return Fate(mutant, "bounded", f"{BOUND} cycles")


def _finder(component: ClaimedComponent) -> Callable[[Mutant], bool | None]:
    """What tells whether a claim refutes a mutant, once the claim holds without a damage."""
    refuted = component.finder()
    # Cycles are searched faster than a claim is proven, but not for every component.
    sound = refuted(SOUND)
    if sound or (sound is None and not decided(component.claim)[1]):
        raise HwquantError(f"{component.claim.name} is refuted without a damage: see hwquant prove")
    return refuted


def damaged_component(claim: Claim, count: int, seed: int, claims: Sequence[Claim] = CLAIMS) -> list[Fate]:
    """Damage the component of a claim; the fates of its mutants, of which all claims of that component are asked."""
    with working_folder() as work:
        component = ClaimedComponent(claim, work)
        mutants, cells = component.list(count, seed), component.cells()
        damage(work, mutants)
        refuted = _finder(component)
        equivalences: dict[str, Equivalence] = {component.top: Equivalence(work, component.top)}
        fates = []
        for mutant in mutants:
            if equivalences[component.top].in_all_cycles(mutant):
                fates.append(Fate(mutant, "equivalent", "by induction"))
            elif refuted(mutant):
                fates.append(Fate(mutant, "claim", claim.name))
            else:
                fates.append(_judged(work, component.top, equivalences, mutant))
    others = [other for other in claims if other is not claim and component_of(other) == component_of(claim)]
    return refuted_by_claims(others, fates, cells)


def refuted_by_claims(claims: Sequence[Claim], fates: list[Fate], cells: str = "") -> list[Fate]:
    """Ask claims about mutants of another design with their components that are not killed.

    A mutant is the same as one of a claim's component where mode, port, bits and lines are. Where several are, all of
    them have to be refuted. Of a component whose netlist is ``cells`` it is the one of the same cell.
    """
    wanted = {fate.mutant.key for fate in fates if fate.outcome in NOT_KILLED}
    killers: dict[tuple[str, ...], str] = {}
    for claim in claims if wanted else ():
        with working_folder() as work:
            component = ClaimedComponent(claim, work)
            alike = component.list(ALL, 0)
            if component.cells() == cells:
                keys = {(fate.mutant.module, fate.mutant.change): fate.mutant.key for fate in fates}
                alike = [
                    replace(mutant, key=keys[name])
                    for mutant in alike
                    if (name := (mutant.module, mutant.change)) in keys
                ]
            same = [mutant for mutant in alike if mutant.key in wanted - killers.keys()]
            same = [replace(mutant, number=number) for number, mutant in enumerate(same, 1)]
            if not same or len(same) > MOST_ALIKE * len(wanted):
                continue
            damage(work, same)
            refuted = _finder(component)
            alive = {mutant.key for mutant in same if not refuted(mutant)}
            killers |= {mutant.key: claim.name for mutant in same if mutant.key not in alive}
    return [
        Fate(fate.mutant, "claim", killers[fate.mutant.key])
        if fate.outcome in NOT_KILLED and fate.mutant.key in killers
        else fate
        for fate in fates
    ]


def damaged_core(hardware: Hardware, count: int, seed: int) -> list[Fate]:
    """Damage a core; the fates of its mutants."""
    tried = experiments(hardware, PROGRAMS, seed)
    with working_folder() as work:
        text, inside = core_text(tried[0].program.config)
        mutants = list_mutants(work, text, "hwquant", inside, count, seed)
        damage(work, mutants)
        core = MutatedCore((work / MUTATED).read_text(encoding="utf-8"), tried)
        try:
            if shown := core.verdict(SOUND.number):
                raise HwquantError(f"the core {hardware.name} is wrong without a damage: {shown}")
            equivalences: dict[str, Equivalence] = {}
            fates = []
            for mutant in mutants:
                shown = core.verdict(mutant.number)
                fates.append(
                    Fate(mutant, "simulation", shown)
                    if shown
                    else _judged(work, mutant.module, equivalences, mutant)
                )
            return refuted_by_claims(core_claims(tried[0].program, "none"), fates)
        finally:
            core.close()


def summary(fates: list[Fate]) -> dict[str, Any]:
    """How many mutants had each fate, and the share that is killed of those that are not equivalent."""
    return _share(Counter(fate.outcome for fate in fates))


def _share(counts: Counter[str]) -> dict[str, Any]:
    killed = counts["claim"] + counts["simulation"]
    real = counts.total() - counts["equivalent"]
    return {
        "mutants": counts.total(),
        **{name: counts[name] for name in OUTCOMES},
        "killed": round(killed / real, 4) if real else None,
    }


def _target(name: str, fates: list[Fate], seconds: float) -> dict[str, Any]:
    """What the record has of a target."""
    files: dict[str, Counter[str]] = {}
    for fate in fates:
        files.setdefault(fate.mutant.component, Counter())[fate.outcome] += 1
    return {
        "target": name,
        **summary(fates),
        "seconds": round(seconds),
        "files": {file: dict(files[file]) for file in sorted(files)},
        "not_killed": [_record(fate) for fate in fates if fate.outcome in NOT_KILLED],
    }


def _content(
    seed: int, sample: int, targets: Sequence[dict[str, Any]], not_begun: list[str]
) -> dict[str, Any]:
    """The record of some targets."""
    files: dict[str, Counter[str]] = {}
    for target in targets:
        for file, counts in target["files"].items():
            files.setdefault(file, Counter()).update(counts)
    return {
        "seed": seed,
        "sample": sample,
        "minutes": round(sum(target["seconds"] for target in targets) / 60, 1),
        "begun": _share(sum(files.values(), Counter())),
        "files": {file: _share(files[file]) for file in sorted(files)},
        "targets": list(targets),
        "not_begun": not_begun,
    }


def _kept(seed: int, sample: int, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The targets of the record that there are still, by name."""
    try:
        record = json.loads((FOLDER / "mutation.json").read_text(encoding="utf-8"))["results"]
        if not all({"target", "seconds", "files"} <= target.keys() for target in record["targets"]):
            raise KeyError("targets")
    except (FileNotFoundError, KeyError) as error:
        raise click.BadParameter(
            f"there is no record to go on with: {error}", param_hint="--resume"
        ) from error
    if (record["seed"], record["sample"]) != (seed, sample):
        raise click.BadParameter(
            f"the record is of --seed {record['seed']} --sample {record['sample']}; give these, or begin without it",
            param_hint="--resume",
        )
    return {target["target"]: target for target in record["targets"] if target["target"] in names}


def _record(fate: Fate) -> dict[str, Any]:
    mutant = fate.mutant
    return {
        "outcome": fate.outcome,
        "lines": list(mutant.sources),
        "module": mutant.module,
        "change": mutant.change,
        "reason": fate.reason,
    }


@click.command(help=__doc__)
@click.option(
    "--sample",
    default=40,
    show_default=True,
    type=click.IntRange(1, 20_000),
    help="Mutants of a core; of a claim's component half as many.",
)
@click.option("--component", default="", help="Targets whose names have this text.")
@click.option("--seed", default=1, show_default=True, help="Chooses mutants and networks.")
@click.option("--minutes", default=60.0, show_default=True, help="No target begins later.")
@click.option("--resume", is_flag=True, help="Keep what the record has, and add to it.")
def main(sample: int, component: str, seed: int, minutes: float, resume: bool) -> None:
    """Damage everything, and tell what became of it."""
    targets: list[tuple[str, Callable[[], list[Fate]]]] = [
        (f"core: {hardware.name}", partial(damaged_core, hardware, sample, seed)) for hardware in CORES
    ]
    targets += [(claim.name, partial(damaged_component, claim, -(-sample // 2), seed)) for claim in CLAIMS]
    names = [name for name, _ in targets]
    done = _kept(seed, sample, names) if resume else {}
    # In any order, so that of a run that ends early some of each kind are done.
    order = np.random.default_rng(seed).permutation(len(targets))
    chosen = [
        (name, run)
        for name, run in (targets[place] for place in order)
        if component in name and (component or name not in done)
    ]
    if component and not chosen:
        raise click.BadParameter(f"no target has {component!r} in its name", param_hint="--component")
    began, begun = time.perf_counter(), 0
    for name, run in chosen:
        if (at := time.perf_counter() - began) > 60 * minutes:
            break
        found = run()
        begun += 1
        seconds = time.perf_counter() - began
        done[name] = target = _target(name, found, seconds - at)
        click.echo(f"{seconds:5.0f} s  {name}: {_said(target)}")
        for mutant in target["not_killed"]:
            click.echo(
                f"    {mutant['outcome']}: {mutant['lines'][0]} {mutant['change']}: {mutant['reason']}"
            )
        if resume or not component:
            results = [done[name] for name in names if name in done]
            write_results(
                "mutation", _content(seed, sample, results, [name for name in names if name not in done])
            )
    for name, _ in chosen[begun:]:
        click.echo(f"not begun: {name}")
    total = _content(seed, sample, list(done.values()), [])["begun"]
    click.echo(f"{len(done)} of {len(done.keys() | {name for name, _ in chosen})} targets: {_said(total)}")
    if total["killed"] is not None and total["killed"] < TARGET:
        sys.exit(1)


def _said(counts: Mapping[str, Any]) -> str:
    share = counts["killed"]
    numbers = ", ".join(f"{counts[name]} {name}" for name in ("mutants", *OUTCOMES) if counts[name])
    return numbers + ("" if share is None else f"; {share:.1%} killed")


if __name__ == "__main__":
    main()
