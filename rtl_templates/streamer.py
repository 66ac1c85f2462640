"""The address generator: visits a block's pixels in pooling-window order, one a cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import LEVELS
from hwquant.rtl_templates.jobs import geometry_layout, job_layout, pixel_layout


class Streamer(Component):
    """Turns a job into a stream of activation addresses.

    Four nested loops (window column, window row, pixel column, pixel row) run over the block. Each step adds
    its level's increments to the address and to the input coordinates; a pixel whose coordinates leave the
    plane is padding. The first address leaves the cycle after ``start``, then one a cycle.

    Members
    -------
    start : In, take ``job`` (only while ``ready``)
    geometry : In, takes effect with a job whose ``source`` or ``layer`` is set
    ready : Out, the last pixel leaves in this cycle, or none does
    address, part, pixel : Out, registered, of the pixel that leaves in this cycle
    outside : Out, it is padding; pad : Out, the value to insert
    offset : Out, the streaming job's integer offset
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        job, geometry = job_layout(config), geometry_layout(config)
        super().__init__(
            {
                "start": In(1),
                "job": In(job),
                "geometry": In(geometry),
                "ready": Out(1),
                "address": Out(config.activation_address_bits),
                "part": Out(job["part"].shape),
                "pixel": Out(pixel_layout()),
                "outside": Out(1),
                "pad": Out(signed(config.activation_bits)),
                "offset": Out(signed(config.offset_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        job = Signal(job_layout(self.config), reset_less=True)
        geometry = Signal(geometry_layout(self.config), reset_less=True)
        left = Signal(job.count.shape())
        fresh = Signal()
        address = Signal(self.config.activation_address_bits, reset_less=True)
        y = Signal(signed(self.config.coordinate_bits), reset_less=True)
        x = Signal(signed(self.config.coordinate_bits), reset_less=True)
        index = [
            Signal(self.config.coordinate_bits, name=f"index{k}", reset_less=True) for k in range(LEVELS - 1)
        ]
        # Whether a level is at its last index is registered: it selects the next step.
        done = [Signal(name=f"done{k}", reset_less=True) for k in range(LEVELS - 1)]

        # The step is that of the innermost level which is not at its end.
        step = geometry.levels[LEVELS - 1]
        step_address, step_y, step_x = step.step, step.y, step.x
        for k in reversed(range(LEVELS - 1)):
            level = geometry.levels[k]
            step_address = Mux(done[k], step_address, level.step)
            step_y = Mux(done[k], step_y, level.y)
            step_x = Mux(done[k], step_x, level.x)

        busy = left != 0
        ready = Signal(init=1)
        m.d.sync += ready.eq(left <= 2)
        m.d.comb += self.ready.eq(ready)
        with m.If(busy):
            m.d.sync += [
                left.eq(left - 1),
                fresh.eq(0),
                address.eq(address + step_address),
                y.eq(y + step_y),
                x.eq(x + step_x),
            ]
            inner = 1
            for k in range(LEVELS - 1):
                limit = geometry.levels[k].limit
                with m.If(inner & done[k]):
                    m.d.sync += [index[k].eq(0), done[k].eq(limit == 0)]
                with m.Elif(inner):
                    m.d.sync += [index[k].eq(index[k] + 1), done[k].eq(index[k] + 1 == limit)]
                inner = inner & done[k]
        takes = self.job.source | self.job.layer
        with m.If(self.start):
            m.d.sync += [
                job.eq(self.job),
                left.eq(self.job.count),
                fresh.eq(1),
                address.eq(self.job.address),
                y.eq(self.job.y),
                x.eq(self.job.x),
                ready.eq(self.job["count"] <= 1),
                *(counter.eq(0) for counter in index),
            ]
            for k in range(LEVELS - 1):
                limit = Mux(takes, self.geometry.levels[k].limit, geometry.levels[k].limit)
                m.d.sync += done[k].eq(limit == 0)
            with m.If(takes):
                m.d.sync += geometry.eq(self.geometry)

        def beyond(coordinate, size):
            return Cat(coordinate) >= size

        m.d.comb += [
            self.address.eq(address),
            self.part.eq(job.part),
            self.outside.eq(beyond(y, geometry.plane.height) | beyond(x, geometry.plane.width)),
            self.pad.eq(geometry.plane.pad),
            self.offset.eq(job.offset),
            self.pixel.valid.eq(busy),
            self.pixel.start.eq(busy & fresh),
            self.pixel.first.eq(job.first),
            self.pixel.last.eq(job.last),
            self.pixel.parameters.eq(busy & fresh & job.parameters),
            self.pixel.pool_first.eq(Cat(index[0], index[1]) == 0),
            self.pixel.pool_last.eq(done[0] & done[1]),
        ]
        return m
