"""Claims of the packer: the words of an input's windows, each once and in order, of the pixels that came."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value

from hwquant.program.config import ArrayConfig
from hwquant.program.layout import WindowPacking
from hwquant.program.raw_inputs import RawInput
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.input_packer import InputPacker


class _Reference:
    """The input as it comes: the position that is next, and the pixels before it.

    Of a pixel a beat, and of windows that fit a word.
    """

    def __init__(self, m: Module, dut: InputPacker, bits: int) -> None:
        self.item = dut.item
        packing, (rows, columns) = dut.item.packing, dut.item.grid
        self.columns, self.places = columns, rows * columns
        self.place, self.ended = Signal(range(rows * columns)), Signal(name="wanted_end")
        inside = {
            y * columns + x: Signal(bits, name=f"pixel_{y}_{x}")
            for y in range(packing.top, packing.top + packing.shape[1])
            for x in range(packing.left, packing.left + packing.shape[2])
        }
        self.pixels, self.last = inside, max(inside)
        self.inside = Array(Const(place in inside) for place in range(self.places))[self.place]
        self.taken = dut.beats.valid & dut.beats.ready
        self.goes_on = dut.run & ~self.ended & (~self.inside | dut.beats.valid)
        for place, pixel in inside.items():
            with m.If(self.taken & (self.place == place)):
                m.d.sync += pixel.eq(dut.beats.payload)
        with m.If(self.goes_on):
            m.d.sync += self.place.eq(Mux(self.place == self.places - 1, 0, self.place + 1))
            m.d.sync += self.ended.eq(self.place == self.places - 1)
        with m.If(dut.run & self.ended):
            m.d.sync += self.ended.eq(0)
        with m.If(dut.begin):
            m.d.sync += [self.place.eq(0), self.ended.eq(0)]

    def windows(self, bits: int, lanes: int) -> dict[int, Value]:
        """The word of each window, by the place that completes it."""
        packing = self.item.packing
        empty = Const(self.item.zero_point, bits)
        _, height, width = packing.packed_shape

        def place(y: int, x: int, j: int, k: int) -> int:
            row, column = y * packing.row_stride + j * packing.row_dilation, x * packing.stride
            return row * self.columns + column + k * packing.dilation

        ends = (packing.rows - 1, packing.kernel - 1)
        return {
            place(y, x, *ends): Cat(
                *(
                    self.pixels.get(place(y, x, j, k), empty)
                    for j in range(packing.rows)
                    for k in range(packing.kernel)
                ),
                *(empty for _ in range(lanes - packing.rows * packing.kernel)),
            )
            for y in range(height)
            for x in range(width)
        }


def input_packer(config: ArrayConfig, name: str) -> Claim:
    """A word a window, a position a cycle, and nothing else."""
    (item,) = config.raw_inputs
    bits = config.activation_bits

    def build(harness: Harness) -> None:
        dut = harness.component(InputPacker(config, item))
        m, always, before = harness.m, harness.always, harness.before
        reference = _Reference(m, dut, bits)
        # Pixels are taken where there are some, and padding goes by without waiting.
        always(dut.beats.ready == (dut.run & ~reference.ended & reference.inside))
        always(~reference.taken | (dut.final == (reference.place == reference.last)))
        always(dut.done == (dut.run & reference.ended))
        # A cycle after the place that completes a window, its word is written to the next address.
        completed = before(reference.place)
        windows = reference.windows(bits, config.lanes)
        complete = before(reference.goes_on & ~dut.begin) & Cat(completed == place for place in windows).any()
        address = Signal(config.activation_address_bits)
        with m.If(dut.begin):
            m.d.sync += address.eq(dut.address)
        with m.Elif(complete):
            m.d.sync += address.eq(address + 1)
        always(dut.write.enable == complete.replicate(config.enables))
        always(~complete | (dut.write.address == address))
        for place, word in windows.items():
            always(~(complete & (completed == place)) | (dut.write.data == word))

    return Claim(
        f"InputPacker: {name}",
        "words of all windows are written in order, from the address on, each a cycle after its last pixel or padding "
        "came, with every pixel at its place, and the zero point outside of the input and where no channel is; a pixel "
        "is taken in every cycle in which there is one, but for those of padding; so it is from each beginning on, "
        "whatever was before it",
        build,
        Method.REACHABILITY,
        12,
    )


def _config(packing: WindowPacking) -> ArrayConfig:
    item = RawInput(packing, -1)
    return ArrayConfig(2, 4, activation_bits=2, activation_depth=16, raw_inputs=(item,))


CLAIMS = (
    input_packer(_config(WindowPacking((1, 2, 4), 2, 2, 2, 1, 2, 1, 2, 1, 1, 2)), "every other window"),
    input_packer(_config(WindowPacking((1, 2, 3), 2, 1, 1, 0, 2, 2, 1, 1, 1, 2)), "2 x 2 pixels"),
)
"""Small inputs of one channel, padded: windows in a row, with gaps, and windows with lines above."""
