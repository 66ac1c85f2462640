"""What can differ between a simulation and the golden model, each as one readable line."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.sim.trace import Breach


@dataclass(frozen=True)
class Mismatch:
    """A wrong value."""

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

    ``index`` counts the layer's writes. ``expected`` and ``got`` are (address, enable), or None for no write.
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
    """A wrong count of cycles: of an inference, or from one frame's end to the next one's."""

    sample: int
    count: str
    expected: int
    got: int

    def __str__(self) -> str:
        return f"sample {self.sample}: {self.count}: expected {self.expected} cycles, got {self.got}"


@dataclass(frozen=True)
class MissingResult:
    """The hardware stopped before this sample's result: for so many cycles no word moved."""

    sample: int
    patience: int

    def __str__(self) -> str:
        return f"sample {self.sample}: no result: the hardware stopped (no word moved for {self.patience} cycles)"


Difference = Mismatch | WriteMismatch | CycleMismatch | MissingResult | Breach
