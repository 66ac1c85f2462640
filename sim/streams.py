"""Both ends of a valid/ready stream, for cocotb.

All coroutines begin and end at a falling edge of the clock: they drive there, and look once everything has
settled, so that a word moves at the rising edge that follows if valid and ready are both high then. While
nothing can move they wait for the other side's change instead of counting clocks: that is what makes long
computations fast to simulate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly, ValueChange

from hwquant.sim.recorder import Recorder
from hwquant.sim.trace import Pattern


def defined(signal: Any) -> int:
    """The value of a signal; some simulators know that a bit is neither 0 nor 1, which is an error here."""
    value = signal.value
    assert value.is_resolvable, f"{signal._name} is undefined: {value}"
    return int(value)


class Port:
    """Signals of a stream, ``{name}__valid``, ``{name}__ready`` and ``{name}__payload``, and its pauses.

    Parameters
    ----------
    dut : cocotb handle
        Module of the testbench.
    name : str
        Name of the stream.
    cycle : callable
        Gives the number of the clock cycle that has just begun.
    pauses : ndarray of bool
        Whether the host pauses in a cycle; see :class:`~hwquant.sim.trace.Stalls`.

    Attributes
    ----------
    latest : int
        The cycle after that in which a word last moved.
    """

    def __init__(self, dut: Any, name: str, cycle: Callable[[], int], pauses: Pattern):
        self.clock = dut.clk
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")
        self.cycle = cycle
        self.latest = 0
        self._pauses = pauses.tolist() if pauses.any() else []

    def paused(self) -> bool:
        """Whether the host pauses in this cycle."""
        return bool(self._pauses) and self._pauses[self.cycle() % len(self._pauses)]


class Source(Port):
    """The driver of a stream: it offers words.

    Attributes
    ----------
    sent : list of tuple of (int, int)
        Cycles in which each word was first offered and was taken.
    """

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.sent: list[tuple[int, int]] = []

    async def send(self, words: list[int]) -> None:
        """Offer the words one after the other, each until it is taken."""
        for word in words:
            while self.paused():
                self.valid.value = 0
                await FallingEdge(self.clock)
            offered = taken = self.cycle()
            self.payload.value = word
            self.valid.value = 1
            await ReadOnly()
            while not defined(self.ready):
                await ValueChange(self.ready)
                await FallingEdge(self.clock)
                taken = self.cycle()
                await ReadOnly()
            self.sent.append((offered, taken))
            self.latest = taken + 1
            await FallingEdge(self.clock)
        self.valid.value = 0

    def reset(self) -> None:
        """Withdraw what is offered, and forget what was."""
        self.valid.value = 0
        self.latest = 0
        self.sent.clear()


class Sink(Port):
    """The receiver of a stream: it accepts words.

    Attributes
    ----------
    seen : Recorder
        Everything that was offered.
    """

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.seen = Recorder()

    async def receive(self) -> int:
        """Receive the next word.

        Ready stays as it is afterwards: the next word may follow in the next cycle.
        """
        while True:
            ready = not self.paused()
            self.ready.value = int(ready)
            await ReadOnly()
            if defined(self.valid):
                word = defined(self.payload)
                self.seen.see(self.cycle(), word, ready)
                if ready:
                    self.latest = self.cycle() + 1
                    await FallingEdge(self.clock)
                    return word
            elif not self._pauses:
                await ValueChange(self.valid)
            await FallingEdge(self.clock)

    def reset(self) -> None:
        """Refuse words until the next :meth:`receive`, and forget those that came."""
        self.ready.value = 0
        self.latest = 0
        self.seen.clear()
