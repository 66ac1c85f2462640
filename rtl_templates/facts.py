"""What a component is made of, whatever the device: said beside its ``elaborate``, in a function ``facts``.

Registers, delays, memories and products are those of the netlist that Amaranth makes, to the bit; a test counts them.
Adders, multiplexers and gates are what a reader of the component would count, for estimates. What a family makes of
all that, and what its synthesis leaves out, is known in :mod:`hwquant.boards`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Image = Literal["program", "weights", "parameters", "tables"]
"""A read-only memory's contents, one of :attr:`hwquant.rtl_templates.core.Accelerator.images`."""

KNOWN = "known"
"""Name of what is counted in LUTs already."""


class Delay(NamedTuple):
    """Registers one behind the other, of which nothing reads any but the last.

    Attributes
    ----------
    width : int
        Bits of each register.
    cycles : int
        Number of registers.
    """

    width: int
    cycles: int


class MemoryShape(NamedTuple):
    """A memory with registered read ports.

    Attributes
    ----------
    depth : int
        Number of words.
    width : int
        Bits of a word.
    writes : int, default 1
        Number of write ports; a memory without one is a table.
    image : Image or None, default None
        What it holds from the start, or is sent by the host; None: nothing.
    reads : int, default 1
        Number of read ports.
    apart : bool, default False
        Whether no word is read in the cycle that writes it.
    register : str, default ""
        Name, among the component's registers, of what holds the word directly behind each read port; "" for
        none.
    start : int, default 0
        Where in its image a bank begins.
    """

    depth: int
    width: int
    writes: int = 1
    image: Image | None = None
    reads: int = 1
    apart: bool = False
    register: str = ""
    start: int = 0


class Product(NamedTuple):
    """A signed multiplication that is left to synthesis, or is a DSP block already.

    Attributes
    ----------
    a_bits : int
        Width of one operand.
    b_bits : int
        Width of the other operand.
    """

    a_bits: int
    b_bits: int


@dataclass(frozen=True)
class Inside:
    """Submodules of a component that are alike, and have one name but for their indices.

    Attributes
    ----------
    name : str
        Name of the submodules, without index.
    facts : Facts
        What each of them is made of.
    count : int, default 1
        Number of the submodules.
    """

    name: str
    facts: "Facts"
    count: int = 1


@dataclass(frozen=True)
class Facts:
    """What a component is made of, what is ``inside`` apart.

    Attributes
    ----------
    registers : Mapping of str to int, optional
        Bits of flip-flops, by what they hold.
    redundant : Mapping of str to int, optional
        Bits among these that no synthesis keeps: nothing reads them, or another register always holds the same.
    delays : Sequence of Delay, optional
        Delays, whose flip-flops are not among ``registers``.
    adders : Mapping of str to int, optional
        Bits of adders, subtracters, counters and comparisons, by what they do.
    muxes : Mapping of str to int, optional
        Bits of multiplexers of two inputs, by what they choose.
    gates : Mapping of str to int, optional
        Bits of other logic, by what it does; "control" is 1 where there is some of a fixed size, and :data:`KNOWN` is
        counted in LUTs already.
    memories : Sequence of MemoryShape, optional
        Memories of the component.
    products : Sequence of Product, optional
        Multiplications of the component.
    inside : Sequence of Inside, optional
        Submodules of the component.
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
        """Bits of the component's own flip-flops."""
        return sum(self.registers.values()) + sum(width * cycles for width, cycles in self.delays)

    def walk(self, path: str = "", count: int = 1) -> Iterator[tuple[str, int, "Facts"]]:
        """Walk the component and all that is inside it.

        Parameters
        ----------
        path : str
            Dotted path of the component.
        count : int
            Number of components of this path.

        Yields
        ------
        tuple of (str, int, Facts)
            A dotted path, how many components have it, and what each of them is made of.
        """
        yield path, count, self
        for item in self.inside:
            yield from item.facts.walk(f"{path}.{item.name}".lstrip("."), count * item.count)
