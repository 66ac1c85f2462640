"""A whole board at an RGMII PHY, with a host of others' making: datagrams, accidents, rates."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from hwquant_testing.small_networks import cable_network, images

from hwquant.driver import connect
from hwquant.golden import run as golden
from hwquant.link.protocol import LARGE
from hwquant.link.rate import Line, link_time
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.rtl_templates.ethernet import NET_HZ, Addresses
from hwquant.sim.ethernet_bench import EthernetBench

pytestmark = [
    pytest.mark.nightly,  # compiling LiteEth's core takes a minute
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed"),
    *(
        pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
        for name in ("liteeth", "pyosys", "scapy")
    ),
]
HERTZ = 100e6
TIMEOUT = 5e-4
"""Seconds of silence: a window of requests takes 30 microseconds."""
ADDRESSES = Addresses()


@pytest.fixture(scope="module")
def network():
    return cable_network()


@pytest.fixture(scope="module")
def program(network):
    return compile_network(network, (2, 2))


@pytest.fixture
def plugged(program):
    from hwquant_testing.ethernet_host import NetworkLink

    links = []

    def plug(hertz=HERTZ, **options):
        links.append(NetworkLink(EthernetBench(program, hertz, ADDRESSES), ADDRESSES.ip, **options))
        return links[-1]

    yield plug
    for link in links:
        link.close()


def opened(link, network, program):
    return connect(link, network, program, timeout=TIMEOUT, clock=link.clock)


def equal(result, expected):
    return all(np.array_equal(result[name], expected[name]) for name in expected)


@pytest.mark.parametrize("hertz", [HERTZ, 23.1e6, 133.7e6])
def test_frames_through_the_network_are_those_of_the_golden_model(network, program, plugged, hertz):
    link = plugged(hertz)
    q = images(network, 8)
    connection = opened(link, network, program)
    assert equal(connection.run(q), golden(network, q))
    assert connection.cycles() == timing(program).cycles
    assert connection.statistics.losses == 0


@pytest.mark.parametrize("seed", range(6))
def test_what_a_network_does_to_datagrams_changes_no_result(network, program, plugged, seed):
    """Lost, repeated, in another order, changed."""
    link = plugged(faults=0.05, seed=seed)
    q = images(network, 30)
    connection = opened(link, network, program)
    assert equal(connection.run(q), golden(network, q)), f"seed {seed}"
    assert link.injected > 5
    assert connection.statistics.retries > 0


def test_the_network_is_as_fast_as_the_rate_of_its_link_says(network, program, plugged):
    """No faster, and slower by what is escaped and by the way through the core's queues."""
    frames = 40
    link = plugged()
    connection = opened(link, network, program)
    connection.run(images(network, 12))  # packets grow until they are as large as they may be
    begin = link.clock()
    connection.run(images(network, frames))
    taken = link.clock() - begin
    assert connection.statistics.retries == connection.statistics.busy == 0
    found = link_time(*program.frame_sizes, Line.ethernet(NET_HZ, 0.0, LARGE))
    period = found.period(timing(program).cycles / HERTZ)
    assert frames * period <= taken <= 2 * frames * period
