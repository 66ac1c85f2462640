"""What moves through the port to external memory, and what waits for it: layer by layer, from the program alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hwquant.program.cycles import Timing
from hwquant.program.isa import MoveKind, Opcode
from hwquant.program.moving import move_beats
from hwquant.program.program import Program

KINDS = {kind: kind.name.lower() for kind in MoveKind}
"""Names of the kinds of moves."""

ACTIVATIONS = ("load", "store")
"""Those of activations."""

FREE = 0.1
"""A layer that waits for less than this share of its own cycles is bound by its multiplications."""


@dataclass(frozen=True)
class LayerUse:
    """What a layer of the network, in all of its bands, has of the port.

    Attributes
    ----------
    covers : tuple of str
        Names of the network's nodes that it executes.
    bands : int
        Bands in which it is computed.
    moved : mapping of int
        Bytes that move for it, by kind: weights, parameters and program, activations that it loads and stores. What is
        moved for several layers at once counts for the first of them.
    stalled : mapping of int
        Cycles in which the sequencer waited before a tile of it, by the kind of what was moved meanwhile.
    computed : int
        Cycles that its tiles take back to back.
    """

    covers: tuple[str, ...]
    bands: int
    moved: Mapping[str, int]
    stalled: Mapping[str, int]
    computed: int

    @property
    def bound(self) -> str:
        """What takes its time: "multiplications", "activations", "weights", "parameters" or "program"."""
        if sum(self.stalled.values()) < FREE * self.computed:
            return "multiplications"
        waits = Counter[str]()
        for kind, cycles in self.stalled.items():
            waits["activations" if kind in ACTIVATIONS else kind] += cycles
        return max(waits, key=lambda name: waits[name])


def port_use(program: Program, times: Timing) -> tuple[LayerUse, ...]:
    """Find what each layer of the network has of the port, in the order in which they begin.

    Parameters
    ----------
    program : Program
        A program with external memory.
    times : Timing
        Its cycles.
    """
    rows: dict[tuple[str, ...], list[int]] = {}
    for number, layer in enumerate(program.layers):
        rows.setdefault(layer.covers, []).append(number)
    moved: Counter[tuple[int, str]] = Counter()
    stalled: Counter[tuple[int, str]] = Counter()
    last = len(program.layers) - 1
    size = program.config.external_bits // 8
    for owner, kind, beats in _owners(program):
        moved[min(owner, last), KINDS[kind]] += size * beats
    for (waiting, what), cycles in times.stalls.items():
        stalled[min(waiting, last), KINDS[MoveKind(what)]] += cycles
    return tuple(
        LayerUse(
            covers=covers,
            bands=len(numbers),
            moved={name: sum(moved[number, name] for number in numbers) for name in KINDS.values()},
            stalled={name: sum(stalled[number, name] for number in numbers) for name in KINDS.values()},
            computed=sum(program.layers[number].ideal_cycles for number in numbers),
        )
        for covers, numbers in rows.items()
    )


def _owners(program: Program) -> Iterator[tuple[int, MoveKind, int]]:
    """Each move's layer, kind and beats: a store is the layer's before it, else it is the first tile's that waits.

    A tile waits where a WAIT is between the tile before and it; it begins a layer, or goes on with the one begun last.
    """
    begun, waiting, due = 0, list[tuple[MoveKind, int]](), list[tuple[MoveKind, int]]()
    stores: list[bool] = []
    if half := program.config.program_half:  # which the hardware fetches by itself
        yield begun, MoveKind.PROGRAM, move_beats(program.config, MoveKind.PROGRAM, half)
    for instruction in program.instructions:
        values = instruction.values
        if instruction.opcode is Opcode.TILE:
            begun += values["layer"]
            for kind, beats in due:
                yield begun - 1, kind, beats
            due.clear()
        elif instruction.opcode is Opcode.MOVE:
            kind = MoveKind(values["kind"])
            beats = move_beats(program.config, kind, values["count"])
            stores.append(kind is MoveKind.STORE)
            if stores[-1]:
                yield max(0, begun - 1), kind, beats
            else:
                waiting.append((kind, beats))
        elif instruction.opcode is Opcode.WAIT:
            open_moves = stores[len(stores) - values["moves"] :] if values["moves"] else []
            over = max(0, len(waiting) - open_moves.count(False))
            due += waiting[:over]
            del waiting[:over]
    for kind, beats in due + waiting:
        yield begun, kind, beats
