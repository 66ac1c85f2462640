"""What a user can ask of the quantizer, validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from hwquant.errors import HwquantError
from hwquant.options import OTHERS, Range, check, option
from hwquant.qgraph import WIDEST
from hwquant.quantize.weight_scheme import Grid

Bits = int | Mapping[str, int]
Value = TypeVar("Value")

DEFAULT_BITS = 8


@dataclass(frozen=True)
class QuantizeOptions:
    """Options of :func:`hwquant.quantize.quantize`.

    Attributes
    ----------
    bits : int or mapping of str to int, default 8
        Storage bits of the weights, 1..8, or a mapping from layer names; "*" stands for what is not named, which has 8
        otherwise. Any node that is fused into a layer names it.
    activation_bits : int or mapping of str to int, default 8
        Bits of the activations, 2..8, or a mapping from tensor names, inputs included.
    bias_bits : int, mapping of str to int, or None, optional
        Bits of the biases, 2..32, or a mapping from layer names: a layer adds ``c * 2^k`` to its sums of products, with
        integers ``c`` of so many bits and one ``k`` for all its channels. It is the bias as hardware stores it, with
        zero points and rounding in it. None, or a layer that is not named: as wide as its values need.
    per_channel : bool, default False
        Give every output channel a weight scale, an offset and a shift of its own.
    symmetric : bool, default False
        Use grids that are their own mirror image: offsets are 0, and codes are within ``-(2^(n-1)-1)..2^(n-1)-1``; on
        a mid-rise grid all codes are used, and the offset is half a step.
    anchor : {"min", "max"}, default "min"
        Which end of the weights' range codes are counted from: "min" stores ``w = S * (q + o)`` (CN112085154A, claim
        4), "max" stores ``w = S * (o - q)`` (claim 3).
    rounding : {"round", "truncate"}, default "round"
        How the offset ``w_min / S`` or ``w_max / S`` becomes an integer (claims 1 and 5).
    literal_range : bool, default False
        Take the weights' range as it is, without stretching it to contain 0 (claim 1). Literally
        ``S = (w_max - w_min) / (2^n - 1)`` holds with ``scales="multiplier"``, or in layers that hand on their sums
        (``chain_bits``); with shifts alone ``S`` is the next one above that leaves a shift. With ``per_channel`` a
        channel whose offset does not fit 8 bits takes the stretched range, which the report says.
    grid : {"auto", "mid_tread", "mid_rise"} or mapping of str to them, default "auto"
        Where 0 is on the weights' grid: "mid_tread" is multiples of ``S``, 0 among them; "mid_rise" is ``S (q + o)``
        with a half-integer ``o``, such as {-1, 1} with one bit, and has no 0, so that no weight may be pruned. "auto"
        is mid-rise where a layer's weights lie on such a grid already, as those of networks that were trained with
        +1 and -1. Or a mapping from layer names ("auto" where a layer is not named).
    scales : {"keep", "shift", "power_of_two", "multiplier"}, default "keep"
        What is between layers: "shift" (only ratios of powers of two), "power_of_two" (every scale is one: fixed
        point) or "multiplier" (15 bits and a shift). "keep" is "shift" for a float network; one that is quantized
        already keeps its integers and scales (:mod:`hwquant.quantize.kept`), with multipliers between layers.
    calibration_method : {"minmax", "percentile", "mse"}, default "mse"
        How the range of an activation is chosen: "minmax" of the calibration data, "percentile" of it, or the
        one with the least mean squared error ("mse"). The networks' outputs always take "minmax".
    percentile : float, default 99.99
        The upper end of the range in percent, where it is a percentile; the lower end is its mirror image.
    bias_correction : bool, default True
        Put the mean error that is left on the calibration data into the biases.
    error_compensation : bool, default True
        Round the weights one after the other, each making up for the errors of those before it (GPTQ) and of the
        layers before, instead of each to its nearest code.
    equalization : bool, default True
        Below 8 bits, try channels with balanced weights, and keep them where the outputs have less noise on
        calibration data. Channels that would lose their signal are made alike in any case. Weights with a literal
        range stay as they are.
    chain_bits : int or None, optional
        Bits, 2..24, that the sums of a layer may have which the next one multiplies as they are: consecutive layers run
        on integers without any rescaling between them for as long as the proven range of their sums fits, and the
        product of their scales is applied once, at the end (CN112085154A, claim 7; see
        :mod:`hwquant.quantize.chains`). Such a layer's weights have one scale, also with ``per_channel``. None rescales
        after every layer.
    """

    bits: Bits = option(DEFAULT_BITS, "Bits of a weight.", range=Range(1, 8, noun="an integer"))
    activation_bits: Bits = option(
        DEFAULT_BITS, "Bits of an activation.", range=Range(2, 8, noun="an integer")
    )
    bias_bits: Bits | None = option(
        None,
        "Bits of a bias, as hardware stores it (zero points in it); as wide as needed if not given.",
        range=Range(2, 32, noun="an integer"),
        metavar="N",
    )
    per_channel: bool = option(False, "A scale, offset and shift for every output channel.")
    symmetric: bool = option(False, "No integer offsets; on a mid-rise grid, that of half a step.")
    anchor: Literal["min", "max"] = option(
        "min",
        "Which end of the weights' range has code 0: w = S (q + o), or w = S (o - q) (CN112085154A, claims 4 and 3).",
    )
    rounding: Literal["round", "truncate"] = option(
        "round", "How the offset w_min / S or w_max / S becomes an integer (CN112085154A, claims 1 and 5)."
    )
    literal_range: bool = option(
        False,
        "Do not stretch the weights' range to contain 0; with --scales multiplier S is (w_max - w_min) / (2^n - 1) to "
        "the letter (CN112085154A, claim 1).",
    )
    grid: Grid | Mapping[str, Grid] = option(
        "auto",
        "Of the weights: with 0 on it (mid_tread), or in the middle between two numbers (mid_rise: +S and -S with one "
        "bit); auto is mid_rise where the weights lie on such a grid already.",
    )
    scales: Literal["keep", "shift", "power_of_two", "multiplier"] = option(
        "keep",
        "Between layers: shifts only (also with every scale a power of two: fixed point), or a fixed-point "
        "multiplier and a shift; keep leaves a network that is quantized already its scales, by multipliers, and is "
        "shift for any other.",
    )
    calibration_method: Literal["minmax", "percentile", "mse"] = option(
        "mse", "How an activation's range is chosen from the calibration data.", flag="--calibration"
    )
    percentile: float = option(99.99, "Of --calibration percentile.", range=Range(50, 100, above=True))
    bias_correction: bool = option(True, "Put the mean error on the calibration data into the biases.")
    error_compensation: bool = option(
        True, "Round each weight to make up for the errors of those before it, not to its nearest code."
    )
    equalization: bool = option(
        True,
        "Below 8 bits, try channels with balanced weights, and keep them where the outputs have less noise.",
    )
    chain_bits: int | None = option(
        None,
        "Run consecutive layers without rescaling between them while their proven sums fit so many bits; the product "
        "of their scales is applied once, at the end (CN112085154A, claim 7).",
        range=Range(2, WIDEST, noun="an integer"),
        metavar="N",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.symmetric and self.literal_range:
            raise HwquantError("symmetric weights have no literal range: choose symmetric or literal_range")
        if self.literal_range and "mid_rise" in _values(self.grid):
            raise HwquantError(
                "a mid-rise grid has no literal range: choose mid_tread, or leave literal_range out"
            )

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        return {
            field.name: dict(value) if isinstance(value := getattr(self, field.name), Mapping) else value
            for field in dataclasses.fields(self)
        }


def _values(option: Value | Mapping[str, Value]) -> tuple[Value, ...]:
    return tuple(option.values()) if isinstance(option, Mapping) else (option,)


def by_owner(
    asked: Value | Mapping[str, Value], aliases: Mapping[str, tuple[str, ...]], option: str, default: Value
) -> dict[str, Value]:
    """Resolve what a user asks for by names to values by owner.

    Parameters
    ----------
    asked : object or mapping of str to object
        One value for all, or values by name; "*" stands for what is not named.
    aliases : mapping of str to tuple of str
        The owners of every name that a user may give.
    option : str
        The option's name, for messages.
    default : object
        The value of an owner that is not named, where "*" is not either.

    Returns
    -------
    dict of str to object
        The value of every owner.

    Raises
    ------
    HwquantError
        A name is unknown, or an owner is given two different values.
    """
    owners = [owner for names in aliases.values() for owner in names]
    if not isinstance(asked, Mapping):
        return dict.fromkeys(owners, asked)
    result: dict[str, Value] = {}
    for name, value in asked.items():
        if name == OTHERS:
            continue
        if name not in aliases:
            raise HwquantError(
                f"{option} names {name!r}, which is not in the network; it has {', '.join(aliases)}"
            )
        for owner in aliases[name]:
            if result.setdefault(owner, value) != value:
                raise HwquantError(
                    f"{option} asks for {result[owner]} at {owner!r} and, through {name!r}, for {value} in the same "
                    "place; name it once, or give the same"
                )
    others = asked.get(OTHERS, default)
    return {owner: result.get(owner, others) for owner in owners}
