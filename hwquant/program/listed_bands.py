"""Where tensors are, and in which bands layers are computed, as rows of plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwquant.program.compilation import Compilation
from hwquant.program.steps import Planned

Row = dict[str, Any]


def band_rows(compilation: Compilation) -> Iterator[Row]:
    """A row for each layer of the network; numbers of bytes and of cycles are estimates of the planner's."""
    plan = compilation.plan
    if plan is None:
        for layer in compilation.lowered:
            yield _row(layer.name, "inside", 1)
        return
    shape = compilation.offered
    word = shape.word_beats(shape.word_bits) * shape.external_bits // 8
    weight = shape.word_beats(shape.columns * shape.slot_bits) * shape.external_bits // 8
    for number, group in enumerate(plan.groups, 1):
        arrived: set[str] = set()
        for index in range(group.layers):
            layer = compilation.lowered[group.first + index]
            fresh = {name for name in layer.reads if name in group.loaded} - arrived
            arrived |= fresh
            last = all(other.tensor != layer.tensor for other in _behind(compilation, group, index))
            yield _row(
                layer.name,
                PLACES[group.where[layer.tensor]],
                group.bands,
                group=number if group.layers > 1 else None,
                along=group.along if group.bands > 1 else None,
                loaded=word * sum(group.loaded[name] for name in fresh),
                stored=word * group.stored.get(layer.tensor, 0) if last else 0,
                weights=weight * group.weights[index],
                bound=bound(group),
                cycles=round(group.cycles) if index == 0 else None,
            )


def _behind(compilation: Compilation, group: Planned, index: int) -> list[Any]:
    """The layers of a group behind one of them."""
    return list(compilation.lowered[group.first + index + 1 : group.first + group.layers])


PLACES = {"inside": "inside", "stored": "outside", "passing": "passed on"}
"""Where what a layer makes is, by its role in the group."""


def bound(group: Planned) -> str:
    """What takes a group's time: the array, or what comes and goes beside it."""
    times = {
        "multiplications": group.computed,
        "weights": group.fetched,
        "activations": group.activations,
    }
    if group.computed >= group.fetched + group.activations:
        return "multiplications"
    return max(times.keys() - {"multiplications"}, key=lambda name: times[name])


def _row(
    layer: str,
    output: str,
    bands: int,
    *,
    group: int | None = None,
    along: str | None = None,
    loaded: int | None = None,
    stored: int | None = None,
    weights: int | None = None,
    bound: str | None = None,
    cycles: int | None = None,
) -> Row:
    return {
        "layer": layer,
        "output": output,
        "together": group,
        "bands": bands,
        "of": along,
        "loaded": loaded,
        "stored": stored,
        "weights": weights,
        "bound by": bound,
        "cycles": cycles,
    }


def band_summary(compilation: Compilation) -> Row:
    """Bytes that move, and cycles."""
    plan = compilation.plan
    if plan is None:
        return {"outside": 0}
    rows = list(band_rows(compilation))
    totals = {key: sum(row[key] for row in rows) for key in ("loaded", "stored", "weights")}
    first, second = plan.half, sum(compilation.halves or ()) - plan.half
    return {
        "halves": [first, second],
        "outside": plan.outside_words,
        **totals,
        "cycles": round(sum(group.cycles for group in plan.groups)),
        "of the array": round(sum(group.computed for group in plan.groups)),
    }
