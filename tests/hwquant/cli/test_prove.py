"""``hwquant prove``: claims of a build's own core."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.build import write_build
from hwquant.program.compiler import compile_network
from hwquant.prove.core import core_claims


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    net = Net(x=(2, 2, 2))
    net.conv("x", 2)
    network = net.build()
    return write_build(network, compile_network(network, (2, 2)), tmp_path_factory.mktemp("prove") / "build")


def test_claims_of_a_core_have_its_parameters_and_names_of_their_own(build):
    config = build.program.config
    names = [claim.name for claim in core_claims(build.program, "wishbone")]
    assert len(set(names)) == len(names)
    (requantizer,) = (name for name in names if name.startswith("Requantizer"))
    assert f"sums of {config.accumulator_bits} bits" in requantizer
    assert f"Collector: {config.columns} columns" in names
    assert any(name.startswith("WishboneAccelerator") for name in names)
    assert not any(name.startswith("AxiAccelerator") for name in names)


def test_the_bus_of_a_core_is_proven(hwquant, build):
    result = hwquant("prove", build.folder, "--only", "AxiAccelerator", "--json").json
    (proof,) = result["proofs"]
    assert result["proven"] == 1
    assert proof["holds"]
    assert proof["unbounded"]
    assert proof["undetected"] == []


def test_a_name_that_no_claim_has_is_an_error_that_lists_them(hwquant, build):
    hwquant("prove", build.folder, "--only", "nothing").fails("no claim has 'nothing' in its name")
