"""What a user can ask of the quantizer, validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hwquant.errors import HwquantError
from hwquant.options import Range, check, option

Bits = int | Mapping[str, int]

_DEFAULT_BITS = 8


@dataclass(frozen=True)
class QuantizeOptions:
    """Options of :func:`hwquant.quantize.quantize`.

    Attributes
    ----------
    bits : int or mapping of str to int, default 8
        Storage bits of the weights, 1..8, or a mapping from layer names (8 where a layer is not named);
        any node that is fused into a layer names it.
    activation_bits : int or mapping of str to int, default 8
        Bits of the activations, 2..8, or a mapping from tensor names, inputs included.
    bias_bits : int, mapping of str to int, or None, optional
        Bits of the biases, 2..32, or a mapping from layer names: a layer adds ``c * 2^k`` to its sums of products, with
        integers ``c`` of so many bits and one ``k`` for all its channels. It is the bias as hardware stores it, with
        zero points and rounding in it. None, or a layer that is not named: as wide as its values need.
    per_channel : bool, default False
        Give every output channel a weight scale, an offset and a shift of its own.
    symmetric : bool, default False
        Use no offsets: they are 0, and codes are within ``-(2^(n-1)-1)..2^(n-1)-1``.
    anchor : {"min", "max"}, default "min"
        Which end of the weights' range codes are counted from: "min" stores ``w = S * (q + o)``, "max" stores
        ``w = S * (o - q)``.
    rounding : {"round", "truncate"}, default "round"
        How the offset becomes an integer.
    literal_range : bool, default False
        Take the weights' range as it is, without stretching it to contain 0.
    scales : {"shift", "power_of_two", "multiplier"}, default "shift"
        What is between layers: "shift" (only ratios of powers of two), "power_of_two" (every scale is one: fixed
        point) or "multiplier" (15 bits and a shift).
    calibration_method : {"minmax", "percentile", "mse"}, default "mse"
        How the range of an activation is chosen: "minmax" of the calibration data, "percentile" of it, or the
        one with the least mean squared error ("mse"). The networks' outputs always take "minmax".
    percentile : float, default 99.99
        The upper end of the range in percent, where it is a percentile; the lower end is its mirror image.
    bias_correction : bool, default True
        Put the mean error that is left on the calibration data into the biases.
    error_compensation : bool, default False
        Round the weights one after the other, each making up for the errors of those before
        it (GPTQ), instead of each to its nearest code.
    """

    bits: Bits = option(_DEFAULT_BITS, "Bits of a weight.", range=Range(1, 8, noun="an integer"))
    activation_bits: Bits = option(
        _DEFAULT_BITS, "Bits of an activation.", range=Range(2, 8, noun="an integer")
    )
    bias_bits: Bits | None = option(
        None,
        "Bits of a bias, as hardware stores it (zero points in it); as wide as needed if not given.",
        range=Range(2, 32, noun="an integer"),
        metavar="N",
    )
    per_channel: bool = option(False, "A scale, offset and shift for every output channel.")
    symmetric: bool = option(False, "No integer offsets.")
    anchor: Literal["min", "max"] = option(
        "min", "Which end of the weights' range has code 0: w = S (q + o), or w = S (o - q)."
    )
    rounding: Literal["round", "truncate"] = option("round", "How an offset becomes an integer.")
    literal_range: bool = option(False, "Do not stretch the weights' range to contain 0.")
    scales: Literal["shift", "power_of_two", "multiplier"] = option(
        "shift",
        "Between layers: shifts only (also with every scale a power of two: fixed point), or a fixed-point "
        "multiplier and a shift.",
    )
    calibration_method: Literal["minmax", "percentile", "mse"] = option(
        "mse", "How an activation's range is chosen from the calibration data.", flag="--calibration"
    )
    percentile: float = option(99.99, "Of --calibration percentile.", range=Range(50, 100, above=True))
    bias_correction: bool = option(True, "Put the mean error on the calibration data into the biases.")
    error_compensation: bool = option(
        False,
        "Round each weight to make up for the errors of those before it: better than to the nearest below 8 bits.",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.symmetric and self.literal_range:
            raise HwquantError("symmetric weights have no literal range: choose symmetric or literal_range")
        if self.symmetric and 1 in (self.bits.values() if isinstance(self.bits, Mapping) else (self.bits,)):
            raise HwquantError("symmetric weights need at least 2 bits: with 1 bit only the code 0 is left")

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        return {
            field.name: dict(value) if isinstance(value := getattr(self, field.name), Mapping) else value
            for field in dataclasses.fields(self)
        }


def resolve_bits(
    bits: Bits, aliases: Mapping[str, tuple[str, ...]], option: str, default: int = _DEFAULT_BITS
) -> dict[str, int]:
    """Resolve the bits that a user asks for to bits by owner.

    Parameters
    ----------
    bits : int or mapping of str to int
        One number for all, or numbers by name.
    aliases : mapping of str to tuple of str
        The owners of every name that a user may give.
    option : str
        The option's name, for messages.
    default : int, default 8
        Bits of an owner that is not named.

    Returns
    -------
    dict of str to int
        Bits of every owner.

    Raises
    ------
    HwquantError
        A name is unknown, or an owner is given two different numbers of bits.
    """
    owners = [owner for names in aliases.values() for owner in names]
    if not isinstance(bits, Mapping):
        return dict.fromkeys(owners, bits)
    result: dict[str, int] = {}
    for name, count in bits.items():
        if name not in aliases:
            raise HwquantError(
                f"{option} names {name!r}, which is not in the network; it has {', '.join(aliases)}"
            )
        for owner in aliases[name]:
            if result.setdefault(owner, count) != count:
                raise HwquantError(
                    f"{option} asks for {result[owner]} bits at {owner!r} and, through {name!r}, for {count} "
                    "bits in the same place; name it once, or give the same number"
                )
    return {owner: result.get(owner, default) for owner in owners}
