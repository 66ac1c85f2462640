"""What is claimed of the core of one program, with the parameters that it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hwquant.program.program import Program
from hwquant.prove import (
    accumulation,
    buses,
    dispatching,
    loading,
    moving,
    multiplying,
    pooling,
    products,
    registers,
    requantization,
    streams,
    tables,
)
from hwquant.prove.harness import Claim
from hwquant.rtl_templates.ternary_product import TernaryProduct


def core_claims(program: Program, bus: str) -> tuple[Claim, ...]:
    """List the claims of a program's core.

    Widths, tables, latencies and ports are the core's, but for accumulators and streams, which are small ones. The
    maximum is that of each array, where there are no products.

    Parameters
    ----------
    program : Program
        What the core executes.
    bus : str
        A key of :data:`~hwquant.rtl_templates.ip_core.BUSES`.

    Returns
    -------
    tuple of Claim
        The claims, each with a name of its own.
    """
    return tuple(_claims(program, bus))


def _claims(program: Program, bus: str) -> Iterator[Claim]:
    config = program.config
    if config.odd_weights == "none":
        yield products.processing_element(
            config.activation_bits,
            config.operand_bits,
            config.sum_bits(config.rows - 1),
            TernaryProduct if config.ternary else None,
            config.product_stages,
        )
    yield requantization.requantizer(config)
    yield from accumulation.CLAIMS
    yield from streams.CLAIMS
    where = f"{config.rows}x{config.columns}"
    if not config.product_bits:
        small = replace(config, arrays=1, strip_bits=0, accumulator_depth=2)
        yield pooling.maximum(small, f"{config.columns} columns", program.table_image)
    yield dispatching.dispatcher(config, where)
    yield dispatching.starts(config, where)
    yield registers.register_file(config, where)
    if config.load_rows > 1:
        yield loading.segments(config)
    if config.tables:
        yield tables.lookup(config, program.table_image)
    if config.product_bits:
        yield multiplying.products(config)
    if config.external_bits and not config.half_depth:
        yield moving.bursts(config, f"{config.external_bits} bits")
    if bus == "axi":
        yield buses.axi(config)
    if bus == "wishbone":
        yield buses.wishbone(config)
