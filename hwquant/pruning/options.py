"""What a user can ask of group pruning, validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.options import OTHERS, Range, Spelling, check, of_name, option
from hwquant.program.sides import ARRAY, Array
from hwquant.pruning.groups import GroupShape, Polarity, convolutions
from hwquant.training.options import TrainOptions

Order = Literal["sensitivity", "cycles", "together"]
"""Which layers a pass prunes."""


def _filters(text: str) -> int | None:
    """Read a number of filters; ``C``, the array's columns, is None."""
    if text.upper() == "C":
        return None
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"{text!r} is neither a number nor C")
    return int(text)


@dataclass(frozen=True)
class PruneOptions:
    """Options of :func:`hwquant.pruning.prune`.

    Attributes
    ----------
    array : tuple of int, default (8, 8)
        Rows and columns of the systolic array.
    group_size : int or mapping of int, optional
        Consecutive input channels in a group, for all convolutions or by name; None, and what is not named, takes the
        array's rows.
    filters : int or mapping of int, optional
        Consecutive output channels in a group, for all convolutions or by name; None, and what is not named, takes the
        array's columns. A group is then a tile, which the hardware skips; the published group has 1 filter.
    threshold_factor : float or mapping of float, default 1.0
        What a layer's threshold, the mean L1 norm of its groups, is multiplied by, for all convolutions or by name (1
        where a layer is not named).
    order : {"sensitivity", "cycles", "together"}
        Which layers a pass prunes: one after the other in turn, the most sensitive first, as the claim has it; the one
        that saves the most cycles for the accuracy that it costs before retraining; or all of them.
    step : float, default 1.0
        Share, 0..1, of the groups beyond a layer's threshold that a pass takes at first, those farthest from it. A
        layer's step is halved whenever it costs too much, before retraining or after.
    least_step : float, default 0.2
        A layer whose step would become less is finished.
    prune : {"below", "above"}
        Which groups are pruned: those below the threshold, or those above it, as the claim literally says.
    max_drop : float, default 0.75
        Accuracy that the result may lose, as integers and on the validation samples, against the network before pruning
        as integers, in points (percent).
    max_sensitivity : float, default 4.0
        Accuracy that pruning one layer may cost before retraining, in points (percent). Where it costs more the step is
        halved, and where even the least step does, the layer stays as it is for this turn.
    sensitivity_samples : int, default 2000
        Validation samples that this is measured on, the first ones.
    passes : int, default 40
        How often the network is pruned and retrained at most.
    final_epochs : float, optional
        Passes over the training data after the last pruning; 6 times those after the others unless given. What they
        make is kept unless it is worse.
    reorder : bool, default False
        Whether filters with like patterns of zeros are packed into tiles, before pruning and after it.

    Raises
    ------
    HwquantError
        An option is out of range.
    """

    array: Array = option((8, 8), "Array whose tiles are skipped.", metavar="[Kx]RxC", spelling=ARRAY)
    group_size: int | Mapping[str, int] | None = option(
        None,
        "Consecutive input channels in a group; the array's rows if not given.",
        range=Range(1, largest=1 << 30),
        metavar="N",
    )
    filters: int | Mapping[str, int] | None = option(
        None,
        "Consecutive filters in a group: a number, or C for the array's columns.",
        metavar="1|C",
        spelling=Spelling(_filters, lambda filters: "C" if filters is None else str(filters)),
    )
    threshold_factor: float | Mapping[str, float] = option(
        1.0, "Of a layer's threshold, the mean L1 norm of its groups.", range=Range(0, above=True)
    )
    order: Order = option(
        "sensitivity",
        "Layers of a pass: each in turn, the most sensitive first; that which saves the most cycles for the accuracy "
        "it costs; or all together.",
    )
    step: float = option(
        1.0,
        "Share of the groups beyond its threshold that a pass over a layer takes; halved where it costs too much.",
        range=Range(0, 1, above=True),
    )
    least_step: float = option(
        0.2, "A layer whose step would become less is finished.", range=Range(0, 1, above=True)
    )
    prune: Polarity = option(
        "below", "Which groups: those below the threshold, or those above it (the literal claim)."
    )
    max_drop: float = option(
        0.75,
        "Validation accuracy that may be lost, as integers.",
        range=Range(0, 100, unit="points"),
        metavar="POINTS",
    )
    max_sensitivity: float = option(
        4.0,
        "What pruning a layer may cost before retraining: more, and its step is halved.",
        range=Range(0, 100, unit="points"),
        metavar="POINTS",
    )
    sensitivity_samples: int = option(
        2000, "Validation samples that this is measured on.", range=Range(1), metavar="N"
    )
    passes: int = option(40, "Passes of pruning and retraining at most.", range=Range(1))
    final_epochs: float | None = option(
        None,
        "Passes over the training data after the last pruning; 6 times those of a pass unless given.",
        range=Range(0, noun="a number"),
    )
    reorder: bool = option(False, "Pack like-patterned filters into tiles.")

    def __post_init__(self) -> None:
        GroupShape(self.array)
        for size in _values(self.group_size):
            GroupShape(self.array, size=size)
        for filters in _values(self.filters):
            GroupShape(self.array, filters=filters)
        check(self)
        if self.least_step > self.step:
            raise HwquantError(
                f"least_step must be at most step, {self.step:g}, not {self.least_step:g}: no layer would be pruned"
            )

    def shape(self, layer: str) -> GroupShape:
        """Find how the weights of a layer are cut into groups, by the layer's name."""
        return GroupShape(
            self.array, of_name(self.group_size, layer, None), of_name(self.filters, layer, None)
        )

    def factor(self, layer: str) -> float:
        """Find the threshold factor of a layer, by its name."""
        return of_name(self.threshold_factor, layer, 1.0)

    def check(self, graph: Graph) -> None:
        """Raise where an option names a layer that the network does not have.

        Raises
        ------
        HwquantError
            The message names the layer, and those that there are.
        """
        known = [node.name for node in convolutions(graph)]
        for name in ("group_size", "filters", "threshold_factor"):
            value = getattr(self, name)
            for layer in value if isinstance(value, Mapping) else ():
                if layer not in (*known, OTHERS):
                    raise HwquantError(
                        f"{name} names {layer!r}, which is no convolution of {graph.name!r}; it has "
                        f"{', '.join(known)}"
                    )

    def as_json(self) -> dict[str, object]:
        """Give the options as plain JSON values by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {name: dict(value) for name, value in values.items() if isinstance(value, Mapping)}
        return values | {"array": list(self.array)}


@dataclass(frozen=True)
class RetrainOptions(TrainOptions):
    """What a user can ask of the retraining after each pass.

    Attributes
    ----------
    epochs : float, default 0.5
        Passes over the training data after each pruning, not in all; a fraction stands for as large a part of the last
        one, another one for each pruning; 0 trains nothing.
    lr : float, default 0.002
        Learning rate, at the start of each retraining where the schedule is "cosine". Higher than for fine-tuning:
        what is cut off has to be made up for in few steps.
    """

    epochs: float = option(
        0.5,
        "Passes over the training data after each pruning, not in all; may be a fraction.",
        range=Range(0, noun="a number"),
    )
    lr: float = option(2e-3, "Learning rate.", range=Range(0, noun="a number"))


def _values(option: Any) -> list[Any]:
    values = list(option.values()) if isinstance(option, Mapping) else [option]
    return [value for value in values if value is not None]
