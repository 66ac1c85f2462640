from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.quantize.formats import Scale

SETTINGS = settings(deadline=None, derandomize=True)


@SETTINGS
@given(st.floats(1e-12, 1e12))
def test_scale_is_mantissa_and_exponent(value):
    scale = Scale.of(value)
    assert scale.value == value
    assert 1 <= scale.mantissa < 2
