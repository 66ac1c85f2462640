"""The quantizer's arithmetic in PyTorch is that of numpy, and lets gradients through."""

import numpy as np
import pytest
import torch

from hwquant.qgraph import Term
from hwquant.training.rounding import per_channel, round_half_up, to_integers, weight_steps


def test_halves_are_rounded_up_and_gradients_pass_unchanged():
    x = torch.tensor([-1.5, -0.5, 0.49, 0.5, 2.5], requires_grad=True)
    y = round_half_up(x)
    assert y.tolist() == [-1, 0, 0, 1, 3]
    (y * torch.arange(5)).sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("anchor", ["min", "max"])
def test_steps_stay_within_what_the_codes_express(anchor):
    codes = np.zeros((2, 1, 1, 1), np.int8)
    term = Term("x", codes, np.array([1, -2]), np.array([0.5, 0.25]), anchor, bits=2)
    weight = torch.tensor([[-100.0, 0.3, 100.0], [-100.0, 0.3, 100.0]]).view(2, 3, 1, 1)
    low, high = term.coding.limits
    steps = weight_steps(weight, term).view(2, 3)
    assert steps[:, 0].tolist() == low.tolist()
    assert steps[:, 2].tolist() == high.tolist()
    inside = weight_steps(weight, term, rounded=False).view(2, 3)[:, 1]
    assert inside.tolist() == pytest.approx(np.clip(0.3 / term.scale, low, high).tolist())


def test_values_of_channels_multiply_weights_of_any_rank():
    like = torch.zeros(3, 2, 1, 1)
    assert per_channel(np.array([1.0, 2.0, 3.0]), like).shape == (3, 1, 1, 1)
    assert per_channel(np.array([1.0]), like[:, 0, 0, 0]).shape == (1,)
    found = to_integers(torch.tensor([-3.0, 1e6]))
    assert found.dtype == np.int64
    assert found.tolist() == [-3, 1_000_000]
