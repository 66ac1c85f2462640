"""Every schedule gives the rates of PyTorch's, or of its published formula."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from hwquant.training.options import TrainOptions
from hwquant.training.schedules import rate_factor

STEPS = 60


def torch_rates(make, steps=STEPS):
    """The rates of a scheduler of PyTorch's that is stepped after every batch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def rates(steps=STEPS, **options):
    return [rate_factor(TrainOptions(**options), index / steps) for index in range(steps)]


@pytest.mark.parametrize(
    ("options", "make"),
    [
        ({"schedule": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        ({"schedule": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
        ({"schedule": "step"}, lambda o: lr_scheduler.StepLR(o, STEPS // 3, 0.1)),
        (
            {"schedule": "step", "lr_steps": 5, "lr_end": 2.0**-5},
            lambda o: lr_scheduler.StepLR(o, STEPS // 6, 0.5),
        ),
        ({"schedule": "exponential"}, lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / STEPS))),
        (
            {"schedule": "cosine", "warmup": 0.25},
            lambda o: lr_scheduler.SequentialLR(
                o,
                [
                    lr_scheduler.LinearLR(o, 1 / 25, total_iters=STEPS // 4),
                    lr_scheduler.CosineAnnealingLR(o, STEPS - STEPS // 4),
                ],
                [STEPS // 4],
            ),
        ),
    ],
    ids=["constant", "cosine", "step", "five steps", "exponential", "warm-up"],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter")  # SequentialLR's own call
def test_schedules_are_those_of_pytorch(options, make):
    assert rates(**options) == pytest.approx(torch_rates(make), rel=1e-6)


def test_one_cycle_is_that_of_pytorch_but_for_the_ends_of_its_steps():
    # PyTorch counts to the last step of each phase, hwquant to its end: with many steps they are the same.
    steps = 30_000
    theirs = torch_rates(lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=steps + 1), steps)
    assert rates(steps, schedule="one_cycle") == pytest.approx(theirs, abs=2e-4)
    options = TrainOptions(schedule="one_cycle")
    found = [rate_factor(options, done) for done in (0, 0.15, 0.3, 0.65, 1)]
    assert found == pytest.approx([1 / 25, (1 + 1 / 25) / 2, 1, (1 + 4e-6) / 2, 4e-6])


@pytest.mark.parametrize("schedule", ["cosine", "constant", "step", "exponential"])
def test_a_warm_up_rises_in_a_line_to_where_the_schedule_begins(schedule):
    options = TrainOptions(schedule=schedule, warmup=0.5)
    plain = TrainOptions(schedule=schedule)
    assert [rate_factor(options, done) for done in (0, 0.25)] == pytest.approx([0.04, 0.52])
    for part in (0.0, 0.2, 0.5, 0.7, 0.999):
        assert rate_factor(options, 0.5 + part / 2) == pytest.approx(rate_factor(plain, part))


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10])
def test_step_falls_at_the_boundary_and_stays_to_the_end(steps):
    options = TrainOptions(schedule="step", lr_steps=steps, lr_end=2.0**-steps)
    for index in range(steps + 1):
        begin = index / (steps + 1)
        assert rate_factor(options, begin) == pytest.approx(2.0**-index)
        assert rate_factor(options, begin + 0.99 / (steps + 1)) == pytest.approx(2.0**-index)
    assert rate_factor(options, 1.0) == rate_factor(options, 1.0 + 1e-12) == pytest.approx(options.lr_end)
    assert math.isclose(rate_factor(TrainOptions(schedule="exponential"), 1.0), 0.01)
