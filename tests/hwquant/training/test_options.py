"""What can be asked of a training."""

import pytest

from hwquant.errors import HwquantError
from hwquant.training.options import TrainOptions, parse_loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd, rmsprop, not 'lion'"),
        (
            {"schedule": "linear"},
            "schedule must be one of cosine, constant, step, exponential, one_cycle, not 'linear'",
        ),
        ({"lr_end": 0}, "lr_end must be above 0 and at most 1, not 0"),
        ({"lr_steps": 0}, "lr_steps must be an integer of at least 1, not 0"),
        ({"warmup": 1}, "warmup must be below 1: nothing of the training would be left"),
        ({"warmup": 1.5}, "warmup must be from 0 to 1, not 1.5"),
        ({"warmup": 0.1, "schedule": "one_cycle"}, "one_cycle has a warm-up of its own: leave warmup out"),
        ({"epochs": -1}, "epochs must be a number of at least 0, not -1"),
        ({"epochs": float("nan")}, "epochs must be a number of at least 0, not nan"),
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": "fast"}, "lr must be a number of at least 0, not 'fast'"),
        ({"momentum": 1.0}, "momentum must be below 1, not 1.0"),
        ({"weight_decay": float("inf")}, "weight_decay must be a number of at least 0, not inf"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, not 0"),
        ({"seed": 1.5}, "seed must be an integer of at least 0, not 1.5"),
        ({"loss": "hinge"}, "loss 'hinge' is not a sum of different ones of cross_entropy, mse, l1, l2"),
    ],
)
def test_options_out_of_range_are_refused(change, message):
    with pytest.raises(HwquantError) as error:
        TrainOptions(**change)
    assert message in str(error.value)


def test_losses_are_weighted_sums():
    assert parse_loss("mse") == {"mse": 1.0}
    assert parse_loss("cross_entropy + 0.1*mse+2 * l1") == {"cross_entropy": 1.0, "mse": 0.1, "l1": 2.0}


@pytest.mark.parametrize("text", ["", "+", "mse+mse", "0*mse", "-1*mse", "x*mse", "nan*l1", "2*", "mse*2"])
def test_what_is_no_weighted_sum_is_refused(text):
    with pytest.raises(HwquantError, match="is not a sum of different ones"):
        parse_loss(text)
