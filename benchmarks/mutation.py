"""Who finds out that RTL is damaged: a table, and ``results/mutation.json``.

Components with claims are damaged alone, and all claims of the component are asked, then simulations of cores that have
it; cores are damaged whole, as Verilog is written from them, and simulated on random networks. Mutants that are proven
equal to the RTL in all cycles do not count; all others that are not killed do. ``--component`` takes only targets whose
names have its text, and writes nothing. ``--resume`` goes on with the record: targets that it has not, or, with
``--component``, those once more.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click
import numpy as np
from mutant_fates import CORES, NOT_KILLED, OUTCOMES, Fate, damaged_component, damaged_core
from results import FOLDER, write_results

from hwquant.prove.claims import CLAIMS

TARGET = 0.95
"""Share of the mutants that are not proven equivalent that should be killed."""


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
