"""Truncation to fixed point: every scale is a power of two, weights have 8 bits or one.

Eight-bit weights have no offset: ``w = 2^-f w_q``, what the bits of a fixed-point number are. Binary weights are +1 or
-1 times the scale ``S = 2^-f`` of their output channel, by their sign, as the method has them, and BinaryConnect
(Courbariaux et al., 2015); ``S`` is the power of two with the least squared error, which would otherwise be the mean of
the weights' sizes (Rastegari et al., XNOR-Net, 2016). These are "bipolar" weights. "Unipolar" ones are 0 or ``S``, or 0
or ``-S``, whichever suits a channel.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from hwquant.graph import Conv, Graph
from hwquant.qgraph import QGraph
from hwquant.quantize import Observed, QuantizeOptions
from hwquant.quantize.calibration import Data
from hwquant.quantize.weight_scheme import Grid

if TYPE_CHECKING:
    from hwquant.training import Training

Binary = Literal["bipolar", "unipolar"]
"""What a single bit stands for: +S or -S; or 0 or S, or 0 or -S, by output channel."""


def weighted(graph: Graph) -> list[str]:
    """Names of the convolutions and matrix products, in order."""
    return [node.name for node in graph.nodes if isinstance(node, Conv)]


def options(to: str, binary: Collection[str], values: Binary = "bipolar") -> QuantizeOptions:
    """Options of the quantizer for a target: each weight is rounded to the nearest.

    Biases make up for the mean error that is left.

    Parameters
    ----------
    to : str
        "int8" or "binary".
    binary : collection of str
        Names of the layers whose weights get one bit where ``to`` is "binary".
    values : {"bipolar", "unipolar"}, default "bipolar"
        What the bit stands for: +S or -S; or 0 or S.

    Returns
    -------
    QuantizeOptions
        Every scale is a power of two.
    """
    if to == "int8":
        return QuantizeOptions(scales="power_of_two", symmetric=True, error_compensation=False)
    bits = dict.fromkeys(binary, 1)
    common: dict[str, Any] = {
        "bits": bits,
        "scales": "power_of_two",
        "per_channel": True,
        "error_compensation": False,
    }
    if values == "unipolar":
        return QuantizeOptions(**common, grid="mid_tread")
    grid: dict[str, Grid] = dict.fromkeys(binary, "mid_rise")
    return QuantizeOptions(**common, symmetric=True, grid=grid)


def finetune(observed: Observed, chosen: QuantizeOptions, training: Training, calibration: Data) -> QGraph:
    """Truncate everything, and train the float weights behind the truncated ones.

    Gradients go straight through the truncation. Before every step a weight of a single bit is put back between the two
    numbers that the bit stands for, as in BinaryConnect.

    Parameters
    ----------
    observed : Observed
        The float network and what its calibration data say.
    chosen : QuantizeOptions
        What the weights and tensors are truncated to.
    training : Training
        What is trained with.
    calibration : mapping of ndarray, shape (N, *shape)
        The calibration data by input name, which a checkpoint depends on.

    Returns
    -------
    QGraph
        The best of the truncated networks without training and after it, on samples that are not trained on (see
        :func:`hwquant.training.finetune_all_at_once`); "finetuned" in its ``options`` says which.
    """
    from hwquant.training.tuning import Method, Stage, tune

    stage = Stage("fine-tune", lambda network: None, 1.0)
    method = Method("finetuned", "truncate", [stage], {}, literal=False)
    return tune(method, observed, training, calibration, chosen)
