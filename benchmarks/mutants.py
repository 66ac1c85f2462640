"""Mutants of RTL, made by Yosys' pass ``mutate``: a netlist in which a number chooses what is damaged.

Each mutant damages one bit of one port of one cell: it is inverted, stuck at 0 or 1, or inverted while another bit of
the port is 0 or 1. So operators, constants, conditions, enables, resets and registers are damaged. The clock is not,
and neither are initial contents of memories, which are a program and no hardware; of registers it is what goes in, and
what is made of what comes out, so that their initial values stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hwquant.boards.tools import run, yosys
from hwquant.files import write_bytes
from hwquant.prove.harness import Claim, Harness
from hwquant.prove.prover import WORDS, flattened
from hwquant.prove.transition import System, Term, Unrolled, bitwuzla

SELECT, SELECT_BITS = "mutsel", 16
"""The input that chooses a mutant: its number, from 1 on; 0 chooses none."""
BASE, MUTATED = "base.il", "mutated.il"
LIMIT = 5_000
"""Milliseconds for a question to the solver."""
CYCLES = 12
"""Cycles from configuration on that are searched at least."""
LEFT_OUT = re.compile(r" -port (CLK|Q) ")
"""Clocks, and outputs of registers: Yosys keeps initial values with the wires there."""
REACHABLE = 20
"""Seconds for ABC to find an invariant."""
SOURCES = re.compile(r"-src \S*?(rtl_templates/\S+?:\d+)")


@dataclass(frozen=True)
class Mutant:
    """A damage.

    Attributes
    ----------
    number : int
        What chooses it.
    command : str
        Arguments of Yosys' ``mutate``.
    module : str
        Name of the module.
    change : str
        What is changed: mode, cell, port and bit.
    sources : tuple of str
        Files and lines that the cell and the wire come from.
    key : tuple
        What it has in common with the same damage of the same component in another design.
    """

    number: int
    command: str
    module: str
    change: str
    sources: tuple[str, ...]
    key: tuple[str, ...]

    @staticmethod
    def read(number: int, line: str, homes: Mapping[str, str]) -> Mutant:
        """Read a line of ``mutate -list``; ``homes`` says where modules begin whose cells do not say it."""
        command = line.removeprefix("mutate ").strip()
        words = command.split()
        options = dict(zip(words[::2], words[1::2]))
        module = options["-module"]
        sources = tuple(dict.fromkeys(SOURCES.findall(line))) or (homes[module],)
        bit = "-portbit", "-ctrlbit"
        change = f"{options['-mode']} {options['-cell']}.{options['-port']}" + "".join(
            f"[{options[name]}]" for name in bit if name in options
        )
        key = (*(options.get(name, "") for name in ("-mode", "-port", *bit)), *sorted(sources))
        return Mutant(number, command, module, change, sources, key)

    @property
    def component(self) -> str:
        """The file that the damaged cell comes from, without its suffix."""
        return self.sources[0].removeprefix("rtl_templates/").partition(".py")[0]


def list_mutants(
    work: Path, text: str, top: str, inside: str, count: int, seed: int, kept: Sequence[str] = ()
) -> list[Mutant]:
    """List mutants of a design, evenly over its modules, cells and lines.

    Parameters
    ----------
    work : Path
        A folder, in which the netlist that they damage appears.
    text : str
        RTLIL.
    top : str
        Name of the top module.
    inside : str
        Pattern of the modules that are damaged.
    count : int
        Most mutants.
    seed : int
        Chooses them.
    kept : Sequence of str
        Wires that stay even if nothing needs them, such as ``"module/wire"``.
    """
    write_bytes(work / "design.il", text.encode())
    chosen = f"{inside}/* {inside}/t:$meminit_v2 %d"
    reading = ["read_rtlil design.il", f"hierarchy -top {top}", "proc"]
    reading += [*(f"setattr -set keep 1 {wire}" for wire in kept), "opt_clean", f"write_rtlil {BASE}"]
    more = 2 * count + 20  # some are left out
    yosys([*reading, f"mutate -list {more} -seed {seed} -o list.txt {chosen}"], work, "list")
    homes = {
        name: found[1] if (found := re.search(r"(rtl_templates/\w+\.py:\d+)", body)) else name
        for name, body in re.findall(r"^module \\(\S+)\n(.*?)^end$", (work / BASE).read_text(), re.S | re.M)
    }
    lines = [line for line in (work / "list.txt").read_text().splitlines() if not LEFT_OUT.search(line)]
    order = np.random.default_rng(seed).permutation(len(lines))[:count]
    return [Mutant.read(number, lines[index], homes) for number, index in enumerate(sorted(order), 1)]


def damage(work: Path, mutants: Sequence[Mutant]) -> None:
    """Put all mutants into the netlist of a folder, which then has the input :data:`SELECT`."""
    commands = [f"mutate -ctrl {SELECT} {SELECT_BITS} {mutant.number} {mutant.command}" for mutant in mutants]
    yosys([f"read_rtlil {BASE}", *commands, f"write_rtlil {MUTATED}"], work, "damage")


class Chosen(Unrolled):
    """Cycles of a netlist with mutants: the number is the same in all of them."""

    def __init__(self, system: System, manager: Any, *, begins: bool) -> None:
        self.number: Term = manager.mk_const(manager.mk_bv_sort(SELECT_BITS), SELECT)
        super().__init__(system, manager, begins=begins)

    def _free(self, name: str, width: int) -> Term:
        return self.number if name == SELECT else super()._free(name, width)


def translated(work: Path, top: str, flat: Sequence[str] = ("flatten",)) -> System:
    """Read a folder's damaged netlist, from a module on, as a transition system."""
    reading = [f"read_rtlil {MUTATED}", f"hierarchy -top {top}", *flat]
    yosys([*reading, *WORDS, "write_btor design.btor"], work, "translation")
    return System.read((work / "design.btor").read_text(encoding="utf-8"))


class Solver:
    """Questions about terms, each decided anew, so that a chosen mutant is all that is left of them."""

    def __init__(self) -> None:
        self.manager = bitwuzla().TermManager()
        self.kind = bitwuzla().Kind

    def number(self, value: int) -> Term:
        """A mutant's number as a term."""
        return self.manager.mk_bv_value(self.manager.mk_bv_sort(SELECT_BITS), value)

    def any_of(self, terms: Sequence[Term]) -> Term:
        """Whether one of some Boolean terms is true."""
        if not terms:
            return self.manager.mk_false()
        return terms[0] if len(terms) == 1 else self.manager.mk_term(self.kind.OR, list(terms))

    def differ(self, pairs: Sequence[tuple[Term, Term]]) -> Term:
        """Whether one of some pairs of terms are different."""
        return self.any_of([self.manager.mk_term(self.kind.DISTINCT, [a, b]) for a, b in pairs if a != b])

    def possible(self, term: Term, limit: int = LIMIT) -> bool | None:
        """Whether a Boolean term can be true; None where that is not decided in time."""
        options = bitwuzla().Options()
        options.set(bitwuzla().Option.TIME_LIMIT_PER, limit)
        solver = bitwuzla().Bitwuzla(self.manager, options)
        found = solver.check_sat(term)
        return {bitwuzla().Result.SAT: True, bitwuzla().Result.UNSAT: False}.get(found)


@cache
def component_of(claim: Claim) -> tuple[type, dict[str, Any]]:
    """The component of a claim: its class, and the parameters and ports that it has."""
    harness = Harness()
    claim.build(harness)
    harness.rtlil()  # Amaranth warns of components that are not used
    component = harness.dut
    if component is None:
        raise ValueError(f"{claim.name} is about no component")
    parameters: dict[str, Any] = {
        name: value
        for name, value in vars(component).items()
        if name not in component.signature.members and not name.startswith("_")
    }
    ports = [(path, member) for path, member, _ in component.signature.flatten(component)]
    return type(component), {**parameters, "ports": ports}


class ClaimedComponent:
    """The component of a claim, damaged.

    Parameters
    ----------
    claim : Claim
        What is claimed.
    work : Path
        A folder.
    """

    top = "top.dut"

    def __init__(self, claim: Claim, work: Path) -> None:
        self.claim = claim
        self.work = work
        self.harness = Harness()
        claim.build(self.harness)
        self.text = self.harness.rtlil()

    def list(self, count: int, seed: int) -> list[Mutant]:
        """Mutants of the component, of which nothing is damaged yet."""
        # What lemmas see, by the modules that there are before the harness is flat.
        seen = [name.rpartition(".") for name in self.harness.seen.values()]
        kept = [f"top.{module}/{wire}" for module, _, wire in seen]
        return list_mutants(self.work, self.text, "top", "top.dut*", count, seed, kept)

    def cells(self) -> str:
        """The component's netlist after :meth:`list`, without where it comes from."""
        text = (self.work / BASE).read_text(encoding="utf-8")
        modules = re.findall(rf"^module \\{re.escape(self.top)}\b.*?^end$", text, re.S | re.M)
        return re.sub(r"^ *attribute .*\n", "", "\n".join(modules), flags=re.M)

    def finder(self) -> Callable[[Mutant], bool | None]:
        """What tells whether the claim refutes a damaged mutant; None: not decided in time.

        It must not refute the component as it is, whose number is 0.
        """
        system = translated(self.work, "top", flattened(self.harness))
        solver = Solver()
        cycles, kind = Chosen(system, solver.manager, begins=True), solver.kind
        violations, assumed = [], solver.manager.mk_true()
        for _ in range(max(CYCLES, 2 * self.claim.depth)):  # at least as long as the controls of the proof
            outputs = cycles.step()
            assumed = solver.manager.mk_term(kind.AND, [assumed, outputs["assumed"]])
            wrong = solver.manager.mk_term(kind.NOT, [outputs["always"]])
            violations.append(solver.manager.mk_term(kind.AND, [assumed, wrong]))

        def refuted(mutant: Mutant) -> bool | None:
            chosen = {cycles.number: solver.number(mutant.number)}
            answer: bool | None = False
            for violation in solver.manager.substitute_terms(violations, chosen):
                found = solver.possible(violation)
                if found:
                    return True
                if found is None:
                    answer = None  # a later cycle may be easier
            return answer

        return refuted


class Equivalence:
    """Whether mutants of a module can be told from the module as it is.

    Parameters
    ----------
    work : Path
        A folder with a damaged netlist.
    top : str
        The module; its inputs may be anything.
    """

    def __init__(self, work: Path, top: str) -> None:
        self.system = translated(work, top)
        self.solver = Solver()
        self._cycle = Chosen(self.system, self.solver.manager, begins=False)
        self._before = dict(self._cycle.registers)
        outputs = self._cycle.advance()
        self._terms = [*outputs.values(), *(self._cycle.registers[node] for node in self.system.next)]
        self._outputs = len(outputs)
        self._sound = self._as(0, self._cycle, self._terms)
        self._from_reset = Chosen(self.system, self.solver.manager, begins=True)
        self._reset_cycles: list[tuple[list[Term], list[Term]]] = []

    def _as(
        self, number: int, cycles: Chosen, terms: Sequence[Term], others: Mapping[Term, Term] | None = None
    ) -> list[Term]:
        """Terms of a mutant, with registers that are others' in it."""
        chosen = {cycles.number: self.solver.number(number)}
        return list(self.solver.manager.substitute_terms(list(terms), {**chosen, **(others or {})}))

    def in_all_cycles(self, mutant: Mutant) -> bool:
        """Whether all outputs are the same in all cycles, by induction.

        Registers are equal at the beginning. Those that can become different are found, and what depends on them, until
        nothing more is added, or an output is among it.
        """
        solver = self.solver
        different: dict[str, Term] = {}
        while True:
            others = {self._before[node]: term for node, term in different.items()}
            damaged = self._as(mutant.number, self._cycle, self._terms, others)
            pairs = list(zip(self._sound, damaged))
            if solver.possible(solver.differ(pairs[: self._outputs])) is not False:
                return False
            found = [
                node
                for node, (sound, other) in zip(self.system.next, pairs[self._outputs :])
                if node not in different
                and sound != other
                and solver.possible(solver.differ([(sound, other)])) is not False
            ]
            if not found:
                return True
            for node in found:
                different[node] = solver.manager.mk_const(self._before[node].sort(), f"other{node}")

    def in_cycles(self, mutant: Mutant, count: int) -> int | None:
        """The cycle after configuration in which an output can be different; None: in none of so many.

        Raises
        ------
        TimeoutError
            It was not decided in time.
        """
        solver, cycles = self.solver, self._from_reset
        for cycle in range(count):
            if cycle == len(self._reset_cycles):
                terms = list(cycles.advance().values())
                self._reset_cycles.append((terms, self._as(0, cycles, terms)))
            terms, sound = self._reset_cycles[cycle]
            found = solver.possible(solver.differ(list(zip(sound, self._as(mutant.number, cycles, terms)))))
            if found is None:
                raise TimeoutError(f"cycle {cycle}")
            if found:
                return cycle
        return None


def equal_when_reachable(work: Path, top: str, mutant: Mutant) -> bool:
    """Whether ABC proves that no output of a module is ever different, from the values after configuration on.

    Those that have none, of block RAM, begin with zeros, and constants that do not matter are zeros.
    """
    copies = []
    for name, number in (("sound", 0), ("damaged", mutant.number)):
        copies += [f"copy {top} {name}", f"cd {name}", f"delete -port {SELECT}"]
        copies += [f"connect -set {SELECT} {SELECT_BITS}'d{number}", "cd"]
    commands = [
        *(
            f"read_rtlil {MUTATED}",
            f"hierarchy -top {top}",
            "flatten",
            "memory -nomap",
            "memory_map",
            *copies,
        ),
        *("miter -equiv -make_assert -flatten sound damaged miter", "hierarchy -top miter"),
        *(
            "opt_clean",
            "dffunmap",
            "setundef -zero",
            "techmap",
            "opt_clean",
            "dffunmap",
            "aigmap",
            "opt_clean",
        ),
        "write_aiger -zinit miter.aig",
    ]
    yosys(commands, work, "miter")
    abc = Path(find_spec("pyosys").origin).parent / "yosys-abc"  # type: ignore[union-attr, arg-type]
    run([str(abc), "-c", f"read_aiger miter.aig; fold; pdr -T {REACHABLE}"], work, "abc.log", "ABC")
    return "Property proved" in (work / "abc.log").read_text(encoding="utf-8")
