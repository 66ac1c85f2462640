"""What a user can ask of the search, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hwquant.errors import HwquantError
from hwquant.options import NAMES, NUMBERS, Range, Spelling, check, option
from hwquant.program.sides import ARRAY, Array, check_array
from hwquant.quantize import QuantizeOptions
from hwquant.search.objectives import ACCURACY, OBJECTIVES
from hwquant.search.space import WIDE_BIAS
from hwquant.training.options import TrainOptions

_NONE = "none"
_OR_NONE = Spelling(
    lambda text: () if text == _NONE else NUMBERS.parse(text), lambda values: NUMBERS.show(values) or _NONE
)


@dataclass(frozen=True)
class Constraints:
    """What a picked candidate must keep to.

    Attributes
    ----------
    max_drop : float, default 0.5
        Accuracy that may be lost, in points (percent of the test samples); None allows any loss.
    drop_from : {"float", "int8"}
        What the loss is counted from: the "float" network, or everything in 8 bits ("int8").
    limits : mapping of float, default empty
        Greatest allowed value of objectives that are minimized, by name, such as ``{"weight_bytes": 4096}``;
        ``{"fill": 1}`` has a candidate fit the board.

    Raises
    ------
    HwquantError
        A value is out of range, or a limit is on something that is not minimized.
    """

    max_drop: float | None = option(
        0.5,
        "Accuracy that may be lost, in points; any, if another limit is given and this is not.",
        range=Range(0, 100, unit="points"),
        metavar="POINTS",
    )
    drop_from: Literal["float", "int8"] = option(
        "float", "What --max-drop counts from: the float network, or all layers in 8 bits."
    )
    limits: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)
        for name in self.limits:
            if name not in OBJECTIVES or OBJECTIVES[name].maximize:
                known = ", ".join(key for key, item in OBJECTIVES.items() if not item.maximize)
                raise HwquantError(f"there is no limit on {name!r}; limits are known on {known}")

    def violations(self, measures: Mapping[str, float], references: Mapping[str, float]) -> dict[str, float]:
        """Measure by how much each constraint is missed.

        Parameters
        ----------
        measures : mapping of float
            The candidate's objectives by name.
        references : mapping of float
            Accuracies of "float" and of "int8", 0..1.

        Returns
        -------
        dict of float
            By name of constraint, 0 or less where it is kept: the drop in points, a limit relative to itself.
        """
        missed = {}
        if self.max_drop is not None:
            drop = 100 * (references[self.drop_from] - measures[ACCURACY])
            # Where the drop is exactly what is allowed, it may be off by a rounding error.
            missed["max_drop"] = drop - self.max_drop - 1e-9
        for name, limit in self.limits.items():
            missed[name] = (measures[name] - limit) / max(abs(limit), OBJECTIVES[name].least)
        return missed

    def __str__(self) -> str:
        parts = []
        if self.max_drop is not None:
            parts.append(f"at most {self.max_drop:g} points below {self.drop_from}")
        parts += [f"at most {limit:,g} {OBJECTIVES[name].title}" for name, limit in self.limits.items()]
        return " and ".join(parts) or "no constraint"


@dataclass(frozen=True)
class SearchOptions:
    """Options of :func:`hwquant.search.search`.

    Attributes
    ----------
    bits : tuple of int, default (2, 3, 4, 5, 6, 8)
        Numbers of bits that a layer's weights may have.
    bias_bits : tuple of int, default ()
        Numbers of bits that a layer's biases may have, as
        :attr:`hwquant.quantize.options.QuantizeOptions.bias_bits` counts them; empty where they are not searched.
    activations : bool, default False
        Whether the bits of layer outputs and of the network's inputs are searched too: one number for all, of those in
        ``bits``, as hardware is as wide as the widest.
    objectives : tuple of str, default ("accuracy", "cycles", "weight_bytes")
        Names in :data:`~hwquant.search.objectives.OBJECTIVES`, the accuracy among them.
    array : tuple of int, default (8, 8)
        Rows and columns of the array that candidates are compiled for.
    board : str, optional
        Board that candidates are compiled for: its name, or a file of the user's own. Its resources and its clock are
        objectives then.
    constraints : Constraints
        What a pick must keep to; candidates that keep to them also go first in the guided search.
    trials : int, default 200
        Candidates that are evaluated at most, unless the search is exhaustive.
    generation : int, default 24
        Candidates that are chosen at a time, so also how many can be evaluated in parallel.
    seed : int, default 0
        Seed of the guided search; the same seed gives the same result.
    exhaustive : bool, default False
        Whether every configuration is evaluated; so it is too where there are no more than ``trials``.
    finetuned : int, default 4
        Candidates at most that are fine-tuned, where there are training data.
    method : {"progressive", "all_at_once"}
        How they are: :func:`hwquant.training.progressive` or :func:`hwquant.training.finetune_all_at_once`.
    quantizer : QuantizeOptions
        The quantizer's options, without the bits that are searched.
    training : TrainOptions
        How long, and at which rate, a candidate is fine-tuned.

    Raises
    ------
    HwquantError
        An option is out of range, or contradicts another one.
    """

    bits: tuple[int, ...] = option(
        (2, 3, 4, 5, 6, 8), "What the bits of a layer's weights may be.", spelling=NUMBERS
    )
    bias_bits: tuple[int, ...] = option(
        (),
        "What the bits of a layer's biases may be, such as 6,8,12,32 (zero points in them).",
        spelling=_OR_NONE,
        metavar="N,...",
    )
    activations: bool = option(
        False,
        "Search the bits of layer outputs and inputs too: one number for all, as memory and multipliers are as wide as "
        "the widest.",
    )
    objectives: tuple[str, ...] = option(
        (ACCURACY, "cycles", "weight_bytes"),
        f"Of {', '.join(OBJECTIVES)}: memory_bytes are those of all memories, weight_bits do not depend on the array; "
        "from lut on they are of a --board, fill is the share of its scarcest resource.",
        flag="--objective",
        spelling=NAMES,
    )
    array: Array = option((8, 8), "Array that cycles and bytes are for.", metavar="[Kx]RxC", spelling=ARRAY)
    board: str | None = option(
        None,
        "Also what candidates take of this board, and how long: a name (hwquant boards), or a TOML file of your own.",
        metavar="BOARD",
    )
    constraints: Constraints = Constraints()
    trials: int = option(200, "Candidates at most.", range=Range(1))
    generation: int = option(
        24, "Candidates chosen at a time; as many can be evaluated in parallel.", range=Range(2)
    )
    seed: int = option(0, "Of the guided search.", range=Range(0))
    exhaustive: bool = option(False, "Every configuration, however many trials that is.")
    finetuned: int = option(
        4, "Candidates at most that --train fine-tunes, on the front or near it.", range=Range(1)
    )
    method: Literal["progressive", "all_at_once"] = option(
        "progressive", "How --train fine-tunes.", flag="--train-method"
    )
    quantizer: QuantizeOptions = field(default_factory=QuantizeOptions)
    training: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        least = 2 if self.activations else 1
        if not self.bits or not all(isinstance(item, int) and least <= item <= 8 for item in self.bits):
            which = "weights and layer outputs" if self.activations else "weights"
            raise HwquantError(f"bits of {which} must be numbers from {least} to 8, not {self.bits!r}")
        unknown = [name for name in self.objectives if name not in OBJECTIVES]
        if unknown:
            raise HwquantError(f"there is no objective {unknown[0]!r}; there are {', '.join(OBJECTIVES)}")
        if ACCURACY not in self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise HwquantError(
                f"the objectives must include {ACCURACY} and name each one once, not {self.objectives!r}"
            )
        check(self)
        check_array(self.array)  # raises for an array that does not exist
        if not all(isinstance(item, int) and 2 <= item <= WIDE_BIAS for item in self.bias_bits):
            raise HwquantError(
                f"bits of biases must be numbers from 2 to {WIDE_BIAS}, not {self.bias_bits!r}"
            )
        searched = {"bits": True, "activation_bits": self.activations, "bias_bits": bool(self.bias_bits)}
        defaults = QuantizeOptions()
        for name in (name for name, is_searched in searched.items() if is_searched):
            if getattr(self.quantizer, name) != getattr(defaults, name):
                raise HwquantError(
                    f"{name} of the quantizer are what is searched; leave them at {getattr(defaults, name)} and give "
                    "the search's bits"
                )
        of_board = [name for name in self.measured if OBJECTIVES[name].of_board]
        if of_board and self.board is None:
            raise HwquantError(f"{of_board[0]} is measured on a board, and none is named: name one (--board)")

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the objectives that are measured: those to optimize, and those with a limit."""
        return tuple(dict.fromkeys((*self.objectives, *self.constraints.limits)))
