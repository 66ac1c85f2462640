"""Proves claims, and finds out components that are damaged.

Induction over k cycles: the claim holds in the first k, and in each cycle that follows k in which it holds.
(M. Sheeran, S. Singh, G. Stalmarck, "Checking safety properties using induction and a SAT-solver", 2000.) Where no k is
enough, ABC finds an invariant. (N. Een, A. Mishchenko, R. Brayton, "Efficient implementation of property directed
reachability", 2011.)

A proof counts with its controls: each register of the component is damaged in turn, so that it takes the inverse of
what it should, and the claim must be refuted. So no proof holds for lack of inputs or of something that is claimed.
"""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hwquant.boards.tools import run, yosys
from hwquant.errors import ToolStopped, require
from hwquant.files import working_folder, write_bytes
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.transition import System, Unrolled, bitwuzla

WORDS = ("memory -nomap", "memory_map", "opt_clean", "dffunmap", "setundef -anyseq", "opt_clean")
"""Yosys passes from a flat design to what BTOR2 has; constants that do not matter are anything."""

INSIDE = "dut."
"""How names of the component's registers begin."""


@dataclass(frozen=True)
class Proof:
    """What became of a claim.

    Attributes
    ----------
    name : str
        The claim's name.
    statement : str
        What is claimed.
    method : str
        How it was tried, with the cycles.
    unbounded : bool
        Whether it is for all cycles.
    holds : bool
        Whether it was proven.
    damaged : int
        Registers that were damaged, one at a time.
    undetected : tuple of str
        Those whose damage the claim did not find out.
    seconds : float
        Time that all of this took.
    """

    name: str
    statement: str
    method: str
    unbounded: bool
    holds: bool
    damaged: int
    undetected: tuple[str, ...]
    seconds: float

    @property
    def counts(self) -> bool:
        """Whether the claim holds, and each damage was found out."""
        return self.holds and self.damaged > 0 and not self.undetected

    def record(self) -> dict[str, Any]:
        """The proof as a JSON object."""
        return {**asdict(self), "seconds": round(self.seconds, 1)}


def prove(claim: Claim) -> Proof:
    """Prove a claim, and run its controls.

    Parameters
    ----------
    claim : Claim
        What is to be proven.

    Returns
    -------
    Proof
        Whether it holds, and what of the controls was not found out.

    Raises
    ------
    MissingPackage
        ``pyosys`` or ``bitwuzla`` is not installed.
    ToolStopped
        A tool failed, or did not decide.
    """
    began = time.perf_counter()
    system, holds = decided(claim)
    cycles = f", {claim.depth} cycle{'s' * (claim.depth > 1)}"
    method = claim.method.value + cycles * (claim.method is not Method.REACHABILITY)
    # Yosys numbers those that had the same name.
    named = {node: re.sub(r"(?<=.)\$\d+$", "", name) for node, name in system.states.items()}
    aside = [INSIDE + name for name in claim.aside]
    unknown = [name for name in aside if not fnmatch.filter(named.values(), name)]
    if unknown:
        raise ValueError(f"the component has no registers {', '.join(sorted(unknown))}")
    inside = {
        node: name
        for node, name in system.states.items()
        if name.startswith(INSIDE) and not any(fnmatch.fnmatchcase(named[node], pattern) for pattern in aside)
    }
    # What a damage does may take as long again to be seen.
    undetected = [name for node, name in inside.items() if _bounded(system, 2 * claim.depth, damaged=node)]
    return Proof(
        claim.name,
        claim.statement,
        method,
        claim.method.unbounded,
        holds,
        len(inside),
        tuple(sorted(undetected)),
        time.perf_counter() - began,
    )


def decided(claim: Claim) -> tuple[System, bool]:
    """Prove a claim without its controls.

    Parameters
    ----------
    claim : Claim
        What is to be proven.

    Returns
    -------
    tuple of (System, bool)
        Claim and component, and whether it holds.

    Raises
    ------
    MissingPackage
        ``pyosys`` or ``bitwuzla`` is not installed.
    ToolStopped
        A tool failed, or did not decide.
    """
    if find_spec("pyosys") is None:
        raise require("pyosys", "formal", "proofs")
    harness = Harness()
    claim.build(harness)
    with working_folder() as work:
        system = _translated(harness, work)
        if claim.method is Method.REACHABILITY:
            return system, _reachability(work)
    holds = _bounded(system, claim.depth)
    return system, holds and (claim.method is Method.BOUNDED or _inductive(system, claim.depth))


def flattened(harness: Harness) -> list[str]:
    """Yosys commands that flatten a harness, whose text was written before, and connect what it sees inside."""
    seen: list[str] = []
    for name, inside in harness.seen.items():
        seen += [f"delete -port {name}", f"connect -set {name} {inside}"]
    return ["flatten", "cd top", *seen, "cd"]


def _translated(harness: Harness, work: Path) -> System:
    """Write the harness as BTOR2 for induction and as AIGER for ABC."""
    write_bytes(work / "design.il", harness.rtlil().encode())
    flat = ["read_rtlil design.il", "hierarchy -top top", "proc", *flattened(harness)]
    # Properties in place of the outputs, which ABC would take for such.
    asserted = [
        "cd top",
        "delete -port always lemmas assumed",
        "add -assert always",
        "add -assume assumed",
        "cd",
    ]
    bits = ["techmap", "opt_clean", "dffunmap", "aigmap", "opt_clean"]
    writing = ("write_btor design.btor", "write_aiger -zinit design.aig")
    yosys([*flat, *WORDS, writing[0], *asserted, *bits, writing[1]], work, "translation")
    return System.read((work / "design.btor").read_text(encoding="utf-8"))


def _bounded(system: System, depth: int, damaged: str = "") -> bool:
    """Whether the claim holds in the first cycles."""
    manager = bitwuzla().TermManager()
    unrolled = Unrolled(system, manager, begins=True, damaged=damaged)
    solver = bitwuzla().Bitwuzla(manager)
    for _ in range(depth):
        outputs = unrolled.step()
        claims = [outputs["always"]] if damaged else [outputs["always"], outputs["lemmas"]]
        solver.assert_formula(outputs["assumed"])
        if _satisfiable(solver, manager, claims):
            return False
    return True


def _inductive(system: System, depth: int) -> bool:
    """Whether the claim holds in a cycle if it does in those before."""
    manager = bitwuzla().TermManager()
    unrolled = Unrolled(system, manager, begins=False)
    solver = bitwuzla().Bitwuzla(manager)
    for _ in range(depth):
        outputs = unrolled.step()
        for name in ("always", "lemmas", "assumed"):
            solver.assert_formula(outputs[name])
    outputs = unrolled.step()
    solver.assert_formula(outputs["assumed"])
    return not _satisfiable(solver, manager, [outputs["always"], outputs["lemmas"]])


def _satisfiable(solver: Any, manager: Any, claims: Sequence[Any]) -> bool:
    """Whether one of the claims can be false."""
    kind, result = bitwuzla().Kind, bitwuzla().Result
    together = manager.mk_term(kind.AND, list(claims)) if len(claims) > 1 else claims[0]
    found = solver.check_sat(manager.mk_term(kind.NOT, [together]))
    if found == result.UNKNOWN:
        raise ToolStopped("Bitwuzla did not decide a proof")
    return bool(found == result.SAT)


def _reachability(work: Path) -> bool:
    """Whether ABC proves that no cycle violates the claim."""
    import pyosys

    abc = Path(pyosys.__file__).parent / "yosys-abc"
    run([str(abc), "-c", "read_aiger design.aig; fold; pdr -v"], work, "abc.log", "ABC")
    text = (work / "abc.log").read_text(encoding="utf-8")
    if "Property proved" in text:
        return True
    if re.search(r"Output \d+ of miter .* was asserted", text):
        return False
    raise ToolStopped(f"ABC did not decide a proof: {text.strip().splitlines()[-1]}")
