"""What a user can ask of the optimizer, validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from hwquant.errors import HwquantError
from hwquant.options import NAMES, NUMBERS, Range, check, option
from hwquant.program.array_shape import OFFSET_MODES
from hwquant.quantize import QuantizeOptions

External = Literal["auto", "none", "axi"]
"""Whether the board's memory takes part: where a network does not fit without, never, or always."""

Goal = Literal["fps", "lut", "energy-proxy", "bytes"]
"""What is to be best: inferences a second, look-up tables, the energy proxy, or bytes of all memories."""

GOALS: tuple[Goal, ...] = get_args(Goal)


@dataclass(frozen=True)
class OptimizeOptions:
    """Options of :func:`hwquant.optimize.optimize`.

    Attributes
    ----------
    objective : {"fps", "lut", "energy-proxy", "bytes"}, default "fps"
        What the pick is best in, of all that keeps to the limits: the most inferences a second of the core (clock /
        cycles), the fewest look-up tables, the least energy proxy (:mod:`hwquant.program.activity`), or the fewest
        bytes of all memories together.
    max_drop : float, default 0.5
        Accuracy below the float network's, on the validation samples, that may be lost, in points.
    min_fps : float, optional
        Inferences a second that the pick must reach; None for any number.
    external : {"auto", "none", "axi"}, default "auto"
        Whether the board's memory, where it has one, takes part: where a candidate does not fit without, never, or
        always. With it a candidate is put on the fastest of a few arrays, whatever the objective.
    bits : tuple of int, default (2, 3, 4, 5, 6, 8)
        What the bits of a layer's weights may be.
    activation_bits : tuple of int, default (4, 5, 6, 7, 8)
        What the bits of all activations, so of the array's lanes, may be.
    offsets : tuple of str, default ("edge", "sum", "none")
        Where offsets may be added: as in :class:`~hwquant.program.array_shape.ArrayShape`; "none" quantizes the
        weights symmetric.
    arrays : int, default 2
        Arrays whose tiles are pruned, those of the best dense candidates; 0 prunes nothing.
    passes : int, default 6
        Passes of pruning and retraining for each of these arrays; a candidate may use the network after any.
    step : float, default 0.5
        Share, 0..1, of the groups below a layer's threshold that a pass prunes, as in
        :class:`~hwquant.pruning.PruneOptions`.
    prune_epochs : float, default 1.0
        Passes over the training data for each pass of pruning.
    trials : int, default 150
        Candidates that are judged without training, at most.
    generation : int, default 16
        Candidates that are chosen at a time, so also how many can be judged in parallel.
    finalists : int, default 4
        Candidates that are trained at a time; 0 trains none.
    rounds : int, default 2
        How often finalists are chosen and trained: the second time between the best that kept to ``max_drop`` and the
        next one that did not.
    regain : float, default 4.0
        Points beyond ``max_drop`` that a candidate may lose before it is trained.
    seed : int, default 0
        Seed of all that is random; the same seed gives the same result.
    quantizer : QuantizeOptions
        The quantizer's options, without bits and offsets, which are searched.

    Raises
    ------
    HwquantError
        An option is out of range.
    """

    objective: Goal = option(
        "fps",
        "What is to be best: inferences a second, look-up tables, energy (a proxy: products and bytes read), or bytes "
        "of all memories.",
    )
    max_drop: float = option(
        0.5,
        "Validation accuracy below the float network's that may be lost.",
        range=Range(0, 100, unit="points"),
        metavar="POINTS",
    )
    min_fps: float | None = option(
        None, "Inferences a second that the pick must reach.", range=Range(0, above=True), metavar="N"
    )
    external: External = option(
        "auto",
        "The board's memory, where it has one: where a candidate does not fit without, never, or always.",
    )
    bits: tuple[int, ...] = option(
        (2, 3, 4, 5, 6, 8), "What the bits of a layer's weights may be.", spelling=NUMBERS
    )
    activation_bits: tuple[int, ...] = option(
        (4, 5, 6, 7, 8), "What the bits of the activations may be.", spelling=NUMBERS
    )
    offsets: tuple[str, ...] = option(
        OFFSET_MODES[1:] + OFFSET_MODES[:1],
        "Where offsets may be added; none quantizes symmetric.",
        spelling=NAMES,
    )
    arrays: int = option(2, "Arrays whose tiles are pruned; 0 prunes nothing.", range=Range(0, 16))
    passes: int = option(6, "Passes of pruning for each of these arrays.", range=Range(1, 64))
    step: float = option(
        0.5,
        "Share of the groups below a layer's threshold that a pass prunes.",
        range=Range(0, 1, above=True),
    )
    prune_epochs: float = option(
        1.0, "Passes over the training data after each pass of pruning.", range=Range(0, noun="a number")
    )
    trials: int = option(150, "Candidates that are judged without training, at most.", range=Range(1))
    generation: int = option(16, "Candidates chosen at a time.", range=Range(2))
    finalists: int = option(4, "Candidates that are trained at a time; 0 trains none.", range=Range(0))
    rounds: int = option(2, "How often finalists are trained.", range=Range(1))
    regain: float = option(
        4.0,
        "Points beyond --max-drop that a candidate may lose before it is trained.",
        range=Range(0, 100, unit="points"),
        metavar="POINTS",
    )
    seed: int = option(0, "Of all that is random.", range=Range(0))
    quantizer: QuantizeOptions = field(default_factory=QuantizeOptions)

    def __post_init__(self) -> None:
        check(self)
        for name, least in (("bits", 1), ("activation_bits", 2)):
            values = getattr(self, name)
            if not values or not all(type(item) is int and least <= item <= 8 for item in values):
                raise HwquantError(f"{name} must be numbers from {least} to 8, not {values!r}")
        if not self.offsets or not set(self.offsets) <= set(OFFSET_MODES):
            raise HwquantError(f"offsets must be of {', '.join(OFFSET_MODES)}, not {self.offsets!r}")
        searched = QuantizeOptions()
        for name in ("bits", "activation_bits", "symmetric"):
            if getattr(self.quantizer, name) != getattr(searched, name):
                raise HwquantError(f"{name} of the quantizer is what is searched; leave it as it is")

    @property
    def worth_training(self) -> float:
        """Points that a candidate may lose and still be of interest."""
        return self.max_drop + (self.regain if self.finalists else 0.0)
