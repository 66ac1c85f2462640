"""Marks between instructions: where activations move between the array's memory and the one outside.

What becomes of them, among the moves of weights, is :mod:`hwquant.program.moves`' to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hwquant.program.isa import Instruction, MoveKind, Opcode
from hwquant.program.steps import Compute, Load, Plan, Receive, Run, Send, Store, Wait


@dataclass(frozen=True)
class ActivationMove:
    """A load or a store is queued.

    Attributes
    ----------
    kind : MoveKind
        ``LOAD`` or ``STORE``.
    first : int
        Number of the first word outside, among all activations there.
    address : int
        Address in the activation memory.
    count : int
        Number of words.
    """

    kind: MoveKind
    first: int
    address: int
    count: int


@dataclass(frozen=True)
class Await:
    """Nothing goes on until some loads and stores are complete.

    Attributes
    ----------
    moves : int
        How many of the inference's, from the first on.
    """

    moves: int


Mark = ActivationMove | Await


def transfers(plan: Plan) -> tuple[list[Instruction], list[Instruction]]:
    """The INPUTs and the OUTPUTs of a plan, in order."""
    found: dict[type, list[Instruction]] = {Receive: [], Send: []}
    for step in plan.steps:
        if isinstance(step, Receive | Send):
            opcode = Opcode.INPUT if isinstance(step, Receive) else Opcode.OUTPUT
            values = {"address": step.run.address, "count": step.run.count, "last": int(step.last)}
            found[type(step)].append(Instruction(opcode, values))
    return found[Receive], found[Send]


def with_marks(code: Sequence[Instruction], plan: Plan) -> Iterator[Instruction | Mark]:
    """Put a plan's moves and waits between the instructions of its layers, its INPUTs and its OUTPUTs.

    Each stands before the first tile of the layer, or before the INPUT or OUTPUT, that it comes before.

    Parameters
    ----------
    code : sequence of Instruction
        The program.
    plan : Plan
        The steps of which its layers, INPUTs and OUTPUTs are those that do not move anything, in order.
    """
    between = list(_between(plan))
    number = 0
    for place, instruction in enumerate(code):
        following = code[place + 1] if instruction.opcode is Opcode.REPEAT else instruction
        if _begins(following):
            if following is not instruction or code[place - 1].opcode is not Opcode.REPEAT:
                yield from between[number]
                number += 1
        elif instruction.opcode is Opcode.END:
            yield from between[number]
        yield instruction


def _begins(instruction: Instruction) -> bool:
    """Whether a step begins with an instruction."""
    if instruction.opcode is Opcode.TILE:
        return bool(instruction.values["layer"])
    return instruction.opcode in (Opcode.INPUT, Opcode.OUTPUT)


def _between(plan: Plan) -> Iterator[list[Mark]]:
    """The marks before each step that moves nothing, and those behind the last."""
    marks: list[Mark] = []
    for step in plan.steps:
        match step:
            case Load(run):
                marks.append(_move(MoveKind.LOAD, run, plan.outside))
            case Store(run):
                marks.append(_move(MoveKind.STORE, run, plan.outside))
            case Wait(moves):
                marks.append(Await(moves))
            case Receive() | Send() | Compute():
                yield marks
                marks = []
    yield marks


def _move(kind: MoveKind, run: Run, outside: Mapping[str, int]) -> ActivationMove:
    return ActivationMove(kind, outside[run.tensor] + run.first, run.address, run.count)
