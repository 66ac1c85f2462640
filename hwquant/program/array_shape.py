"""The array without its memories, and the constants of its pipeline that compiler, cycle model and RTL share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hwquant.errors import HwquantError
from hwquant.program.latencies import Latencies
from hwquant.program.limits import EXTERNAL_BITS, LIMITS, PRODUCT_STAGES
from hwquant.program.raw_inputs import RawInput, beat_values
from hwquant.program.sides import Array, check_array, short_array
from hwquant.program.widths import bits_for

OffsetMode = Literal["none", "edge", "sum"]
"""Where a weight's integer offset is added: nowhere, where weights enter the array, or in a column that sums."""

OFFSET_MODES: tuple[OffsetMode, ...] = get_args(OffsetMode)
OddWeights = Literal["none", "some", "all"]
"""Which tiles have odd weights, ``2 (q + o) + 1``, of a mid-rise grid, instead of ``q + o``."""

ODD_WEIGHTS: tuple[OddWeights, ...] = get_args(OddWeights)

ACCUMULATE_HAZARD = 4
"""Least number of cycles between two visits of one accumulator (read, register, add, write)."""

PACKINGS = (1, 2, 4, 8)
"""Rows that may share a word of the weight memory, or enter the array together."""

TAP_COLUMNS = 3
"""Kernel columns that a depthwise tile covers: so many rows of the array for each kernel row."""


@dataclass(frozen=True)
class ArrayShape(Latencies):
    """The array without its memories: what decides how a network's layers are mapped and scheduled on it.

    Attributes
    ----------
    rows : int
        Rows of the systolic array, 2..32.
    columns : int
        Columns of the systolic array, 2..32.
    activation_bits : int, default 8
        Width of a lane, 2..24: of the widest tensor.
    weight_bits : int, default 8
        Width of the widest stored weight, 1..8.
    weight_slot_bits : int, default 0
        Width of a column's slot in a word of the weight memory, 0..32; 0 means ``weight_bits``.
    weight_packing : {1, 2, 4, 8}
        Rows of a tile that may share a word of the weight memory where their weights are narrow.
    load_rows : {1, 2, 4, 8}
        Rows of a tile that may enter the array in one cycle, at most ``weight_packing`` and ``rows``.
    adjusted_bits : int, default 9
        Width of the adjusted weight ``w_q + o``, 1..18; with odd weights that of what multiplies.
    offset : {"edge", "sum", "none"}
        Where the integer offset is added: "edge" (adders where weights enter), "sum" (a column that sums the inputs,
        and a multiplier), or "none" (every offset is zero).
    offset_bits : int, default 9
        Width of the signed offset, 1..18.
    channel_offsets : bool, default False
        Whether each output channel has its own offset, stored as a weight row.
    accumulator_depth : int, default 512
        Pixels that one block of tiles may cover, 1..65536.
    multiplier_bits : int, default 0
        Width of the signed requantization multiplier, 0..18; 0 means requantization by a shift alone.
    shift_bits : int, default 5
        Width of what a requantization shift has beyond the least one, 1..6.
    least_shift : int, default 0
        The least requantization shift, 0..62: so many bits of every sum are left out.
    window_sums : bool, default False
        Whether the accumulators can sum over a window of pixels, which makes average pooling one tile.
    tap_lines : int, default 0
        Kernel rows that a depthwise tile covers; 0 means that the array has no depthwise mode.
    tap_depth : int, default 16
        Longest delay from one kernel row to the next, in pixels, 3..65536.
    odd_weights : {"none", "some", "all"}
        Which tiles have odd weights, ``2 (w_q + o) + 1``: a stored weight with a 1 appended, where the offset is 0.
    ternary : bool, default False
        Whether each weight that multiplies is -1, 0 or 1, so that products need no multiplier.
    product_bits : int, default 0
        Width of the widest activation that is multiplied with another one, 0..8; 0 means that none is.
    table_bits : int, default 0
        Width of a table's address, 2..10 and at least ``activation_bits``; 0 means that there are no tables.
    tables : int, default 0
        Tables that there is room for.
    strided_writes : bool, default False
        Whether a layer's outputs can go to every n-th pixel of a tensor, or to a part of it.
    arrays : int, default 1
        Arrays of ``rows`` x ``columns`` that share instructions and weights and divide a picture's rows among them,
        1..8. Each has a bank of the activation memory, and accumulators and requantizers of its own.
    product_stages : int, default 2
        Registers in which a product of a processing element is computed, 1..2.
    raw_inputs : tuple of RawInput, default ()
        The network's inputs, where the host sends them as they are and a packer lays them out; else empty.
    overlap : bool, default False
        Whether a layer may begin before the one before it is written, as far as its instructions say.
    external_bits : {0, 16, 32, 64, 128}
        Width of the port to external memory, from which weights and parameters then come; 0 means that there is none.

    Raises
    ------
    HwquantError
        A value is out of range, or contradicts another one.
    """

    rows: int
    columns: int
    activation_bits: int = 8
    weight_bits: int = 8
    weight_slot_bits: int = 0
    weight_packing: int = 1
    load_rows: int = 1
    adjusted_bits: int = 9
    offset: OffsetMode = "edge"
    offset_bits: int = 9
    channel_offsets: bool = False
    accumulator_depth: int = 512
    multiplier_bits: int = 0
    shift_bits: int = 5
    least_shift: int = 0
    window_sums: bool = False
    tap_lines: int = 0
    tap_depth: int = 16
    odd_weights: OddWeights = "none"
    ternary: bool = False
    product_bits: int = 0
    table_bits: int = 0
    tables: int = 0
    strided_writes: bool = False
    arrays: int = 1
    product_stages: int = PRODUCT_STAGES
    raw_inputs: tuple[RawInput, ...] = ()
    overlap: bool = False
    external_bits: int = 0

    def __post_init__(self) -> None:
        check_array((self.rows, self.columns))
        known = {field.name for field in dataclasses.fields(self)}
        for name, (low, high) in (LIMITS | {"tap_lines": (0, self.rows // TAP_COLUMNS)}).items():
            if name in known and not low <= getattr(self, name) <= high:
                raise HwquantError(f"{name} must be {low}..{high}, not {getattr(self, name)}")
        if self.tap_lines and self.offset == "sum":
            raise HwquantError(
                "the depthwise mode needs offsets that are added where weights enter, not a sum column"
            )
        if self.tap_lines and self.columns > self.rows:
            raise HwquantError(
                f"array {self.rows}x{self.columns}: the depthwise mode needs as many rows as columns"
            )
        if self.offset not in OFFSET_MODES:
            raise HwquantError(f"offset must be one of {', '.join(OFFSET_MODES)}, not {self.offset!r}")
        if (self.table_bits > 0) != (self.tables > 0) or 0 < self.table_bits < self.activation_bits:
            raise HwquantError(
                f"table_bits must be 0 without tables, else at least {self.activation_bits}, not {self.table_bits}"
            )
        if self.external_bits not in (0, *EXTERNAL_BITS):
            raise HwquantError(
                f"external_bits must be 0 or one of {', '.join(map(str, EXTERNAL_BITS))}, not {self.external_bits}"
            )
        if self.external_bits and (self.arrays > 1 or self.raw_inputs):
            what = "several arrays" if self.arrays > 1 else "inputs that the hardware lays out"
            raise HwquantError(f"external memory does not go together with {what}")
        self._check_odd()
        self._check_packing()

    def _check_odd(self) -> None:
        if self.odd_weights not in ODD_WEIGHTS:
            raise HwquantError(
                f"odd_weights must be one of {', '.join(ODD_WEIGHTS)}, not {self.odd_weights!r}"
            )
        if self.odd_weights != "none" and self.operand_bits < 2:
            raise HwquantError("odd weights have at least 2 bits: adjusted_bits must be 2 or more, not 1")
        for name in ("ternary", "strided_writes", "overlap"):
            if type(getattr(self, name)) is not bool:
                raise HwquantError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.ternary and self.operand_bits > 2:
            raise HwquantError(f"ternary weights have 2 bits, not {self.operand_bits}")
        if self.ternary and self.offset == "sum" and self.channel_offsets:
            raise HwquantError("channel offsets in a sum column are weights, too, that are not ternary")

    def _check_packing(self) -> None:
        for name in ("weight_packing", "load_rows"):
            if getattr(self, name) not in PACKINGS:
                raise HwquantError(
                    f"{name} must be one of {', '.join(map(str, PACKINGS))}, not {getattr(self, name)}"
                )
        if not max(self.weight_bits, self.weight_packing) <= self.slot_bits:
            raise HwquantError(
                f"weight_slot_bits must hold a weight of {self.weight_bits} bits, and {self.weight_packing} of at "
                f"least one bit; {self.slot_bits} are too few"
            )
        if self.load_rows > min(self.weight_packing, self.rows):
            raise HwquantError(
                f"load_rows must be at most weight_packing ({self.weight_packing}) and rows ({self.rows}), "
                f"not {self.load_rows}"
            )
        if self.load_rows > 1 and self.offset == "sum" and self.channel_offsets:
            raise HwquantError(
                "channel offsets in a sum column enter the array one row a cycle: load_rows must be 1"
            )

    @property
    def array(self) -> Array:
        """What the command line and the compiler call the array."""
        return short_array(self.arrays, self.rows, self.columns)

    @property
    def lanes(self) -> int:
        """Channels in one word of the activation memory: ``rows``, or as many multiples of it as columns."""
        return self.rows * self.reads_per_word

    @property
    def reads_per_word(self) -> int:
        """Parts of a word, of which a read delivers one: ``rows`` lanes."""
        return max(1, self.columns // self.rows)

    @property
    def groups(self) -> int:
        """Groups of a word's lanes, of which a write covers one: at most ``columns`` lanes."""
        return -(-self.lanes // self.columns)

    @property
    def enables(self) -> int:
        """Bits that say what of a word is written: one a write group and, of several arrays, one a bank."""
        return self.groups + (self.arrays if self.arrays > 1 else 0)

    @property
    def selections(self) -> int:
        """Lane selections of a read: parts of a word, or write groups that depthwise tiles and products read."""
        return max(self.reads_per_word, self.groups if self.tap_lines or self.product_bits else 1)

    @property
    def settles(self) -> bool:
        """Whether a tile can wait for the accumulators.

        A sum over a window takes several tiles, one after the other, where the columns are those of several reads.
        """
        return self.window_sums and self.reads_per_word > 1

    @property
    def load_cycles(self) -> int:
        """Cycles that loading a tile a row a cycle takes, its least cost (without an offset row)."""
        return max(self.rows, ACCUMULATE_HAZARD)

    @property
    def entries(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Rows at which weights enter the array besides the first: for each, (rows a cycle, field of a slot).

        Where ``n`` rows enter in a cycle, the array's rows are ``n`` segments of ``segment_rows(n)``; field ``i``
        enters at the top of segment ``i``.
        """
        entries: dict[int, tuple[tuple[int, int], ...]] = {}
        for rows_per_cycle in PACKINGS:
            for field in range(1, rows_per_cycle if rows_per_cycle <= self.load_rows else 0):
                row = field * self.segment_rows(rows_per_cycle)
                if row < self.rows:
                    entries[row] = (*entries.get(row, ()), (rows_per_cycle, field))
        return dict(sorted(entries.items()))

    def segment_rows(self, rows_per_cycle: int) -> int:
        """Rows of the array from one entry to the next, where ``rows_per_cycle`` rows enter in a cycle."""
        return -(-self.rows // rows_per_cycle)

    @property
    def in_pieces(self) -> bool:
        """Whether a frame may come in several inputs, and leave in several outputs."""
        return self.arrays > 1 or self.external_bits > 0

    def word_beats(self, bits: int) -> int:
        """Beats of the port to external memory that a word of ``bits`` bits takes."""
        return -(-bits // self.external_bits)

    def group_lanes(self, group: int) -> range:
        """The lanes of a word that the write group covers; lane ``i`` of them comes from column ``i``."""
        return range(group * self.columns, min((group + 1) * self.columns, self.lanes))

    @property
    def word_bits(self) -> int:
        """Width of a word of the activation memory."""
        return self.lanes * self.activation_bits

    @property
    def frame_values(self) -> int:
        """Values in a beat of an input frame: the lanes of a word, or those of a pixel that come together."""
        return beat_values(self.raw_inputs, self.lanes) if self.raw_inputs else self.lanes

    @property
    def frame_bits(self) -> int:
        """Width of a beat of an input frame."""
        return self.frame_values * self.activation_bits

    @property
    def operand_bits(self) -> int:
        """Width of the weight operand of a PE's multiplier."""
        return self.adjusted_bits if self.offset == "edge" or self.odd_weights != "none" else self.weight_bits

    @property
    def carried_bits(self) -> int:
        """Width of a weight on its way through the array: without the 1 at its end where all weights are odd."""
        return self.operand_bits - (self.odd_weights == "all")

    @property
    def formatted(self) -> bool:
        """Whether tiles differ in how their weights are stored, so that instructions say how."""
        return self.weight_packing > 1 or self.odd_weights == "some"

    def offset_step(self, step: int) -> int:
        """What the hardware adds, as a multiple of a term's offset, for weights that are ``step`` apart.

        It adds to what will have a 1 appended, where all weights are odd and offsets are added at the edge.
        """
        return 1 if self.offset == "edge" and self.odd_weights == "all" else step

    @property
    def slot_bits(self) -> int:
        """Width of a column's slot in a word of the weight memory."""
        return self.weight_slot_bits or self.weight_bits

    @property
    def slot_type(self) -> type[np.int16 | np.int32]:
        """Type of slots in arrays of words."""
        return np.int16 if self.slot_bits <= 16 else np.int32

    def field_bits(self, field: int) -> int:
        """Width of the adjusted weights in a field of a slot.

        It is that of the widest such field, with a bit for the offset, and one that may be appended.
        """
        if not field:
            return self.carried_bits
        fewest = 1 << field.bit_length()  # rows that enter together where there is such a field
        more = (self.offset == "edge") + (self.odd_weights == "some")
        return min(self.carried_bits, self.slot_bits // fewest + more)

    def entry_bits(self, row: int) -> int:
        """Width of the weights that enter the array at a row of :attr:`entries`."""
        return max(self.field_bits(field) for _, field in self.entries[row])

    def sum_bits(self, rows: int) -> int:
        """Width of the exact partial sum of the first ``rows`` products of a column."""
        largest = rows * self._largest_product
        return bits_for(-largest, largest)

    @property
    def input_sum_bits(self) -> int:
        """Width of the exact sum of a column of activations."""
        largest = self.rows << (self.activation_bits - 1)
        return bits_for(-largest, largest)

    @property
    def column_bits(self) -> int:
        """Width of a column's sum where it leaves the bottom of the array."""
        if self.offset != "sum":
            return self.sum_bits(self.rows)
        products = self.rows * self._largest_product
        offsets = self.rows << (self.activation_bits - 1 + self.offset_bits - 1)
        return bits_for(-products - offsets, products + offsets)

    @property
    def _largest_product(self) -> int:
        """The largest magnitude of a product."""
        return 1 << (self.activation_bits - 1 + (0 if self.ternary else self.operand_bits - 1))

    @property
    def product_sum_bits(self) -> int:
        """Width of a product of two activations, both less their zero points."""
        return 2 * self.product_bits + 1 if self.product_bits else 0

    @property
    def added_bits(self) -> int:
        """Width of what an accumulator adds: a column's sum, or a product of two activations."""
        return max(self.column_bits, self.product_sum_bits)

    @property
    def requantized_bits(self) -> int:
        """Width of a clamped integer: an output, or what one is looked up with."""
        return self.table_bits or self.activation_bits
