"""The byte stream under the protocol."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Any

from hwquant.errors import HwquantError
from hwquant.link.protocol import packets
from hwquant.packages import load_package

BAUD = 1_000_000
"""The rate where it does not matter, as the port is no serial line: a simulated board's, or one of USB alone."""
USB_VENDOR, USB_PRODUCT = 0x1209, 0x0001
"""The numbers by which a host knows a board at a USB cable of its own: pid.codes' for tests and private use."""
UDP_PORT = 5005
"""The UDP port of a board on a network."""
DATAGRAM = 1400
"""Most bytes that the host puts into a datagram, which no network on the way then cuts."""
WRITE_TIMEOUT = 5.0
"""Seconds after which a port that takes no bytes has failed."""


class Link(ABC):
    """A stream of bytes in each direction. It may lose, repeat, change and delay bytes."""

    name: str
    """What messages call it, such as the port."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises
        ------
        HwquantError
            The device is gone.
        """

    @abstractmethod
    def read(self, timeout: float) -> bytes:
        """Wait for bytes, and return all that have arrived; none after ``timeout`` seconds.

        Raises
        ------
        HwquantError
            The device is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the device; a second time does nothing."""

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def usb_port() -> str:
    """The serial port of the one board that is at a USB cable of its own.

    Raises
    ------
    MissingPackage
        The package pyserial is not installed.
    HwquantError
        There is no such board, or there are several.
    """
    ports: Any = load_package("serial.tools.list_ports", "pyserial", "link", "a serial port")
    found = sorted(
        item.device for item in ports.comports() if (item.vid, item.pid) == (USB_VENDOR, USB_PRODUCT)
    )
    if not found:
        raise HwquantError(
            f"no USB device has the numbers {USB_VENDOR:04x}:{USB_PRODUCT:04x} of a board; connect the USB port that "
            "leads to the FPGA, and program the board"
        )
    if len(found) > 1:
        raise HwquantError(f"several boards are connected ({', '.join(found)}); say with --port which")
    return str(found[0])


class UdpLink(Link):
    """Datagrams to a board on a network: they may be lost, repeated, and come in another order.

    Parameters
    ----------
    host : str
        Name or address of the board.
    port : int, default UDP_PORT
        Its UDP port.

    Raises
    ------
    HwquantError
        There is no such host.
    """

    def __init__(self, host: str, port: int = UDP_PORT) -> None:
        self.name = f"udp://{host}:{port}"
        try:
            ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM
            )
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        except OSError as error:
            raise HwquantError(f"there is no way to {self.name}: {error}; check name and network") from error

    def write(self, data: bytes) -> None:
        """Send bytes, whole packets to a datagram where they fit; see :meth:`Link.write`."""
        datagram = b""
        for packet in packets(data):
            if len(datagram) + len(packet) > DATAGRAM and datagram:
                self._send(datagram)
                datagram = b""
            datagram += packet
        if datagram:
            self._send(datagram)

    def read(self, timeout: float) -> bytes:
        """Wait for a datagram; see :meth:`Link.read`."""
        self._socket.settimeout(max(timeout, 1e-6))
        try:
            return self._socket.recv(1 << 16)
        except TimeoutError:
            return b""
        except ConnectionRefusedError:  # nobody is there yet: as good as a loss
            return b""
        except OSError as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except ConnectionRefusedError:  # what was sent before has met nobody
            return
        except OSError as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> HwquantError:
        return HwquantError(f"the network to {self.name} has failed: {error}; connect the board again")


class SerialLink(Link):
    """A serial port, 8N1, through pyserial.

    The driver is asked to hand bytes on at once: FTDI's would wait 16 ms for more of them.

    Parameters
    ----------
    port : str
        Name of the port, such as /dev/ttyUSB0 or COM3.
    baud : int, default BAUD
        Rate in bit/s that the board was built for, which its report says.

    Raises
    ------
    MissingPackage
        The package pyserial is not installed.
    HwquantError
        The port cannot be opened, or another process has it.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        serial: Any = load_package("serial", "pyserial", "link", "a serial port")
        self.name = port
        # TypeError is pyserial's where a port closes meanwhile, ValueError where it does not know the rate.
        self._broken: tuple[type[Exception], ...] = (OSError, ValueError, TypeError, serial.SerialException)
        try:
            self._serial = serial.Serial(port, baud, exclusive=True, write_timeout=WRITE_TIMEOUT)
        except self._broken as error:
            reason = " ".join(str(error).split())
            raise HwquantError(
                f"cannot open the port {port}: {reason}; is the board connected, and nobody else using it?"
            ) from error
        if hasattr(self._serial, "set_low_latency_mode"):  # Linux alone has it
            with suppress(ValueError):  # and not every driver: then bytes come when they come
                self._serial.set_low_latency_mode(True)

    def write(self, data: bytes) -> None:
        """Send bytes; see :meth:`Link.write`."""
        try:
            self._serial.write(data)
        except self._broken as error:
            raise self._gone(error) from error

    def read(self, timeout: float) -> bytes:
        """Wait for bytes; see :meth:`Link.read`."""
        try:
            self._serial.timeout = timeout
            first: bytes = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else first
        except self._broken as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Close the port."""
        self._serial.close()

    def _gone(self, error: Exception) -> HwquantError:
        return HwquantError(f"the port {self.name} has failed: {error}; connect the board again")
