"""The address generator: visits a block's pixels in pooling-window order."""

from dataclasses import dataclass
from typing import Self

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import LEVELS, Opcode
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout, job_layout, pixel_layout
from hwquant.rtl_templates.ports import LaneSelection, ReadPort, TilePort


@dataclass(frozen=True)
class _Loops:
    """Where the nested loops are.

    Attributes
    ----------
    address : Signal
        Address of the pixel that leaves.
    y : Signal
        Row of the pixel in its plane, or in its strip.
    x : Signal
        Column of the pixel in its plane.
    index : list of Signal
        Index of each level but the outermost.
    done : list of Signal
        Whether that level is at its last index: registered, as it selects the next step.
    strip : Signal or None
        Number of the pixel's strip, counted from that of the array; None where there is one array.
    """

    address: Signal
    y: Signal
    x: Signal
    index: list[Signal]
    done: list[Signal]
    strip: Signal | None

    @classmethod
    def of(cls, config: ArrayConfig) -> Self:
        """Registers of these widths."""
        bits = config.coordinate_bits
        return cls(
            address=Signal(config.activation_address_bits, name="address", reset_less=True),
            y=Signal(signed(bits), name="y", reset_less=True),
            x=Signal(signed(bits), name="x", reset_less=True),
            index=[Signal(bits, name=f"index{k}", reset_less=True) for k in range(LEVELS - 1)],
            done=[Signal(name=f"done{k}", reset_less=True) for k in range(LEVELS - 1)],
            strip=Signal(signed(config.strip_bits), name="strip", reset_less=True)
            if config.arrays > 1
            else None,
        )


class Streamer(Component):
    """The address generator, which turns a job into a stream of activation addresses.

    Four nested loops (window column, window row, pixel column, pixel row) run over the block. Each step adds
    its level's increments to the address and to the input coordinates; a pixel whose coordinates leave the
    plane is padding. Of several arrays, the row is counted within a strip, and the next strip follows its last
    row; array ``k`` reads ``k`` strips further down.

    Throughput: one address a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Widths and modes.

    Attributes
    ----------
    latency : int
        Cycles from ``tile.start`` to the first address.

    Members
    -------
    tile : In(TilePort)
        Start of streaming a tile's pixels.
    geometry : In(geometry_layout(config))
        How pixels are visited, from the next job on whose ``source`` or ``layer`` is set.
    read : Out(ReadPort)
        Address of the pixel that leaves in this cycle, registered.
    selection : Out(LaneSelection)
        Lanes of the pixel's word that go to the array.
    streaming : Out(1)
        A pixel leaves.
    swap : Out(1)
        The pixel is the first of a tile.
    pixel : Out(pixel_layout())
        Marks of the output that begins with the pixel.
    offset : Out(signed(config.offset_bits))
        Integer offset of the weights of the job that is streamed.
    taps : Out(1)
        The tile is a depthwise one.
    delay : Out(index_bits(config.tap_depth + 1))
        Cycles from kernel row to kernel row.
    factor : Out(1)
        The pixel that leaves is a factor of those after it; only where activations are multiplied.
    """

    latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "tile": In(TilePort(config)),
                "geometry": In(geometry_layout(config)),
                "read": Out(ReadPort(config)),
                "selection": Out(LaneSelection(config)),
                "streaming": Out(1),
                "swap": Out(1),
                "pixel": Out(pixel_layout()),
                "offset": Out(signed(config.offset_bits)),
                "taps": Out(1),
                "delay": Out(index_bits(config.tap_depth + 1)),
            }
            | ({"factor": Out(1)} if config.product_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the registers of the job and its geometry, and the counters of the loops."""
        m = Module()
        job = Signal(job_layout(self.config), reset_less=True)
        geometry = Signal(geometry_layout(self.config), reset_less=True)
        left = Signal(job.count.shape())
        fresh = Signal()
        first_output = Signal()
        loops = _Loops.of(self.config)

        busy = left != 0
        ready = Signal(init=1)
        m.d.sync += ready.eq(left <= 2)
        m.d.comb += self.tile.ready.eq(ready)
        with m.If(busy):
            m.d.sync += [left.eq(left - 1), fresh.eq(0)]
            self._step(m, job, geometry, loops)
        pixel = self._outputs(m, job, geometry, loops, busy, left, first_output)
        with m.If(self.tile.start):
            m.d.sync += [
                job.eq(self.tile.job),
                left.eq(self.tile.job.count),
                fresh.eq(1),
                ready.eq(self.tile.job["count"] <= 1),
                first_output.eq(1),
            ]
            self._begin(m, geometry, loops)
        plane = geometry.plane
        if loops.strip is not None:
            m.d.comb += [bank.eq(loops.strip + k) for k, bank in enumerate(self.selection.banks)]
        m.d.comb += [
            self.read.address.eq(loops.address),
            self.read.advance.eq(1),
            self.selection.part.eq(job.part),
            self.selection.outside.eq(self._outside(plane, loops)),
            self.selection.pad.eq(plane.pad),
            self.offset.eq(job.offset),
            self.streaming.eq(busy),
            self.swap.eq(busy & fresh),
            self.pixel.valid.eq(pixel),
            self.pixel.start.eq(pixel & first_output),
            self.pixel.first.eq(job.first),
            self.pixel.parameters.eq(pixel & first_output & job.parameters),
            self.pixel.layer.eq(pixel & first_output & job.layer),
        ]
        if self.config.tap_lines:
            m.d.comb += [self.taps.eq(job.taps), self.delay.eq(geometry.taps.delay)]
        if self.config.product_bits:
            m.d.comb += self.factor.eq(busy & job["product"] & ~loops.done[0])
        self._windows(m, job, loops)
        return m

    def _outside(self, plane: Signal, loops: _Loops) -> Value:
        """Tell, for each array, whether the pixel is outside of the plane."""
        # As unsigned numbers, coordinates below zero are beyond any size.
        below, beside = Cat(loops.y) >= plane.height, Cat(loops.x) >= plane.width
        if loops.strip is None:
            return below | beside
        last = plane.last_strip
        strips = [loops.strip + k for k in range(self.config.arrays)]
        return Cat(beside | (strip < 0) | (strip > last) | ((strip == last) & below) for strip in strips)

    def _begin(self, m: Module, geometry: Signal, loops: _Loops) -> None:
        """Go to the first pixel of the job that starts, and take the geometry if it brings one."""
        job = self.tile.job
        takes = job.source | job.layer
        m.d.sync += [loops.address.eq(job.address), loops.y.eq(job.y), loops.x.eq(job.x)]
        if loops.strip is not None:
            m.d.sync += loops.strip.eq(job.strip)
        for k, (index, done) in enumerate(zip(loops.index, loops.done)):
            limit = Mux(takes, self.geometry.levels[k].limit, geometry.levels[k].limit)
            m.d.sync += [index.eq(0), done.eq(limit == 0)]
        with m.If(takes):
            m.d.sync += geometry.eq(self.geometry)

    def _step(self, m: Module, job: Signal, geometry: Signal, loops: _Loops) -> None:
        """Go to the next pixel of the nested loops: its address, its coordinates, and the levels' indices.

        A product's innermost loop is that of a factor and a pixel; where the factor is held, it stays at the pixel.
        """
        index, done = loops.index, loops.done
        # The step is that of the innermost level which is not at its end.
        step = geometry.levels[LEVELS - 1]
        step_address, step_y, step_x = step.step, step.y, step.x
        for k in reversed(range(LEVELS - 1)):
            level = geometry.levels[k]
            step_address = Mux(done[k], step_address, level.step)
            step_y = Mux(done[k], step_y, level.y)
            step_x = Mux(done[k], step_x, level.x)
        if loops.strip is None:
            m.d.sync += [loops.address.eq(loops.address + step_address), loops.y.eq(loops.y + step_y)]
        else:
            step_strip = step.strip
            for k in reversed(range(LEVELS - 1)):
                step_strip = Mux(done[k], step_strip, geometry.levels[k].strip)
            self._down(m, geometry.plane, loops, step_address, step_y, step_strip)
        m.d.sync += loops.x.eq(loops.x + step_x)
        inner: ValueLike = 1
        for k in range(LEVELS - 1):
            limit = geometry.levels[k].limit
            with m.If(inner & done[k]):
                if k or not self.config.product_bits:
                    m.d.sync += [index[k].eq(0), done[k].eq(limit == 0)]
                else:
                    with m.If(~job.held):
                        m.d.sync += [index[k].eq(0), done[k].eq(limit == 0)]
            with m.Elif(inner):
                m.d.sync += [index[k].eq(index[k] + 1), done[k].eq(index[k] + 1 == limit)]
            inner = inner & done[k]

    def _down(self, m: Module, plane: Signal, loops: _Loops, address: Value, y: Value, strip: Value) -> None:
        """Go on by a step within a strip, or into the next one: no step leads up, or beyond that one."""
        assert loops.strip is not None
        # What is taken off is so while the step is chosen: then a sum, and its sign.
        row, beyond = loops.y + y, (loops.y - plane.rows) + y
        crosses = ~beyond[-1]
        m.d.sync += [
            loops.address.eq(Mux(crosses, (loops.address - plane.words) + address, loops.address + address)),
            loops.y.eq(Mux(crosses, beyond, row)),
            loops.strip.eq(loops.strip + strip + crosses),
        ]

    def _windows(self, m: Module, job: Signal, loops: _Loops) -> None:
        """Mark what is pooled over a window, or summed over it and complete with its last pixel."""
        window_first = Cat(loops.index[:2]) == 0
        window_last = loops.done[0] & loops.done[1]
        summed = job.summed if self.config.window_sums else 0
        alone = summed | job["product"] if self.config.product_bits else summed
        m.d.comb += [
            self.pixel.hold.eq(summed & ~window_first),
            self.pixel.last.eq(job.last & (~summed | window_last)),
            self.pixel.pool_first.eq(window_first | alone),
            self.pixel.pool_last.eq(window_last),
        ]

    def _outputs(
        self,
        m: Module,
        job: Signal,
        geometry: Signal,
        loops: _Loops,
        busy: Value,
        left: Signal,
        first_output: Signal,
    ) -> Value:
        """Tell whether an output begins with this step: always, but for a depthwise tile, and for factors.

        There outputs begin ``lead`` steps late, when the line memories have filled; then ``width`` of the
        steps of each row are outputs, and the last ``tail`` steps are not.
        """
        if self.config.product_bits:
            counted = Signal()
            m.d.comb += counted.eq(busy & (~job["product"] | loops.done[0]))
        else:
            counted = busy
        if not self.config.tap_lines:
            with m.If(counted):
                m.d.sync += first_output.eq(0)
            return counted
        taps = geometry.taps
        lead = Signal(taps.lead.shape(), reset_less=True)
        column = Signal(self.config.coordinate_bits, reset_less=True)
        leading = lead != 0
        output = counted & (~job.taps | (~leading & (column < taps.width) & (left > taps.tail)))
        with m.If(output):
            m.d.sync += first_output.eq(0)
        with m.If(busy):
            with m.If(leading):
                m.d.sync += lead.eq(lead - 1)
            with m.Else():
                m.d.sync += column.eq(Mux(column == geometry.levels[2].limit, 0, column + 1))
        with m.If(self.tile.start):
            takes = self.tile.job.source | self.tile.job.layer
            m.d.sync += [lead.eq(Mux(takes, self.geometry.taps.lead, taps.lead)), column.eq(0)]
        return output

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """A job, a geometry, and the counters of the loops."""
        several = config.arrays > 1
        address, coordinate, count = config.activation_address_bits, config.coordinate_bits, config.count_bits
        taps = instruction_layout(config, Opcode.TAPS)["lead"].width + coordinate if config.tap_lines else 0
        return Facts(
            registers={
                "geometry": geometry_layout(config).size,
                "job": job_layout(config).size,
                "counters": address + 2 * coordinate + count + (LEVELS - 1) * coordinate + taps,
                "control": 3 + LEVELS - 1,
                "strip": config.strip_bits,
            },
            adders={
                "address": address,
                "strips": (2 * address + 2 * coordinate + (1 + config.arrays) * config.strip_bits) * several,
                "coordinates": (2 + LEVELS - 1) * coordinate,
                "steps": count,
                "taps": 3 * coordinate if config.tap_lines else 0,
            },
            gates={"control": 1},
        )
