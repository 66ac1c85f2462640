"""Which tensor occupies which addresses of the activation memory, and when."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.build import Build
from hwquant.describe import times
from hwquant.page.passes import LayerPass


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
    that reads it; an output is needed to the end of the inference. Where tensors come and go piece by piece, what is
    needed when is the compiler's plan to say, and the map is empty.
    """
    if build.program.parts:
        return ()
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
