"""A line with faults, for tests of the link."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwquant.link import Link


@dataclass(frozen=True)
class Faults:
    """What may happen to each byte, in either direction.

    Attributes
    ----------
    corrupt : float, default 0.0
        Chance that a byte is changed, 0..1.
    drop : float, default 0.0
        Chance that a byte is lost, 0..1.
    duplicate : float, default 0.0
        Chance that a byte comes twice, 0..1.
    delay : float, default 0.0
        Chance that a byte, and all that follow it, are late, 0..1.
    seconds : float, default 0.05
        Delay of late bytes, in seconds.
    seed : int, default 0
        Seed of the random choices.
    """

    corrupt: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    seconds: float = 0.05
    seed: int = 0


class FaultyLink(Link):
    """A link that loses, repeats, changes and delays bytes, and never reorders them.

    Parameters
    ----------
    link : Link
        What carries the bytes.
    faults : Faults
        What happens to them.

    Attributes
    ----------
    injected : int
        Number of faults so far.
    """

    def __init__(self, link: Link, faults: Faults) -> None:
        self.name = f"{link.name} (with faults)"
        self.injected = 0
        self._link, self._faults = link, faults
        self._outward, self._inward = np.random.default_rng(faults.seed).spawn(2)
        self._held: deque[tuple[float, bytes]] = deque()

    def write(self, data: bytes) -> None:
        """Send bytes with faults; wait where they are late."""
        for late, part in self._spoil(data, self._outward):
            if late:
                time.sleep(self._faults.seconds)
            self._link.write(part)

    def read(self, timeout: float) -> bytes:
        """Receive bytes with faults.

        Parameters
        ----------
        timeout : float
            Most seconds to wait.

        Returns
        -------
        bytes
            What has come; empty if nothing came in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            if not self._held:
                data = self._link.read(max(0.0, deadline - time.monotonic()))
                due = time.monotonic()
                for late, part in self._spoil(data, self._inward):
                    due += self._faults.seconds * late
                    self._held.append((due, part))
            if self._held and self._held[0][0] <= deadline:
                due, part = self._held.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                return part
            time.sleep(max(0.0, min([deadline, *(due for due, _ in self._held)]) - time.monotonic()))
            if time.monotonic() >= deadline:
                return b""

    def close(self) -> None:
        """Close the link that carries the bytes."""
        self._link.close()

    def _spoil(self, data: bytes, rng: np.random.Generator) -> Iterator[tuple[bool, bytes]]:
        """What arrives of the bytes, in parts, each with whether it is late; no part is empty."""
        faults = self._faults
        rates = (faults.corrupt, faults.drop, faults.duplicate, faults.delay)
        draws = rng.random((len(data), len(rates) + 1))
        hits = draws[:, :-1] < rates
        self.injected += int(hits.sum())
        late, part = False, bytearray()
        for byte, (corrupt, drop, duplicate, delay), draw in zip(data, hits.tolist(), draws[:, -1].tolist()):
            if delay:
                if part:
                    yield late, bytes(part)
                late, part = True, bytearray()
            if not drop:
                part += bytes([byte ^ (1 + int(255 * draw)) if corrupt else byte]) * (2 if duplicate else 1)
        if part:
            yield late, bytes(part)
