"""The host link: packets over a byte stream, from either end; it knows nothing of networks."""

from hwquant.link.flight import Statistics
from hwquant.link.session import Session
from hwquant.link.transport import Link, SerialLink

__all__ = ["Link", "SerialLink", "Session", "Statistics"]
