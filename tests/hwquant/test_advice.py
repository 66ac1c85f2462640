"""What a user is told: plain values, and nothing that a file made up."""

import json

import pytest

from hwquant.advice import Advice, of_data, of_options, to_json
from hwquant.errors import Damaged

LOW = Advice("low_sqnr", "conv", "layer 'conv' is noise", "--bits", 3.5)
FEW = Advice("few_samples", "x", "two samples")


def test_advice_survives_json():
    options = {"warnings": json.loads(json.dumps(to_json([LOW, FEW])))}
    assert of_options(options) == (LOW, FEW)
    assert of_data(options) == (FEW,)
    assert str(LOW) == "layer 'conv' is noise"


def test_networks_of_older_versions_have_no_advice():
    assert of_options({}) == ()


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        "text",
        ["text"],
        [{"kind": "low_sqnr"}],
        [{**LOW.to_json(), "more": 1}],
        [{**LOW.to_json(), "message": 1}],
        [{**LOW.to_json(), "value": "3"}],
    ],
)
def test_advice_that_the_quantizer_does_not_write_is_damage(content):
    with pytest.raises(Damaged, match="warnings"):
        of_options({"warnings": content})
