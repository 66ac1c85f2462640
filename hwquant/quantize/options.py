"""What a user can ask of the quantizer, validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from hwquant.errors import HwquantError

Bits = int | Mapping[str, int]

_CHOICES = {
    "anchor": ("min", "max"),
    "rounding": ("round", "truncate"),
    "scales": ("shift", "power_of_two", "multiplier"),
    "calibration_method": ("minmax", "percentile", "mse"),
}
_WIDTHS = {"bits": (1, 8), "activation_bits": (2, 8)}
_DEFAULT_BITS = 8


@dataclass(frozen=True)
class QuantizeOptions:
    """Options of :func:`hwquant.quantize.quantize`.

    Attributes
    ----------
    bits : storage bits of the weights, 1..8, or a mapping from layer names (8 where a layer is not named);
        any node that is fused into a layer names it
    activation_bits : bits of the activations, 2..8, or a mapping from tensor names, inputs included
    per_channel : a weight scale, an offset and a shift for every output channel
    symmetric : offset 0; codes within ``-(2^(n-1)-1)..2^(n-1)-1``
    anchor : "min" stores ``w = S * (q + o)``, "max" stores ``w = S * (o - q)``
    rounding : how the offset becomes an integer: "round" or "truncate"
    literal_range : take the weights' range as it is, without stretching it to contain 0
    scales : "shift" (only ratios of powers of two between layers), "power_of_two" (every scale is one: fixed
        point) or "multiplier" (15 bits and a shift)
    calibration_method : range of an activation: "minmax" of the calibration data, "percentile" of it, or the
        one with the least mean squared error ("mse"). The networks' outputs always take "minmax".
    percentile : the upper one, in percent; the lower one is its mirror image
    bias_correction : put the mean error that is left on the calibration data into the biases
    error_compensation : round the weights one after the other, each making up for the errors of those before
        it (GPTQ), instead of each to its nearest code
    """

    bits: Bits = _DEFAULT_BITS
    activation_bits: Bits = _DEFAULT_BITS
    per_channel: bool = False
    symmetric: bool = False
    anchor: str = "min"
    rounding: str = "round"
    literal_range: bool = False
    scales: str = "shift"
    calibration_method: str = "mse"
    percentile: float = 99.99
    bias_correction: bool = True
    error_compensation: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise HwquantError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for name, (low, high) in _WIDTHS.items():
            value = getattr(self, name)
            for owner, bits in value.items() if isinstance(value, Mapping) else [("", value)]:
                if not isinstance(bits, int) or isinstance(bits, bool) or not low <= bits <= high:
                    where = f" of {owner!r}" if owner else ""
                    raise HwquantError(f"{name}{where} must be an integer from {low} to {high}, not {bits!r}")
        if not 50 < self.percentile <= 100:
            raise HwquantError(f"percentile must be above 50 and at most 100, not {self.percentile!r}")
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


def resolve_bits(bits: Bits, aliases: Mapping[str, tuple[str, ...]], option: str) -> dict[str, int]:
    """Bits by owner.

    ``aliases`` maps every name that a user may give to its owners. Raises for an unknown name, and where an
    owner is given two different numbers of bits.
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
    return {owner: result.get(owner, _DEFAULT_BITS) for owner in owners}
