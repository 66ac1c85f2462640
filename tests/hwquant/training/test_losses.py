"""Losses against torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hwquant.errors import HwquantError
from hwquant.training.losses import named_loss


@pytest.fixture
def scores():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def test_labels_are_one_hot_targets(scores):
    y = torch.tensor([0, 3, 1, 1, 2, 0])
    one_hot = functional.one_hot(y, 4).float()
    expected = {
        "cross_entropy": functional.cross_entropy(scores, y),
        "mse": functional.mse_loss(scores, one_hot),
        "l1": functional.l1_loss(scores, one_hot),
        "l2": torch.tensor(np.linalg.norm(scores - one_hot, axis=1).mean()),
    }
    for name, value in expected.items():
        torch.testing.assert_close(named_loss(name)(scores, y), value)
    mixed = named_loss("cross_entropy+0.5*l2")(scores.reshape(6, 2, 2), y)
    torch.testing.assert_close(mixed, expected["cross_entropy"] + 0.5 * expected["l2"])


def test_float_targets_are_probabilities_or_values(scores):
    targets = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = functional.cross_entropy(scores, targets.float())
    torch.testing.assert_close(named_loss("cross_entropy")(scores, targets), expected)
    torch.testing.assert_close(
        named_loss("mse")(scores, targets), functional.mse_loss(scores, targets.float())
    )


def test_a_network_with_several_outputs_needs_a_function(scores):
    with pytest.raises(HwquantError, match="the loss 'mse' is for one output, the network has 2"):
        named_loss("mse")((scores, scores), scores)
