"""A coordinate of the packer."""

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts


class Axis(Component):
    """A coordinate of the packer: where it is in an input with its padding.

    Parameters
    ----------
    size : int
        Positions, padding included.
    first : int
        The first position inside the input.
    length : int
        Positions inside it.
    last : int
        The position that completes the last window.
    stride : int
        Positions from one complete window to the next.
    windows : int
        Number of windows.

    Members
    -------
    begin : In(1)
        Go to position 0.
    step : In(1)
        Go to the next position, or from the last one to 0.
    position : Out(index_bits(size))
        The position.
    wraps : Out(1)
        It is the last one.
    inside : Out(1)
        It is inside the input.
    ends : Out(1)
        It is the input's last one.
    due : Out(1)
        It completes a window.
    """

    def __init__(self, size: int, first: int, length: int, last: int, stride: int, windows: int):
        self._size, self._first, self._length = size, first, length
        self._last, self._stride = last, stride
        self._due = last - (windows - 1) * stride
        super().__init__(
            {
                "begin": In(1),
                "step": In(1),
                "position": Out(index_bits(size)),
                "wraps": Out(1, init=size == 1),
                "inside": Out(1, init=first == 0),
                "ends": Out(1, init=first + length == 1),
                "due": Out(1, init=self._due == 0),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the counter of positions, and that of positions until a window is complete."""
        m = Module()
        size, first, end = self._size, self._first, self._first + self._length - 1
        position, inside = self.position, self.inside
        wait = Signal(range(size + 1), init=self._due)
        # What is said of a position is a register: long paths lead from it to all that takes the step.
        begin = [position.eq(0), inside.eq(first == 0), wait.eq(self._due)]
        begin += [self.wraps.eq(size == 1), self.ends.eq(end == 0), self.due.eq(self._due == 0)]
        with m.If(self.begin | (self.step & self.wraps)):
            m.d.sync += begin
        with m.Elif(self.step):
            m.d.sync += [position.eq(position + 1), wait.eq(wait - 1), self.due.eq(wait == 1)]
            m.d.sync += [self.wraps.eq(position == size - 2), self.ends.eq(position == end - 1)]
            with m.If(self.due):
                m.d.sync += [wait.eq(self._stride - 1), self.due.eq(self._stride == 1)]
            with m.If(position == self._last):
                m.d.sync += [wait.eq(size), self.due.eq(0)]  # none is due before the end
            with m.If(self.ends):
                m.d.sync += inside.eq(0)
            if first:
                with m.If(position == first - 1):
                    m.d.sync += inside.eq(1)
        return m

    @staticmethod
    def facts(size: int) -> Facts:
        """The position, whether it is inside, and how far it is to a window."""
        bits = index_bits(size), index_bits(size + 1)
        return Facts(
            registers={"position": bits[0], "marks": 4, "wait": bits[1]},
            adders={"position": bits[0], "wait": bits[1]},
            gates={"control": 1},
        )
