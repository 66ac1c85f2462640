"""What is claimed of the components is proven, and no claim holds for want of what it says."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.compiler import compile_network
from hwquant.prove.claims import CLAIMS
from hwquant.prove.core import core_claims
from hwquant.prove.harness import Harness
from hwquant.prove.prover import prove
from hwquant.random_networks.families import random_case
from hwquant.random_networks.features import Features

QUICK = (
    "SoftProduct: 5 x 3 bits, 2 stages",
    "PackedProduct: 4 x 3 bits twice, in an operand of 8",
    "Requantizer: sums of 20 bits, shifts of 3, at least 4, 8 bits",
    "StreamQueue",
)
"""Those that take about a second; the others are nightly."""


def test_claims_have_names_of_their_own():
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)


def proven(claim):
    proof = prove(claim)
    assert proof.holds
    assert proof.undetected == ()
    assert proof.damaged > 0
    assert proof.counts


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.name in QUICK], ids=lambda claim: claim.name)
def test_it_is_proven_and_each_damaged_register_is_found_out(claim):
    proven(claim)


@pytest.mark.nightly
@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.name not in QUICK], ids=lambda claim: claim.name)
def test_the_others_are_too(claim):
    proven(claim)


def with_tables():
    features = Features(block=(2, 2), offsets=False, per_channel=False, tables=1.0)
    return random_case(features, 1, 1, {"size": (2, 5), "channels": (1, 5), "layers": (1, 2)})[0]


def with_products():
    net = Net(x=(2, 3, 3))
    net.product(net.conv("x", 2), net.conv("x", 2))
    return net.build()


@pytest.mark.parametrize(("network", "part"), [(with_tables, "tables"), (with_products, "product_bits")])
def test_all_claims_of_a_core_are_built(network, part):
    program = compile_network(network(), (2, 2))
    assert getattr(program.config, part)
    for claim in core_claims(program, "none"):
        harness = Harness()
        claim.build(harness)
        assert harness.rtlil()


@pytest.mark.parametrize(
    ("array", "multiplier"),
    [((2, 2, 2), None), pytest.param((2, 2), 5, marks=pytest.mark.nightly)],
    ids=["of each array", "with multipliers"],
)
def test_the_maximum_of_a_core_is_proven(array, multiplier):
    net = Net(x=(2, 8, 8))
    net.conv("x", 2, bits=2, multiplier=multiplier)
    program = compile_network(net.build(), array)
    assert (program.config.arrays, program.config.multiplier_bits > 0) == (len(array) - 1, bool(multiplier))
    (claim,) = (claim for claim in core_claims(program, "none") if claim.name.startswith("Collector"))
    proven(claim)


@pytest.mark.nightly
def test_the_maximum_behind_tables_is_proven():
    program = compile_network(with_tables(), (2, 3))
    assert program.config.tables
    (claim,) = (claim for claim in core_claims(program, "none") if claim.name.startswith("Collector"))
    assert "its table gave" in claim.statement
    proven(claim)
