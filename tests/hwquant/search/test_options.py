"""Options are validated, each with a sentence."""

import pytest

from hwquant.errors import HwquantError
from hwquant.quantize import QuantizeOptions
from hwquant.search import Constraints, SearchOptions

WRONG = [
    ({"bits": ()}, "bits of weights must be numbers from 1 to 8"),
    ({"bits": (4, 9)}, "bits of weights must be numbers from 1 to 8"),
    ({"bits": (1, 8), "activations": True}, "bits of weights and layer outputs must be numbers from 2 to 8"),
    ({"objectives": ("accuracy", "speed")}, "no objective 'speed'; there are accuracy, cycles"),
    ({"objectives": ("cycles",)}, "must include accuracy"),
    ({"objectives": ("accuracy", "accuracy")}, "name each one once"),
    ({"trials": 0}, "trials must be at least 1"),
    ({"generation": 1}, "generation must be at least 2"),
    ({"array": (1, 8)}, "rows"),
    ({"quantizer": QuantizeOptions(bits=4)}, "bits of the quantizer are what is searched"),
    ({"bias_bits": (1, 8)}, "bits of biases must be numbers from 2 to 32"),
    ({"bias_bits": (8, 33)}, "bits of biases must be numbers from 2 to 32"),
    (
        {"quantizer": QuantizeOptions(bias_bits=8), "bias_bits": (8, 12)},
        "bias_bits of the quantizer are what is searched; leave them at None",
    ),
    ({"objectives": ("accuracy", "lut")}, "lut is measured on a board, and none is named"),
    ({"constraints": Constraints(limits={"fill": 1.0})}, "fill is measured on a board, and none is named"),
    ({"finetuned": 0}, "finetuned must be at least 1"),
    (
        {"quantizer": QuantizeOptions(activation_bits=4), "activations": True},
        "activation_bits of the quantizer are what is searched",
    ),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(item[0]) for item in WRONG])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(HwquantError, match=message):
        SearchOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_from": "int4"}, "drop_from must be one of float, int8"),
        ({"max_drop": -1.0}, "max_drop must be from 0 to 100"),
        ({"limits": {"accuracy": 1.0}}, "no limit on 'accuracy'; limits are known on cycles"),
        ({"limits": {"area": 1.0}}, "no limit on 'area'"),
    ],
)
def test_wrong_constraints_are_refused(options, message):
    with pytest.raises(HwquantError, match=message):
        Constraints(**options)


def test_narrow_activations_may_be_kept_where_they_are_not_searched():
    assert SearchOptions(quantizer=QuantizeOptions(activation_bits=6)).quantizer.activation_bits == 6


def test_objectives_with_a_limit_are_measured_too():
    options = SearchOptions(
        objectives=("accuracy", "cycles"), constraints=Constraints(limits={"weight_bytes": 9})
    )
    assert options.measured == ("accuracy", "cycles", "weight_bytes")


def test_violations_are_points_and_shares_of_the_limit():
    constraints = Constraints(0.5, "int8", {"cycles": 100})
    references = {"float": 0.99, "int8": 0.95}
    missed = constraints.violations({"accuracy": 0.94, "cycles": 150}, references)
    assert missed == {"max_drop": pytest.approx(0.5), "cycles": 0.5}
    kept = constraints.violations({"accuracy": 0.945, "cycles": 100}, references)
    assert max(kept.values()) <= 0
    small = Constraints(None, limits={"dsp": 0, "milliseconds": 0.01})
    assert small.violations({"dsp": 2, "milliseconds": 0.015}, references) == {
        "dsp": 2.0,
        "milliseconds": pytest.approx(0.5),
    }
    assert max(small.violations({"dsp": 0, "milliseconds": 0.01}, references).values()) == 0
