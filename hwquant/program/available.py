"""Whether what a network needs is there: in hardware that exists, or in any array at all."""

from __future__ import annotations

from collections.abc import Mapping

from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.array_shape import ArrayShape
from hwquant.program.config import ArrayConfig
from hwquant.program.limits import LIMITS
from hwquant.program.raw_inputs import whole

REMEDY = {
    "activation_depth": "a larger activation memory, a smaller input, or fewer channels",
    "weight_depth": "a larger weight memory, fewer or pruned weights, or a wider array",
    "parameter_depth": "a larger parameter memory or fewer output channels",
    "program_depth": "a larger program memory, deeper accumulators, or a larger array",
    "accumulator_bits": "wider accumulators, or fewer activation, weight or chain bits",
    "coordinate_bits": "a smaller input, or hardware with wider coordinates",
    "strip_bits": "less padding, fewer arrays, or hardware made for this network",
    "block_steps": "shallower accumulators or smaller pooling windows",
    "external_address_bits": "a larger external memory or hardware made for this network",
    "half_depth": "hardware made for this network",
    "program_half": "hardware made for this network",
    "table_bits": "no chain bits: what layers hand on is looked up",
    "tables": "fewer layers with functions, or tensors that share a scale",
}


OUTSIDE = ("activation_depth", "weight_depth", "parameter_depth")
"""Memories whose words may come from outside, too."""


def too_few(resource: str, needed: int, available: int, *, culprit: str = "", outside: bool) -> DoesNotFit:
    """Make the error of a memory, or a width, that is too small for a network.

    Parameters
    ----------
    resource : str
        Name of the field of :class:`~hwquant.program.config.ArrayConfig`.
    needed, available : int
        Words, or bits.
    culprit : str
        What of the network needs so much.
    outside : bool
        Whether there is external memory already.
    """
    remedy = REMEDY[resource]
    if resource in OUTSIDE and not outside:
        remedy += ", or with external memory (--external axi64)"
    return DoesNotFit(
        f"the network does not fit: {resource} {needed} is needed{culprit}, {available} is available, "
        f"{needed - available} too few; it would fit with {remedy}",
        resource=resource,
        needed=needed,
        available=available,
        remedy=remedy,
    )


def check_hardware(needed: ArrayShape, config: ArrayConfig) -> None:
    """Raise unless existing hardware can express what a network needs, its size apart."""
    names = (
        "activation_bits",
        "weight_bits",
        "multiplier_bits",
        "shift_bits",
        "product_bits",
        "table_bits",
        "tables",
    )
    for name in names:
        _compare(name, needed, config)
    if needed.least_shift < config.least_shift:
        raise DoesNotFit(
            f"the network needs a shift of {needed.least_shift}, the hardware has none below {config.least_shift}",
            resource="least_shift",
            needed=needed.least_shift,
            available=config.least_shift,
            remedy="hardware made for this network",
        )
    if config.odd_weights == "all" and needed.odd_weights != "all":
        raise Unsupported("the network needs weights that are not odd, the hardware has no others")
    if config.ternary and not needed.ternary:
        raise Unsupported("the network needs weights beyond -1, 0 and 1, the hardware has no multipliers")
    if needed.strided_writes and not config.strided_writes:
        raise Unsupported("the network has layers that write to every n-th pixel, which the hardware cannot")
    if whole(needed.raw_inputs) != whole(config.raw_inputs):
        raise DoesNotFit(
            "the hardware's packer lays out other inputs than the network has",
            resource="raw_inputs",
            remedy="hardware made for this network",
        )
    if config.odd_weights != "none":
        _compare("adjusted_bits", needed, config)
    if needed.offset == "none":
        return
    if config.offset != needed.offset:
        raise Unsupported(f"the network needs offset {needed.offset!r}, the hardware has {config.offset!r}")
    if needed.channel_offsets and not config.channel_offsets:
        raise Unsupported("the network has an offset for each channel, the hardware one for each layer")
    width = "adjusted_bits" if config.offset == "edge" else "offset_bits"
    _compare(width, needed, config)


def _compare(name: str, needed: ArrayShape, config: ArrayConfig) -> None:
    need, there_are = getattr(needed, name), getattr(config, name)
    if need > there_are:
        raise DoesNotFit(
            f"the network needs {name} {need}, the hardware has {there_are}",
            resource=name,
            needed=need,
            available=there_are,
            remedy="hardware made for this network",
        )


def check_limits(values: Mapping[str, int], name: str) -> None:
    """Raise for what no array can have, and blame the network, not a parameter that nobody set."""
    for size_name, (_, most) in LIMITS.items():
        need = values.get(size_name, 0)
        if need > most:
            remedy = REMEDY.get(size_name, "the default range of weights, or scales that are closer together")
            raise DoesNotFit(
                f"network {name!r} needs {size_name} {need}, no array has more than {most}; it would fit with {remedy}",
                resource=size_name,
                needed=need,
                available=most,
                remedy=remedy,
            )


def check_biases(needed: Mapping[str, int], config: ArrayConfig) -> None:
    """Raise unless existing hardware holds the biases: they have as many zeros, and room above them."""
    zeros = config.bias_zeros
    if needed["bias_zeros"] < zeros:
        raise DoesNotFit(
            f"the network's biases share {needed['bias_zeros']} low zeros, the hardware leaves out {zeros}",
            resource="bias_zeros",
            needed=needed["bias_zeros"],
            available=zeros,
            remedy="hardware made for this network",
        )
    width = needed["bias_bits"] + needed["bias_zeros"] - zeros
    if width > config.stored_bias_bits:
        raise DoesNotFit(
            f"the network needs bias_bits {width}, the hardware has {config.stored_bias_bits}",
            resource="bias_bits",
            needed=width,
            available=config.stored_bias_bits,
            remedy="hardware made for this network",
        )
