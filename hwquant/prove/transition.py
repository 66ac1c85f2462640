"""A clocked design as a transition system: read from BTOR2, unrolled into terms of Bitwuzla.

A. Niemetz, M. Preiner, C. Wolf, A. Biere, "BTOR2, BtorMC and Boolector 3.0", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwquant.errors import ToolStopped
from hwquant.packages import load_package

SAME = {
    "and": "BV_AND",
    "or": "BV_OR",
    "xor": "BV_XOR",
    "nand": "BV_NAND",
    "nor": "BV_NOR",
    "xnor": "BV_XNOR",
    "not": "BV_NOT",
    "neg": "BV_NEG",
    "inc": "BV_INC",
    "dec": "BV_DEC",
    "add": "BV_ADD",
    "sub": "BV_SUB",
    "mul": "BV_MUL",
    "sll": "BV_SHL",
    "srl": "BV_SHR",
    "sra": "BV_ASHR",
    "concat": "BV_CONCAT",
    "redand": "BV_REDAND",
    "redor": "BV_REDOR",
    "redxor": "BV_REDXOR",
}
"""Operators of BTOR2 and the kinds of terms that they are."""
COMPARED = {
    "eq": "EQUAL",
    "iff": "EQUAL",
    "neq": "DISTINCT",
    "ult": "BV_ULT",
    "ulte": "BV_ULE",
    "ugt": "BV_UGT",
    "ugte": "BV_UGE",
    "slt": "BV_SLT",
    "slte": "BV_SLE",
    "sgt": "BV_SGT",
    "sgte": "BV_SGE",
}
"""Those whose term is a Boolean."""

NO_BITS = "-1"
"""What Yosys writes for an operand without bits."""

Term = Any
"""A term of Bitwuzla."""


def bitwuzla() -> Any:
    """The package that decides formulas over bit vectors."""
    return load_package("bitwuzla", "bitwuzla", "formal", "proofs")


@dataclass(frozen=True)
class System:
    """A design of one clock.

    Attributes
    ----------
    lines : tuple of list of str
        Lines of BTOR2 in words, without comments; the first is the number of the node.
    outputs : dict of str to str
        Nodes of the outputs, by name.
    states : dict of str to str
        Names of the registers, by node.
    init : dict of str to str
        Nodes of initial values, by register.
    next : dict of str to str
        Nodes of next values, by register.
    """

    lines: tuple[list[str], ...]
    outputs: dict[str, str]
    states: dict[str, str]
    init: dict[str, str]
    next: dict[str, str]

    @staticmethod
    def read(text: str) -> System:
        """Read BTOR2."""
        lines = tuple(words for line in text.splitlines() if (words := line.partition(";")[0].split()))
        return System(
            lines,
            {words[3]: words[2] for words in lines if words[1] == "output"},
            {words[0]: words[3] if len(words) > 3 else "" for words in lines if words[1] == "state"},
            {words[3]: words[4] for words in lines if words[1] == "init"},
            {words[3]: words[4] for words in lines if words[1] == "next"},
        )


class Unrolled:
    """Cycles of a system as terms, of which each begins with the registers' values after the one before.

    Parameters
    ----------
    system : System
        The design.
    manager : TermManager
        Where terms are made.
    begins : bool
        Whether the first cycle is that after configuration, or any.
    damaged : str, default ""
        Node of a register that takes the inverse of what it should.
    """

    def __init__(self, system: System, manager: Any, *, begins: bool, damaged: str = "") -> None:
        self.system = system
        self.manager = manager
        self.kind = bitwuzla().Kind
        self.damaged = damaged
        self.cycle = 0
        self.widths: dict[str, int] = {}
        self.registers: dict[str, Term] = {}
        sorts = {w[0]: int(w[3]) for w in system.lines if w[1] == "sort"}
        for words in system.lines:
            if words[1] == "state":
                self.registers[words[0]] = self._free(
                    words[3] if len(words) > 3 else words[0], sorts[words[2]]
                )
        self.sorts = sorts
        if begins:
            values = self._evaluate()
            # Those of block RAM have none, and may begin with anything.
            self.registers |= {node: values[first] for node, first in system.init.items()}

    def advance(self) -> dict[str, Term]:
        """Go on by a cycle; the values of the outputs in it."""
        values = self._evaluate()
        after = {
            node: values[self.system.next[node]] if node in self.system.next else term
            for node, term in self.registers.items()
        }
        if self.damaged:
            after[self.damaged] = self._term("BV_NOT", after[self.damaged])
        self.registers = after
        self.cycle += 1
        return {name: values[node] for name, node in self.system.outputs.items()}

    def step(self) -> dict[str, Term]:
        """Go on by a cycle; the values of the outputs in it, of one bit each, as Boolean terms."""
        one = self._value(1, 1)
        return {name: self._term("EQUAL", value, one) for name, value in self.advance().items()}

    def _term(self, kind: str, *operands: Term, numbers: Sequence[int] = ()) -> Term:
        return self.manager.mk_term(getattr(self.kind, kind), list(operands), list(numbers))

    def _free(self, name: str, width: int) -> Term:
        return self.manager.mk_const(self.manager.mk_bv_sort(width), f"{name}@{self.cycle}")

    def _value(self, width: int, value: int) -> Term:
        return self.manager.mk_bv_value(self.manager.mk_bv_sort(width), value)

    def _evaluate(self) -> dict[str, Term]:
        """The value of each node in a cycle."""
        values: dict[str, Term] = dict(self.registers)
        for words in self.system.lines:
            node, operator = words[0], words[1]
            alias = operator == "uext" and len(words) > 5  # only a name; that of the clock has no node
            if alias or operator in ("sort", "state", "init", "next", "output"):
                continue
            values[node] = self._node(words, operator, self.sorts[words[2]], values)
        return values

    def _node(self, words: list[str], operator: str, width: int, values: Mapping[str, Term]) -> Term:
        """The value of one node."""
        operands = words[3:]
        if operator == "input":
            return self._free(words[3] if len(words) > 3 else words[0], width)
        if operator in ("const", "constd", "consth"):
            base = {"const": 2, "constd": 10, "consth": 16}[operator]
            return self._value(width, int(operands[0], base))
        if operator in ("zero", "one", "ones"):
            return self._value(width, {"zero": 0, "one": 1, "ones": (1 << width) - 1}[operator])
        if operator in ("uext", "sext") and operands[0] == NO_BITS:
            return self._value(width, 0)
        if operator in ("uext", "sext"):
            kind = "BV_ZERO_EXTEND" if operator == "uext" else "BV_SIGN_EXTEND"
            return self._term(kind, values[operands[0]], numbers=[int(operands[1])])
        if operator == "slice":
            return self._term("BV_EXTRACT", values[operands[0]], numbers=[int(operands[1]), int(operands[2])])
        terms = [values[operand] for operand in operands]
        if operator == "ite":
            chosen = self._term("EQUAL", terms[0], self._value(1, 1))
            return self._term("ITE", chosen, *terms[1:])
        if operator in COMPARED:
            true = self._term(COMPARED[operator], *terms)
            return self._term("ITE", true, self._value(1, 1), self._value(1, 0))
        if operator not in SAME:
            raise ToolStopped(f"a proof meets the BTOR2 operator {operator}, which it does not know")
        return self._term(SAME[operator], *terms)
