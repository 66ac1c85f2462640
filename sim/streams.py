"""Both ends of a valid/ready stream, for cocotb.

All coroutines begin and end at a falling edge of the clock: they drive there, and look once everything has
settled, so that a word moves at the rising edge that follows if valid and ready are both high then. While
nothing can move they wait for the other side's edge instead of counting clocks: that is what makes long
computations fast to simulate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge


class Source:
    """Driver: offers words.

    Parameters
    ----------
    dut, name : the stream's signals are ``{name}__valid``, ``{name}__ready`` and ``{name}__payload``
    pauses : for each cycle in which a word could be offered, whether it is withheld; None: never
    """

    def __init__(self, dut: Any, name: str, pauses: Iterator[bool] | None = None):
        self.clock = dut.clk
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")
        self.pauses = pauses
        self.moved = 0

    async def send(self, words: list[int]) -> None:
        """Offers the words one after the other until each is taken."""
        for word in words:
            while self.pauses and next(self.pauses):
                self.valid.value = 0
                await FallingEdge(self.clock)
            self.payload.value = word
            self.valid.value = 1
            await ReadOnly()
            while not self.ready.value:
                await RisingEdge(self.ready)
                await FallingEdge(self.clock)
                await ReadOnly()
            await FallingEdge(self.clock)
            self.moved += 1
        self.valid.value = 0

    def stop(self) -> None:
        """Withdraws what is offered (around a reset only: a stream does not allow it)."""
        self.valid.value = 0


class Sink:
    """Monitor of the other end: accepts words, and checks that the source keeps the stream's rules.

    Parameters
    ----------
    pauses : for each cycle, whether words are refused; None: never
    """

    def __init__(self, dut: Any, name: str, pauses: Iterator[bool] | None = None):
        self.clock = dut.clk
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.payload = getattr(dut, f"{name}__payload")
        self.pauses = pauses
        self.moved = 0

    async def receive(self) -> int:
        """The next word. Ready stays as it is afterwards: the next word may follow in the next cycle."""
        offered: int | None = None
        while True:
            ready = not (self.pauses and next(self.pauses))
            self.ready.value = int(ready)
            await ReadOnly()
            if self.valid.value:
                word = int(self.payload.value)
                assert offered in (None, word), f"the offered word changed from {offered:#x} to {word:#x}"
                if ready:
                    await FallingEdge(self.clock)
                    self.moved += 1
                    return word
                offered = word
            else:
                assert offered is None, f"the offered word {offered:#x} was withdrawn"
                if self.pauses is None:
                    await RisingEdge(self.valid)
            await FallingEdge(self.clock)

    def stop(self) -> None:
        """Refuses words until the next :meth:`receive`."""
        self.ready.value = 0
