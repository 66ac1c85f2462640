"""What a component is made of, whatever the device: said beside its ``elaborate``, in a function ``facts``.

Registers, delays, memories and products are those of the netlist that Amaranth makes, to the bit; a test counts them.
Adders, multiplexers and gates are what a reader of the component would count, for estimates. What a family makes of
all that, and what its synthesis leaves out, is known in :mod:`hwquant.boards`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Image = Literal["program", "weights", "parameters"]
"""A read-only memory's contents, one of :attr:`hwquant.rtl_templates.core.Accelerator.images`."""


class Delay(NamedTuple):
    """Registers one behind the other, of which nothing reads any but the last."""

    width: int
    cycles: int


class MemoryShape(NamedTuple):
    """A memory with one read port, registered.

    Attributes
    ----------
    depth : int
        Words.
    width : int
        Bits of a word.
    writes : int
        Write ports; a memory without one is a table.
    image : Image or None
        What it holds from the start, or is sent by the host; None: nothing.
    """

    depth: int
    width: int
    writes: int = 1
    image: Image | None = None


class Product(NamedTuple):
    """A signed multiplication that is left to synthesis, or is a DSP block already."""

    a_bits: int
    b_bits: int


@dataclass(frozen=True)
class Inside:
    """Submodules of a component that are alike, and have one name but for their indices."""

    name: str
    facts: Facts
    count: int = 1


@dataclass(frozen=True)
class Facts:
    """What a component is made of, what is ``inside`` apart.

    Attributes
    ----------
    registers : Mapping[str, int]
        Bits of flip-flops, by what they hold.
    redundant : Mapping[str, int]
        How many of these no synthesis keeps: nothing reads them, or another register always holds the same.
    delays : Sequence[Delay]
        Further flip-flops.
    adders : Mapping[str, int]
        Bits of adders, subtracters, counters and comparisons, by what they do.
    muxes : Mapping[str, int]
        Bits of multiplexers of two inputs.
    gates : Mapping[str, int]
        Bits of other logic; "control" is 1 where there is some of a fixed size.
    memories : Sequence[MemoryShape]
        Its memories.
    products : Sequence[Product]
        Its multiplications.
    inside : Sequence[Inside]
        Its submodules.
    """

    registers: Mapping[str, int] = field(default_factory=dict)
    redundant: Mapping[str, int] = field(default_factory=dict)
    delays: Sequence[Delay] = ()
    adders: Mapping[str, int] = field(default_factory=dict)
    muxes: Mapping[str, int] = field(default_factory=dict)
    gates: Mapping[str, int] = field(default_factory=dict)
    memories: Sequence[MemoryShape] = ()
    products: Sequence[Product] = ()
    inside: Sequence[Inside] = ()

    @property
    def flip_flops(self) -> int:
        """Bits of its own flip-flops."""
        return sum(self.registers.values()) + sum(width * cycles for width, cycles in self.delays)

    def walk(self, path: str = "", count: int = 1) -> Iterator[tuple[str, int, Facts]]:
        """This component and all within: dotted path, how many there are, and facts of each."""
        yield path, count, self
        for item in self.inside:
            yield from item.facts.walk(f"{path}.{item.name}".lstrip("."), count * item.count)
