"""All that is claimed."""

from __future__ import annotations

from hwquant.prove import accumulation, dispatching, moving, products, requantization, streams

CLAIMS = (
    *products.CLAIMS,
    *requantization.CLAIMS,
    *streams.CLAIMS,
    *accumulation.CLAIMS,
    *dispatching.CLAIMS,
    *moving.CLAIMS,
)
"""Every claim, each with a name of its own."""
