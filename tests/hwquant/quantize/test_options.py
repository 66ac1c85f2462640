import json

import pytest

from hwquant.errors import HwquantError
from hwquant.quantize.options import QuantizeOptions, by_owner


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchor": "middle"}, "anchor must be one of min, max, not 'middle'"),
        ({"rounding": "up"}, "rounding must be one of"),
        ({"scales": "float"}, "scales must be one of keep, shift, power_of_two, multiplier"),
        ({"calibration_method": "best"}, "calibration_method must be one of"),
        ({"bits": 9}, "bits must be an integer from 1 to 8, not 9"),
        ({"bits": 0}, "bits must be"),
        ({"bits": True}, "bits must be"),
        ({"bits": {"conv": 4.0}}, "bits of 'conv' must be"),
        ({"activation_bits": 1}, "activation_bits must be an integer from 2 to 8"),
        ({"percentile": 50}, "percentile must be above 50"),
        ({"symmetric": True, "literal_range": True}, "no literal range"),
        ({"literal_range": True, "grid": {"a": "mid_rise"}}, "a mid-rise grid has no literal range"),
        ({"grid": "odd"}, "grid must be one of auto, mid_tread, mid_rise, not 'odd'"),
        ({"grid": {"a": "odd"}}, "grid of 'a' must be one of auto, mid_tread, mid_rise, not 'odd'"),
    ],
)
def test_an_option_out_of_range_is_named(changes, message):
    with pytest.raises(HwquantError, match=message):
        QuantizeOptions(**changes)


def test_options_are_plain_json_values():
    options = QuantizeOptions(bits={"conv": 4}, per_channel=True)
    assert json.loads(json.dumps(options.as_json()))["bits"] == {"conv": 4}


def test_values_reach_every_owner_of_a_name():
    aliases = {"conv": ("conv",), "relu": ("conv", "other"), "other": ("other",), "fc": ("fc",)}
    assert by_owner(3, aliases, "bits", 8) == {"conv": 3, "other": 3, "fc": 3}
    assert by_owner({"relu": 4}, aliases, "bits", 8) == {"conv": 4, "other": 4, "fc": 8}
    with pytest.raises(HwquantError, match="'nothing', which is not in the network; it has conv, relu"):
        by_owner({"nothing": 4}, aliases, "bits", 8)
    with pytest.raises(HwquantError, match="4 at 'conv' and, through 'relu', for 5"):
        by_owner({"conv": 4, "relu": 5}, aliases, "bits", 8)
