"""What the options refuse."""

import pytest

from hwquant.errors import HwquantError
from hwquant.optimize import OptimizeOptions
from hwquant.quantize import QuantizeOptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "speed"}, "objective must be one of fps, lut, energy-proxy, bytes"),
        ({"external": "axi16"}, "external must be one of auto, none, axi"),
        ({"max_drop": -1}, "max_drop must be"),
        ({"min_fps": 0}, "min_fps must be above 0"),
        ({"bits": (9,)}, r"bits must be numbers from 1 to 8, not \(9,\)"),
        ({"bits": ()}, "bits must be numbers"),
        ({"activation_bits": (1, 8)}, "activation_bits must be numbers from 2 to 8"),
        ({"offsets": ("top",)}, "offsets must be of none, edge, sum"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"step": 0}, "step must be above 0"),
        ({"quantizer": QuantizeOptions(bits=4)}, "bits of the quantizer is what is searched"),
        ({"quantizer": QuantizeOptions(symmetric=True)}, "symmetric of the quantizer is what is searched"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(HwquantError, match=message):
        OptimizeOptions(**changes)


def test_without_finalists_nothing_is_brought_back():
    assert OptimizeOptions(max_drop=0.5, regain=1.0).worth_training == 1.5
    assert OptimizeOptions(max_drop=0.5, regain=1.0, finalists=0).worth_training == 0.5
