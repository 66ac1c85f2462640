"""All that is claimed."""

from __future__ import annotations

from hwquant.prove import (
    accumulation,
    buses,
    dispatching,
    filling,
    framing,
    hosting,
    loading,
    moving,
    multiplying,
    packing,
    pooling,
    products,
    registers,
    requantization,
    sequencing,
    streams,
    tables,
)

CLAIMS = (
    *products.CLAIMS,
    *requantization.CLAIMS,
    *streams.CLAIMS,
    *accumulation.CLAIMS,
    *pooling.CLAIMS,
    *dispatching.CLAIMS,
    *moving.CLAIMS,
    *tables.CLAIMS,
    *multiplying.CLAIMS,
    *loading.CLAIMS,
    *buses.CLAIMS,
    *filling.CLAIMS,
    *registers.CLAIMS,
    *framing.CLAIMS,
    *hosting.CLAIMS,
    *packing.CLAIMS,
    *sequencing.CLAIMS,
)
"""Every claim, each with a name of its own."""
