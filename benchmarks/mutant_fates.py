"""What becomes of damaged RTL: claims, simulations and proofs of equality judge it, one mutant at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

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
from mutated_core import Experiment, Hardware, MutatedCore, core_text, experiments

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


def damaged_component(
    claim: Claim,
    count: int,
    seed: int,
    claims: Sequence[Claim] = CLAIMS,
    cores: Sequence[Hardware] = CORES,
) -> list[Fate]:
    """Damage the component of a claim; the fates of its mutants, also by its other claims and in cores."""
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
    return shown_in_cores(cores, refuted_by_claims(others, fates, cells), seed)


def refuted_by_claims(claims: Sequence[Claim], fates: list[Fate], cells: str = "") -> list[Fate]:
    """Ask claims about mutants of another design with their components that are not killed.

    A mutant is the same as one of a claim's component where mode, port, bits and lines are. Where several are, all of
    them have to be refuted. Of a component whose netlist is ``cells`` it is the one of the same cell.
    """
    for claim in claims:
        if not (wanted := _wanted(fates)):
            break
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
            if same := _same(alike, wanted):
                damage(work, same)
                refuted = _finder(component)
                alive = {mutant.key for mutant in same if not refuted(mutant)}
                killed = {mutant.key: claim.name for mutant in same if mutant.key not in alive}
                fates = _with_kills(fates, "claim", killed)
    return fates


def shown_in_cores(cores: Sequence[Hardware], fates: list[Fate], seed: int) -> list[Fate]:
    """Simulate mutants of a claim's component that are not killed, in cores that have the component.

    Which ones are the same, :func:`refuted_by_claims` says.
    """
    for hardware in cores:
        if not (wanted := _wanted(fates)):
            break
        tried = experiments(hardware, PROGRAMS, seed)
        with working_folder() as work:
            text, inside = core_text(tried[0].program.config)
            same = _same(list_mutants(work, text, "hwquant", inside, ALL, seed), wanted)
            if same:
                with _simulated(work, hardware, tried, same) as core:
                    shown = {mutant: core.verdict(mutant.number) for mutant in same}
                alive = {mutant.key for mutant in same if not shown[mutant]}
                killed = {
                    mutant.key: f"in the core {hardware.name}: {what}"
                    for mutant, what in shown.items()
                    if mutant.key not in alive
                }
                fates = _with_kills(fates, "simulation", killed)
    return fates


def _wanted(fates: list[Fate]) -> set[tuple[str, ...]]:
    """Keys of the mutants that are not killed."""
    return {fate.mutant.key for fate in fates if fate.outcome in NOT_KILLED}


def _same(alike: Sequence[Mutant], wanted: set[tuple[str, ...]]) -> list[Mutant]:
    """Those of a design's mutants that are wanted, numbered anew; none where they are too many to say anything."""
    same = [mutant for mutant in alike if mutant.key in wanted]
    if len(same) > MOST_ALIKE * len(wanted):
        return []
    return [replace(mutant, number=number) for number, mutant in enumerate(same, 1)]


def _with_kills(fates: list[Fate], outcome: str, killed: Mapping[tuple[str, ...], str]) -> list[Fate]:
    """The fates, where those with some keys are killed for the reason that is said."""
    return [
        Fate(fate.mutant, outcome, killed[fate.mutant.key])
        if fate.outcome in NOT_KILLED and fate.mutant.key in killed
        else fate
        for fate in fates
    ]


@contextmanager
def _simulated(
    work: Path, hardware: Hardware, tried: Sequence[Experiment], mutants: Sequence[Mutant]
) -> Iterator[MutatedCore]:
    """A core with mutants, that is right without a damage."""
    damage(work, mutants)
    core = MutatedCore((work / MUTATED).read_text(encoding="utf-8"), tried)
    try:
        if shown := core.verdict(SOUND.number):
            raise HwquantError(f"the core {hardware.name} is wrong without a damage: {shown}")
        yield core
    finally:
        core.close()


def damaged_core(hardware: Hardware, count: int, seed: int) -> list[Fate]:
    """Damage a core; the fates of its mutants."""
    tried = experiments(hardware, PROGRAMS, seed)
    with working_folder() as work:
        text, inside = core_text(tried[0].program.config)
        mutants = list_mutants(work, text, "hwquant", inside, count, seed)
        equivalences: dict[str, Equivalence] = {}
        fates = []
        with _simulated(work, hardware, tried, mutants) as core:
            for mutant in mutants:
                shown = core.verdict(mutant.number)
                fates.append(
                    Fate(mutant, "simulation", shown)
                    if shown
                    else _judged(work, mutant.module, equivalences, mutant)
                )
    return refuted_by_claims(core_claims(tried[0].program, "none"), fates)
