"""A serial port on a USB cable, in gateware: LUNA's full-speed device and PHY, as streams of bytes."""

import warnings
from typing import Any

from amaranth.hdl import Elaboratable, Fragment, Module, ResetInserter, Signal, ValueLike
from amaranth.lib import stream
from amaranth.lib.fifo import AsyncFIFO
from amaranth.lib.wiring import Component, In, Out, Signature

from hwquant.link.protocol import FLAG
from hwquant.link.transport import USB_PRODUCT, USB_VENDOR
from hwquant.packages import load_package
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import KNOWN, Facts, Inside, MemoryShape

PACKET_BYTES = 64
"""Bytes of the largest packet of a bulk endpoint at full speed (USB 2.0, 5.8.3)."""
QUEUE = 16
"""Bytes between the clock domains, in each direction: more than synchronizers take at any two clocks."""

DEVICE = Facts(
    registers={"device": 895},
    redundant={"device": 152},
    gates={KNOWN: 1571},
    memories=[
        *[MemoryShape(4, 8), MemoryShape(4, 2)],
        MemoryShape(128, 10),
        *[MemoryShape(PACKET_BYTES, 8)] * 2,
    ],
)
"""LUNA's device (0.2.3) with its PHY; LUTs besides memories, and what is redundant, as Yosys 0.70 counts for ECP5."""

WIRE = Signature({"i": In(1), "o": Out(1), "oe": Out(1)})
"""One of the two wires of a USB cable, at a buffer that drives it while ``oe``."""


def luna(module: str) -> Any:
    """Import a module of LUNA, which is written with classes that Amaranth will not have for ever.

    Raises
    ------
    MissingPackage
        The package luna-usb is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return load_package(f"luna.gateware.{module}", "luna-usb", "usb", "a USB link")


class UsbSerialPort(Component):
    """A USB device that is a serial port to its host (CDC ACM), at full speed.

    There are two clock domains besides ``sync``: ``usb`` of 12 MHz and ``usb_io`` of 48 MHz, in phase with each other,
    and with ``sync`` in none. What the host sends is acknowledged once there is room for it, so nothing is lost; a
    packet of the link's protocol ends a transfer, so a host gets it at once.

    Throughput: a byte a cycle of ``usb`` into buffers of two packets in each direction; on the cable what the host asks
    for, see :mod:`hwquant.link.rate`.

    Members
    -------
    d_p, d_n : Out(WIRE)
        The wires of the cable.
    pull_up : Out(1)
        Level at the pull-up resistor of D+, by which a host sees that there is a device.
    received : Out(stream.Signature(8, always_ready=True))
        Bytes from the host.
    sent : In(stream.Signature(8))
        Bytes to the host: packets, the end of each marked by two flags.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "d_p": Out(WIRE),
                "d_n": Out(WIRE),
                "pull_up": Out(1),
                "received": Out(stream.Signature(8, always_ready=True)),
                "sent": In(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the device, and the queues between the clock domains."""
        m = Module()
        device = _device(_Bus(self.d_p, self.d_n, self.pull_up))
        # LUNA asks a platform for its own things; it is to find none.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            m.submodules.device = Fragment.get(device, None)
        m.submodules.arriving = arriving = AsyncFIFO(width=8, depth=QUEUE, w_domain="usb", r_domain="sync")
        m.submodules.leaving = leaving = AsyncFIFO(width=9, depth=QUEUE, w_domain="sync", r_domain="usb")
        m.d.comb += [
            arriving.w_data.eq(device.rx.payload),
            arriving.w_en.eq(device.rx.valid),
            device.rx.ready.eq(arriving.w_rdy),
            self.received.payload.eq(arriving.r_data),
            self.received.valid.eq(arriving.r_rdy),
            arriving.r_en.eq(1),
        ]
        flagged = Signal()  # the byte before was the first of the flags at an end
        flag = self.sent.payload == FLAG
        last = flag & flagged
        with m.If(self.sent.valid & self.sent.ready):
            m.d.sync += flagged.eq(flag & ~last)
        m.d.comb += [
            leaving.w_data.eq(self.sent.payload),
            leaving.w_data[8].eq(last),
            leaving.w_en.eq(self.sent.valid),
            self.sent.ready.eq(leaving.w_rdy),
            device.tx.payload.eq(leaving.r_data[:8]),
            device.tx.last.eq(leaving.r_data[8]),
            device.tx.valid.eq(leaving.r_rdy),
            leaving.r_en.eq(device.tx.ready),
            device.connect.eq(1),
        ]
        return m

    @staticmethod
    def facts() -> Facts:
        """The queues, and LUNA's device as a whole: its registers, memories, and LUTs as they were counted."""
        queues = [queue_facts("arriving", 8), queue_facts("leaving", 9)]
        return Facts(registers={"flagged": 1}, inside=[Inside("device", DEVICE), *queues])


def queue_facts(name: str, width: int) -> Inside:
    """A queue of Amaranth's: two counters, binary and Gray, in each domain, a level, and synchronizers."""
    count = index_bits(QUEUE) + 1
    synchronizers = [
        Inside("produce_cdc", Facts(registers={"stages": 2 * count})),
        Inside("consume_cdc", Facts(registers={"stages": 2 * count})),
        Inside("rst_cdc", Facts(registers={"stages": 2})),
    ]
    return Inside(
        name,
        Facts(
            registers={"counters": 5 * count, "level": count, "reset": 1},
            memories=[MemoryShape(QUEUE, width)],
            inside=synchronizers,
        ),
    )


class _Bus:
    """The cable as LUNA wants it: objects with signals ``i``, ``o`` and ``oe``."""

    def __init__(self, d_p: Any, d_n: Any, pull_up: Signal) -> None:
        self.d_p, self.d_n = d_p, d_n
        self.pullup = _Output(pull_up)


class _Output:
    def __init__(self, o: Signal) -> None:
        self.o = o


def _device(bus: _Bus) -> Any:
    """LUNA's serial device; its endpoints begin anew with every reset of the bus, as their host does."""
    acm, usb2 = luna("usb.devices.acm"), luna("usb.usb2.device")
    endpoint = luna("usb.usb2.endpoint")

    class Silent(Elaboratable):
        """The endpoint of a serial port's status, which never changes."""

        def __init__(self, number: int) -> None:
            self.number, self.interface = number, endpoint.EndpointInterface()

        def elaborate(self, platform: object) -> Module:
            m = Module()
            token = self.interface.tokenizer
            asked = token.is_in & token.ready_for_response & (token.endpoint == self.number)
            m.d.comb += self.interface.handshakes_out.nak.eq(asked)
            return m

    def begins_anew(part: type[Any], detected: Signal) -> Any:
        """An endpoint of a class whose registers a reset of the bus resets; LUNA names modules by the classes."""

        class Part(part):  # type: ignore[misc]
            def elaborate(self, platform: object) -> Fragment:
                return ResetInserter({"usb": detected})(Fragment.get(super().elaborate(platform), platform))

        Part.__name__ = part.__name__
        return Part(endpoint_number=acm.USBSerialDevice._DATA_ENDPOINT_NUMBER, max_packet_size=PACKET_BYTES)

    class Device(acm.USBSerialDevice):  # type: ignore[misc, name-defined]
        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.submodules.usb = usb = usb2.USBDevice(bus=self._bus)
            control = usb.add_standard_control_endpoint(self.create_descriptors())
            control.add_request_handler(acm.ACMRequestHandlers())
            control.add_request_handler(acm.StallOnlyRequestHandler(_unknown))
            arriving = begins_anew(acm.USBStreamOutEndpoint, usb.reset_detected)
            leaving = begins_anew(acm.USBStreamInEndpoint, usb.reset_detected)
            for item in (Silent(self._STATUS_ENDPOINT_NUMBER), arriving, leaving):
                usb.add_endpoint(item)
            m.d.comb += [
                *leaving.stream.stream_eq(self.tx),
                *self.rx.stream_eq(arriving.stream),
                usb.connect.eq(self.connect),
            ]
            return m

    return Device(
        bus=bus,
        idVendor=USB_VENDOR,
        idProduct=USB_PRODUCT,
        manufacturer_string="hwquant",
        product_string="hwquant accelerator",
        max_packet_size=PACKET_BYTES,
    )


def _unknown(setup: Any) -> ValueLike:
    """Whether a request is of a kind that a serial port has none of: the vendor's, or reserved."""
    types = luna("usb.devices.acm").USBRequestType
    kind: ValueLike = (setup.type == types.VENDOR) | (setup.type == types.RESERVED)
    return kind
