"""Which tensor occupies which addresses of the activation memory, and when."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.build import Build
from hwquant.describe import times
from hwquant.page.passes import LayerPass


@dataclass(frozen=True)
class Span:
    """A tensor in the activation memory: ``words`` from ``address`` on, from cycle ``begin`` to ``end``.

    ``writer`` and ``readers`` are names of passes; "" writes the inputs, which the host does.
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
    """Every tensor that is stored, in order of appearance.

    From the beginning of the pass that writes it (or of the inference) to the end of the last that reads it; an
    output's to the end of the inference.
    """
    inputs = {node.name: node.inputs for node in build.qgraph.nodes}
    reads = {
        item.report.name: {name for node in item.report.covers for name in inputs[node]} for item in passes
    }
    outputs = {item.name for item in build.program.outputs}
    places = {item.name: item for item in (*build.program.inputs, *build.program.tensors.values())}
    writers = {item.report.name: item for item in passes}
    finish = passes[-1].end
    spans = []
    for name, place in places.items():
        writer = writers.get(name)
        readers = [item for item in passes if name in reads[item.report.name]]
        begin = writer.start if writer else 0
        ends = (
            [finish] if name in outputs else [item.end for item in (*readers, *([writer] if writer else []))]
        )
        spans.append(
            Span(
                name=name,
                shape=times(place.shape),
                address=place.address,
                words=place.words,
                begin=begin,
                end=max(ends, default=begin),
                writer=writer.report.name if writer else "",
                readers=tuple(item.report.name for item in readers),
                output=name in outputs,
            )
        )
    return tuple(sorted(spans, key=lambda span: (span.begin, span.address)))


def occupancy(spans: tuple[Span, ...], depth: int, cycles: int) -> float:
    """Share of the memory, 0..1, that holds something still needed, on average over an inference."""
    return sum(span.words * (span.end - span.begin) for span in spans) / (depth * cycles)
