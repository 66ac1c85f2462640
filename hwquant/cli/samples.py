"""Labelled samples of the commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwquant.errors import HwquantError

if TYPE_CHECKING:
    from hwquant.data import Samples
    from hwquant.graph import Graph

HELD_OUT = "a random tenth of TRAIN.npz, at most 5,000 samples, which is not trained on"
"""What decides where no validation samples are given, for the help."""


def labelled(path: Path, graph: Graph) -> Samples:
    """Load labelled samples of a network with one input.

    Raises
    ------
    HwquantError
        They have no labels, or the network has several inputs.
    """
    from hwquant.data import load_samples

    if len(graph.given_inputs) != 1:
        names = ", ".join(item.name for item in graph.given_inputs)
        raise HwquantError(
            f"network {graph.name!r} has several inputs ({names}), and the command trains networks of one; use Python, "
            "with a loader"
        )
    samples = load_samples(path, graph.given_inputs)
    if samples.y is None:
        raise HwquantError(f"{path} has no labels y; training and accuracy need them")
    return samples


def divided(graph: Graph, train: Path, validation: Path | None, seed: int) -> tuple[Samples, Samples]:
    """Load samples to train with, and samples that decide: others, or a share of the first, chosen by a seed."""
    samples = labelled(train, graph)
    return samples.hold_out(seed) if validation is None else (samples, labelled(validation, graph))
