"""A whole board at a USB cable, bit by bit, with a host of others' making: enumeration, frames, accidents, rates."""

import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hwquant_testing.small_networks import cable_network, images

from hwquant.driver import connect
from hwquant.errors import MissingPackage
from hwquant.golden import run as golden
from hwquant.link.protocol import LARGE
from hwquant.link.rate import Line, link_time
from hwquant.link.transport import USB_PRODUCT, USB_VENDOR
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.rtl_templates import usb
from hwquant.sim.usb_bench import UsbBench

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed"),
    pytest.mark.skipif(find_spec("luna") is None, reason="luna-usb is not installed"),
]
HERTZ = 48e6
ADDRESS = 5
DEVICE, CONFIGURATION, STRING = 1, 2, 3
TIMEOUT = 0.01
"""Seconds of silence on the cable: two windows of requests take half of it."""


@pytest.fixture(scope="module")
def network():
    return cable_network()


@pytest.fixture(scope="module")
def program(network):
    return compile_network(network, (2, 2))


@pytest.fixture
def plugged(program):
    """What plugs a board into a host: one whose clock has a frequency, and is off by parts of it."""
    from hwquant_testing.usb_host import Host

    benches = []

    def plug(hertz=HERTZ, offset=0.0):
        benches.append(UsbBench(program, hertz))
        host = Host(benches[-1])
        host.offset = offset
        host.idle(100)
        return host

    yield plug
    for bench in benches:
        bench.close()


def enumerated(host, **options):
    from hwquant_testing.usb_host import UsbLink

    host.reset()
    host.do(host.get_descriptor(DEVICE, length=8))
    host.do(host.set_address(ADDRESS))
    assert host.address == ADDRESS
    host.do(host.set_configuration(1))
    return UsbLink(host, **options)


def opened(link, network, program):
    return connect(link, network, program, timeout=TIMEOUT, clock=link.clock)


def equal(result, expected):
    return all(np.array_equal(result[name], expected[name]) for name in expected)


def test_a_host_finds_a_serial_port(plugged):
    from hwquant_testing.usb_host import USBPacketID
    from usb_protocol.types.descriptors import (
        ConfigurationDescriptor,
        DeviceDescriptor,
        EndpointDescriptor,
        InterfaceDescriptor,
        StringDescriptor,
    )

    host = plugged()
    host.reset()
    _, data = host.do(host.get_descriptor(DEVICE, length=18))
    device = DeviceDescriptor.parse(bytes(data))
    assert (device.idVendor, device.idProduct, device.bMaxPacketSize0) == (USB_VENDOR, USB_PRODUCT, 64)
    host.do(host.set_address(ADDRESS))
    _, head = host.do(host.get_descriptor(CONFIGURATION, length=9))
    total = ConfigurationDescriptor.parse(bytes(head)).wTotalLength
    _, tail = host.do(host.get_descriptor(CONFIGURATION, length=total))
    rest, found = bytes(tail), []
    kinds = {4: InterfaceDescriptor, 5: EndpointDescriptor}
    parts = []
    while rest:
        parts.append(rest[: rest[0]])
        rest = rest[rest[0] :]
    found = [kinds[part[1]].parse(part) for part in parts if part[1] in kinds]
    interfaces = [item.bInterfaceClass for item in found if item.bDescriptorType == 4]
    assert interfaces == [2, 10], "a communication device, and its data"
    endpoints = [(item.bEndpointAddress, item.wMaxPacketSize) for item in found if item.bDescriptorType == 5]
    assert endpoints == [(0x83, 64), (0x84, 64), (0x04, 64)]
    _, text = host.do(host.get_descriptor(STRING, index=device.iProduct, length=255))
    assert StringDescriptor.parse(bytes(text)).bString == "hwquant accelerator"
    host.do(host.set_configuration(1))
    assert host.do(host.get_configuration())[1] == [1]
    line_coding = (0x80, 0x25, 0, 0, 0, 0, 8)
    assert host.do(host.control_request_out(0x21, 0x20, data=line_coding)) == USBPacketID.DATA1
    assert host.do(host.control_request_out(0x21, 0x22)) == USBPacketID.STALL, "no line to control"
    assert host.do(host.control_request_in(0xC0, 1, length=4))[0] == USBPacketID.STALL, "the vendor's"


@pytest.mark.parametrize(
    ("hertz", "offset"),
    [(HERTZ, 0.0), (25e6, 0.0025), (97.3e6, -0.0025)],
)
def test_frames_through_the_cable_are_those_of_the_golden_model(network, program, plugged, hertz, offset):
    """The clock of the core is anything, that of the host off by as much as it may be (USB 2.0, 7.1.11)."""
    link = enumerated(plugged(hertz, offset))
    q = images(network, 4)
    connection = opened(link, network, program)
    assert equal(connection.run(q), golden(network, q))
    assert connection.cycles() == timing(program).cycles
    assert connection.statistics.losses == 0


@pytest.mark.parametrize("seed", [1, 2, pytest.param(range(3, 20), marks=pytest.mark.nightly)])
def test_what_is_damaged_or_lost_on_the_cable_comes_again(network, program, plugged, seed):
    """Tokens, data and acknowledgements, in both directions: USB repeats, and the link above sees nothing of it."""
    for number in [seed] if isinstance(seed, int) else seed:
        link = enumerated(plugged(), faults=0.05, pauses=0.05, seed=number)
        q = images(network, 6)
        connection = opened(link, network, program)
        assert equal(connection.run(q), golden(network, q)), f"seed {number}"
        assert link.injected > 10
        assert connection.statistics.losses == 0, f"seed {number}"


def test_a_board_that_is_plugged_in_again_goes_on(network, program, plugged):
    """The host died within a transfer: another one resets the bus, and both begin with the same toggles."""
    host = plugged()
    link = enumerated(host)
    q = images(network, 2)
    assert equal(opened(link, network, program).run(q), golden(network, q))
    for packets in (1, 2):
        link.write(bytes(64) * packets)
        link.read(1e-4)
        link = enumerated(host)
        connection = opened(link, network, program)
        assert equal(connection.run(q), golden(network, q))
        assert connection.statistics.timeouts == 0


def test_the_cable_is_as_fast_as_the_rate_of_its_link_says(network, program, plugged):
    """No faster, and slower by what is escaped and stuffed, and by the first frame's way there and back."""
    frames = 20
    link = enumerated(plugged())
    connection = opened(link, network, program)
    connection.run(images(network, 12))  # packets grow until they are as large as they may be
    begin = link.clock()
    connection.run(images(network, frames))
    taken = link.clock() - begin
    assert connection.statistics.retries == connection.statistics.busy == 0
    found = link_time(*program.frame_sizes, Line.usb(0.0, LARGE))
    core = timing(program).cycles / HERTZ
    period = found.period(core)
    assert frames * period <= taken <= 1.05 * frames * period + found.to_board + core + found.from_board


def test_without_luna_the_error_names_the_extra(monkeypatch):
    class Absent:
        def find_spec(self, name, *_):
            if name == "luna":
                raise ModuleNotFoundError(name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "luna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(MissingPackage, match=r"a USB link needs .*pip install 'hwquant\[usb\]'"):
        usb.luna("usb.devices.acm")
