"""Targets that a float network gives."""

import numpy as np
import pytest
import torch

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.training import Training, TrainOptions, TuneOptions, distilled


def test_targets_are_probabilities_at_a_temperature(digits_graph, digits):
    x, y = digits[0]
    made = distilled(Training((x, y), tuning=TuneOptions(distill=2.0), validation=(x, y)), digits_graph)
    scores = torch.tensor(floating.predict(digits_graph, x)[0])
    np.testing.assert_allclose(made.data[1], torch.softmax(scores / 2, 1), atol=1e-5)
    assert made.data[0] is x
    assert made.validation[1] is y
    # Its minimum is where the network is the float one, and its gradient has the size that labels give.
    outputs = scores[:8].clone().requires_grad_()
    made.loss(outputs, torch.tensor(made.data[1][:8]).double()).backward()
    assert outputs.grad.abs().max() < 1e-6
    soft = torch.tensor(made.data[1][:8]).double()
    expected = -4 * (soft * torch.log_softmax((scores[:8] + 1) * 1.5 / 2, 1)).sum(1).mean()
    torch.testing.assert_close(made.loss((scores[:8] + 1) * 1.5, soft), expected)


def test_of_other_losses_the_outputs_are_the_targets(digits_graph, digits):
    x, y = digits[0]
    made = distilled(Training((x, y), TrainOptions(loss="mse")), digits_graph)
    np.testing.assert_allclose(made.data[1], floating.predict(digits_graph, x)[0], atol=1e-4)
    assert made.loss is None


def test_a_loader_gives_other_targets(digits_graph, digits):
    x, y = digits[0]
    batches = [(torch.tensor(x[:7]), torch.tensor(y[:7])), (torch.tensor(x[7:9]), torch.tensor(y[7:9]))]
    made = distilled(Training(batches), digits_graph)
    assert len(made.data) == 2
    whole = distilled(Training((x, y)), digits_graph).data[1]
    for (mine, targets), (wanted, _), place in zip(made.data, batches, (slice(0, 7), slice(7, 9))):
        assert mine is wanted
        np.testing.assert_allclose(targets, whole[place], atol=1e-6)
    unsized = distilled(Training(item for item in batches), digits_graph).data
    assert not hasattr(unsized, "__len__")


def test_labels_stay_where_they_are_asked_for(digits_graph, digits):
    asked = Training(digits[0], tuning=TuneOptions(distill=0))
    assert distilled(asked, digits_graph).data is asked.data
    own = Training(digits[0], loss=torch.nn.functional.cross_entropy)
    assert distilled(own, digits_graph) is own
    with pytest.raises(HwquantError, match="distill needs a network with one output, and a loss by its name"):
        distilled(
            Training(digits[0], tuning=TuneOptions(distill=1), loss=torch.nn.functional.cross_entropy),
            digits_graph,
        )
