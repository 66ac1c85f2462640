"""Which tensor occupies which addresses of the activation memory, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwquant.build import Build
from hwquant.describe import times
from hwquant.page.passes import LayerPass
from hwquant.program.external import whole_bursts
from hwquant.program.isa import MoveKind, Opcode, program_bits
from hwquant.program.moving import move_beats
from hwquant.program.program import Program


@dataclass(frozen=True)
class Span:
    """Where a tensor is in the activation memory, and from when to when.

    Attributes
    ----------
    name : str
        Name of the tensor.
    shape : str
        Channels, height and width, such as "8x16x16".
    address : int
        Address of its first word.
    words : int
        Words that it takes.
    begin : int
        Cycle in which it begins to be written, counted from the end of the input.
    end : int
        Cycle in which nothing needs it any more.
    writer : str
        Name of the pass that writes it; empty for the network's inputs, which the host writes.
    readers : tuple of str
        Names of the passes that read it.
    output : bool
        Whether the host reads it.
    """

    name: str
    shape: str
    address: int
    words: int
    begin: int
    end: int
    writer: str
    readers: tuple[str, ...]
    output: bool


def memory_map(build: Build, passes: tuple[LayerPass, ...]) -> tuple[Span, ...]:
    """Find from when to when every stored tensor is needed, in order of appearance.

    A tensor is needed from the beginning of the pass that writes it (or of the inference) to the end of the last pass
    that reads it; an output is needed to the end of the inference. Where tensors come and go piece by piece, a piece
    that the array writes is there until the array writes something else in its place; those that come from outside lie
    between them, and are not shown.
    """
    if build.program.parts:
        return _pieces(build, passes)
    inputs = {node.name: node.inputs for node in build.qgraph.nodes}
    reads = {
        item.report.name: {name for node in item.report.covers for name in inputs[node]} for item in passes
    }
    outputs = {item.name for item in build.program.outputs}
    places = {item.name: item for item in (*build.program.inputs, *build.program.tensors.values())}
    finish = passes[-1].end
    spans = []
    for name, place in places.items():
        writers = [item for item in passes if name in item.report.covers]
        readers = [item for item in passes if name in reads[item.report.name]]
        begin = writers[0].start if writers else 0
        ends = [finish] if name in outputs else [item.end for item in (*readers, *writers)]
        spans.append(
            Span(
                name=name,
                shape=times(place.shape),
                address=place.address,
                words=place.room,
                begin=begin,
                end=max(ends, default=begin),
                writer=writers[0].report.name if writers else "",
                readers=tuple(item.report.name for item in readers),
                output=name in outputs,
            )
        )
    return tuple(sorted(spans, key=lambda span: (span.begin, span.address)))


def _pieces(build: Build, passes: tuple[LayerPass, ...]) -> tuple[Span, ...]:
    """Where and when the pieces are that bands of layers write."""
    program, finish = build.program, passes[-1].end
    written = [(item, program.tensors[layer.tensor]) for item, layer in zip(passes, program.layers)]
    spans: dict[str, Span] = {}
    for number, (item, place) in enumerate(written):
        after = place.address + place.room
        ends = (
            other.start
            for other, next_place in written[number + 1 :]
            if next_place.name != place.name
            and next_place.address < after
            and place.address < next_place.address + next_place.room
        )
        spans.setdefault(
            place.name,
            Span(
                name=place.name,
                shape=times(place.shape),
                address=place.address,
                words=place.room,
                begin=item.start,
                end=next(ends, finish),
                writer=item.report.name,
                readers=(),
                output=False,
            ),
        )
    return tuple(spans.values())


@dataclass(frozen=True)
class Region:
    """A part of external memory.

    Attributes
    ----------
    what : str
        What it holds.
    begin, size : int
        Bytes from where the accelerator's part of the memory begins, and bytes of it.
    """

    what: str
    begin: int
    size: int


def external_map(program: Program) -> tuple[Region, ...]:
    """What lies where in external memory, in order; empty where there is none."""
    config = program.config
    if not config.external_bits:
        return ()
    size = config.external_bits // 8
    words = max(len(program.words), config.program_half) if config.program_half else 0
    code = words * config.word_beats(program_bits(config))
    first = whole_bursts(code)
    weights = first + len(program.weights) * config.word_beats(config.columns * config.slot_bits)
    parameters = first + whole_bursts(weights - first)
    used = len(program.external_image)
    activations = whole_bursts(used)
    last = max(_ends(program), default=0)
    regions = [
        *([Region("program", 0, code * size)] if code else []),
        Region("weights", first * size, (weights - first) * size),
        Region("parameters", parameters * size, (used - parameters) * size),
    ]
    if last > activations:
        regions.append(Region("activations", activations * size, (last - activations) * size))
    return tuple(regions)


def _ends(program: Program) -> Iterator[int]:
    """The beats behind each move of activations."""
    address = 0
    for instruction in program.instructions:
        values = instruction.values
        if instruction.opcode is Opcode.EXTERNAL:
            address = values["address"]
        elif instruction.opcode is Opcode.MOVE and values["kind"] in (MoveKind.LOAD, MoveKind.STORE):
            yield address + move_beats(program.config, values["kind"], values["count"])


def occupancy(spans: tuple[Span, ...], depth: int, cycles: int) -> float:
    """Average, over an inference, the share of the memory that holds something still needed.

    Parameters
    ----------
    spans : tuple of Span
        All tensors.
    depth : int
        Words of the memory.
    cycles : int
        Cycles of the inference.

    Returns
    -------
    float
        The share, 0..1.
    """
    return sum(span.words * (span.end - span.begin) for span in spans) / (depth * cycles)
