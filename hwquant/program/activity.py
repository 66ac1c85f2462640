"""What an inference does on the array: products, and bytes that leave memories; from the program alone.

Both are exact counts of the hardware. The energy that is made of them is a proxy, to compare networks on arrays with:
it leaves out leakage, clock tree, wires and the clock's frequency. Its prices are those of M. Horowitz, "Computing's
energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9 (45 nm, 0.9 V): an 8-bit integer product 0.2 pJ
and a 32-bit one 3.1 pJ, so that a product costs as much as its operands' widths multiplied; 64 bits out of a memory of
8 KB 10 pJ, and out of DRAM 1.3 nJ at least.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.program.cycles import jobs
from hwquant.program.isa import Opcode, program_bits
from hwquant.program.moving import move_beats
from hwquant.program.program import Program
from hwquant.program.weight_format import WeightFormat

PRODUCT_PJ = 0.2 / (8 * 8)
"""Energy of a product, for each bit of one operand and each bit of the other."""
BYTE_PJ = 10 / 8
"""Energy of a byte that is read from a memory."""
MOVED_PJ = 1300 / 8
"""Energy of a byte that moves from external memory or to it."""


@dataclass(frozen=True)
class Activity:
    """What one inference does.

    Attributes
    ----------
    products : int
        Multiplications of the array: every processing element's, in every cycle in which a tile streams; those with
        padding and with zeros of tiles that are executed are among them, those of skipped tiles are not. While a
        product of activations streams, they count, too, in place of the few multipliers below the array.
    product_bits : int
        Width of a product: of the activation times that of the weight operand.
    bytes_read : float
        Bytes read from the activation, weight, accumulator, parameter and program memories.
    bytes_moved : int
        Bytes that come from external memory, or go there.
    """

    products: int
    product_bits: int
    bytes_read: float
    bytes_moved: int

    @property
    def energy_nj(self) -> float:
        """The energy proxy in nJ: products times ``product_bits * PRODUCT_PJ``, and bytes by where they come from."""
        computed = self.products * self.product_bits * PRODUCT_PJ
        return (computed + self.bytes_read * BYTE_PJ + self.bytes_moved * MOVED_PJ) / 1000


def activity(program: Program) -> Activity:
    """Count what one inference of a program does, exactly."""
    config = program.config
    word = config.columns * config.slot_bits
    accumulators, words = (
        config.arrays * config.columns * config.accumulator_bits,
        config.arrays * config.word_bits,
    )
    format, count, products, beats = WeightFormat(), 0, 0, 0
    bits = len(program.words) * program_bits(config)
    for instruction in jobs(program.instructions):
        values = instruction.values
        match instruction.opcode:
            case Opcode.COUNT:
                count = values["count"]
            case Opcode.FORMAT:
                format = WeightFormat.of(1 << values["packing"], config)
            case Opcode.MOVE:
                beats += move_beats(config, values["kind"], values["count"])
            case Opcode.OUTPUT:
                bits += values["count"] * words  # all banks are read together
            case Opcode.TILE:
                products += config.arrays * config.rows * config.columns * count
                weights = 0 if values.get("product") else format.words(config) + values["offsets"]
                bits += weights * word
                bits += count * (words + (0 if values["first"] else accumulators))
                bits += config.columns * config.parameter_bits if values["parameters"] else 0
            case _:
                pass
    moved = beats * config.external_bits // 8
    return Activity(products, config.activation_bits * config.operand_bits, bits / 8, moved)
