"""What can differ between a simulation and the golden model, each as one readable line."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.sim.trace import Breach


@dataclass(frozen=True)
class Mismatch:
    """A wrong value.

    Attributes
    ----------
    sample : int
        Number of the sample.
    layer : str
        Name of the layer whose output it is.
    y : int
        Row of the pixel.
    x : int
        Column of the pixel.
    channel : int
        Number of the channel.
    expected : int
        Value of the golden model.
    got : int
        Value of the hardware.
    """

    sample: int
    layer: str
    y: int
    x: int
    channel: int
    expected: int
    got: int

    def __str__(self) -> str:
        where = f"sample {self.sample}, layer {self.layer!r}, y {self.y}, x {self.x}, channel {self.channel}"
        return f"{where}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class WriteMismatch:
    """A write of a layer's output that is missing, in the wrong place, or too many.

    Attributes
    ----------
    sample : int
        Number of the sample.
    layer : str
        Name of the layer.
    index : int
        Number of the write among those of the layer.
    expected : tuple of (int, int) or None
        Address and enabled write groups that are due; None for no write.
    got : tuple of (int, int) or None
        Address and enabled write groups of the hardware's write; None for no write.
    """

    sample: int
    layer: str
    index: int
    expected: tuple[int, int] | None
    got: tuple[int, int] | None

    def __str__(self) -> str:
        place = [
            "no write" if item is None else f"a write to address {item[0]}, groups {item[1]:b}"
            for item in (self.expected, self.got)
        ]
        where = f"sample {self.sample}, layer {self.layer!r}, write {self.index}"
        return f"{where}: expected {place[0]}, got {place[1]}"


@dataclass(frozen=True)
class CycleMismatch:
    """A wrong count of cycles.

    Attributes
    ----------
    sample : int
        Number of the sample.
    count : str
        What is counted: ``"inference"``, or ``"frame period"``, from one frame's end to the next one's.
    expected : int
        Cycles of the cycle model.
    got : int
        Cycles of the hardware.
    """

    sample: int
    count: str
    expected: int
    got: int

    def __str__(self) -> str:
        return f"sample {self.sample}: {self.count}: expected {self.expected} cycles, got {self.got}"


@dataclass(frozen=True)
class MissingResult:
    """A result that did not come, because the hardware stopped before.

    Attributes
    ----------
    sample : int
        Number of the sample.
    patience : int
        Cycles in which no word moved.
    """

    sample: int
    patience: int

    def __str__(self) -> str:
        return f"sample {self.sample}: no result: the hardware stopped (no word moved for {self.patience} cycles)"


Difference = Mismatch | WriteMismatch | CycleMismatch | MissingResult | Breach
