"""The dispatcher, which lets loading run one tile ahead of streaming."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import job_layout, tiles_bits
from hwquant.rtl_templates.ports import TilePort


class Dispatcher(Component):
    """The dispatcher of jobs: one waits to be loaded, another is loaded and waits to be streamed.

    With ``u`` the cycle in which a tile's load is taken and ``t`` the cycle in which its stream is started::

        u[k] >= t[k-1]                     the shadow weights are free
        t[k] >= u[k] + load_cycles         (of its weights' format; one more with an offset row; 1 without weights)
        t[k] >= t[k-1] + pixels[k-1]
        t[k] >= last address before + wait                   where a layer begins; wait is not 1
        t[k] >= t[last with parameters] + columns            where parameters are loaded
        t[k] >= t[k-1] + pixels[k-1] + ACCUMULATE_HAZARD - 1 where it has to settle

    Throughput: as the inequalities allow, without a cycle more.

    Parameters
    ----------
    config : ArrayConfig
        Shape and latencies.

    Members
    -------
    jobs : In(stream.Signature(job_layout(config)))
        Jobs, in order.
    load : Out(TilePort)
        Start of loading a tile's weights.
    stream : Out(TilePort)
        Start of streaming a tile's pixels.
    streaming : In(1)
        An address leaves in this cycle.
    wait : In(index_bits(config.drain_latency + 1))
        Cycles that a layer waits from the last address before it on, which it begins with: none, or from 2 to
        ``config.drain_latency - 1``, after which all before it is written. Constant while such a job is held.
    idle : Out(1)
        No job is held, and nothing is on its way to the activation memory.
    finished : Out(1)
        The last address of a tile left ``config.drain_latency`` cycles before this one: all that it gives is written.
        Only with external memory.
    tiles : Out(tiles_bits(config))
        Jobs that were taken and not finished, both before this cycle; only with external memory.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "load": Out(TilePort(config)),
                "stream": Out(TilePort(config)),
                "streaming": In(1),
                "wait": In(index_bits(config.drain_latency + 1)),
                "idle": Out(1),
            }
            | ({"finished": Out(1), "tiles": Out(tiles_bits(config))} if config.external_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the two slots, and the counters of what a job waits for."""
        m = Module()
        job = job_layout(self.config)
        waiting = Signal(job, reset_less=True)
        loaded = Signal(job, reset_less=True)
        waiting_valid = Signal()
        loaded_valid = Signal()
        since = Signal(index_bits(self.config.drain_latency + 1), init=self.config.drain_latency)
        spacing = Signal(range(self.config.columns))
        # Whether the counters are at their ends is registered, and whether the loaded job waits for them: long paths
        # begin with its start.
        drained = Signal(init=1)
        spaced = Signal(init=1)
        clear = Signal()

        may_start = loaded_valid & self.load.ready & self.stream.ready & clear
        if self.config.settles:
            recent = Signal(ACCUMULATE_HAZARD - 2)
            m.d.sync += recent.eq(Cat(self.streaming, recent))
            may_start &= ~loaded.settle | ~(self.streaming | recent.any())
        advance = waiting_valid & (~loaded_valid | self.stream.start)
        m.d.comb += [
            self.load.job.eq(waiting),
            self.stream.job.eq(loaded),
            self.stream.start.eq(may_start),
            self.load.start.eq(advance & ~waiting.product if self.config.product_bits else advance),
            self.jobs.ready.eq(~waiting_valid),
            self.idle.eq(~waiting_valid & ~loaded_valid & drained),
        ]
        with m.If(self.stream.start):
            m.d.sync += loaded_valid.eq(0)
        taken = advance if self.config.product_bits else self.load.start
        with m.If(taken):
            m.d.sync += [waiting_valid.eq(0), loaded_valid.eq(1), loaded.eq(waiting)]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [waiting_valid.eq(1), waiting.eq(self.jobs.payload)]

        if self.config.external_bits:
            self._count(m)
        latency = self.config.drain_latency
        drains, spaces = self.stream.start | self.streaming, self.stream.start & loaded.parameters
        with m.If(self.stream.start):
            m.d.sync += since.eq(1)
        with m.Elif(self.streaming):
            m.d.sync += since.eq(2)
        with m.Elif(~drained):
            m.d.sync += since.eq(since + 1)
        with m.If(spaces):
            m.d.sync += spacing.eq(self.config.columns - 1)
        with m.Elif(~spaced):
            m.d.sync += spacing.eq(spacing - 1)
        drained_next = ~drains & (drained | (since == latency - 1))
        waited_next = (self.wait == 0) | (~drains & (since >= self.wait))
        spaced_next = ~spaces & (spaced | (spacing == 1))
        layer = Mux(taken, waiting.layer, loaded.layer)
        parameters = Mux(taken, waiting.parameters, loaded.parameters)
        m.d.sync += [
            drained.eq(drained_next),
            spaced.eq(spaced_next),
            clear.eq((~layer | waited_next) & (~parameters | spaced_next)),
        ]
        return m

    def _count(self, m: Module) -> None:
        """Count tiles that are not finished."""
        last, tiles = Signal(), Signal(tiles_bits(self.config), name="unfinished")
        m.d.comb += [last.eq(self.streaming & self.stream.ready), self.tiles.eq(tiles)]
        finished = delayed(m, last, self.config.drain_latency, name="ended", reset_less=False)
        m.d.comb += self.finished.eq(finished)
        m.d.sync += tiles.eq(tiles + (self.jobs.valid & self.jobs.ready) - finished)

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """Two jobs, and the counters of what they wait for."""
        job = job_layout(config).size
        counters = index_bits(config.drain_latency + 1) + index_bits(config.columns)
        recent = ACCUMULATE_HAZARD - 2 if config.settles else 0
        return Facts(
            registers={
                "jobs": 2 * job,
                "control": 5 + counters + recent,
                "tiles": tiles_bits(config) + config.drain_latency if config.external_bits else 0,
            },
            muxes={"job": job},
            gates={"control": 1},
        )
