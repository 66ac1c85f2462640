"""The accelerator: everything between the host's streams."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.program.latencies import FEED_LATENCY
from hwquant.rtl_templates.activations import ActivationFeed, ActivationMemory
from hwquant.rtl_templates.array import SystolicArray, shares_lanes
from hwquant.rtl_templates.bank_selector import BankSelector
from hwquant.rtl_templates.collector import Collector
from hwquant.rtl_templates.delay import check_latency, delayed
from hwquant.rtl_templates.dispatcher import Dispatcher
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.host import HostPort
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout
from hwquant.rtl_templates.latency_checks import check_latencies
from hwquant.rtl_templates.mover import Mover
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.ports import (
    AxiMemoryPort,
    RegisterPort,
    WriteMonitor,
    frame_layout,
    word_layout,
)
from hwquant.rtl_templates.products import LaneSkew, Products
from hwquant.rtl_templates.registers import RegisterFile
from hwquant.rtl_templates.sequencer import Sequencer
from hwquant.rtl_templates.streamer import Streamer
from hwquant.rtl_templates.weights import WeightLoader
from hwquant.rtl_templates.writer import Writer


class Accelerator(Component):
    """The accelerator: a weight-stationary systolic array, time-shared by all layers of a network.

    Several arrays do the same at the same time, with the same weights, each in its strip of the picture: each has a
    bank of the activation memory, and may read the others' banks.

    Frame in, frame out: ``results`` are those of the program's network for ``frames``, and a whole network runs
    without the host.

    Latency and throughput: an inference takes as many cycles as :func:`hwquant.program.cycles.timing` says; on
    ``frames`` and ``results``, a beat a cycle while the host keeps up.

    Parameters
    ----------
    config : ArrayConfig
        Widths, depths and options.
    program : Sequence of int
        Initial contents of the program memory, unsigned words.
    weights : Sequence of int
        Initial contents of the weight memory, unsigned words.
    parameters : Sequence of int
        Initial contents of the parameter memory, unsigned words.
    tables : Sequence of int
        Contents of the table memories, unsigned words; empty where there are none.
    checksum : int
        32 bits that identify the program, readable by the host.
    loadable : bool
        The weight memory has no initial contents; the host sends ``weights`` after each reset, and no inference
        begins before it has.
    page : int or None
        Where the accelerator's part of external memory begins, in pages of 4 KiB; None: the host says so after each
        reset, and no inference begins before it has.
    hosted_beats : int
        Beats of external memory that are to be written before an inference begins, as the host may see in the register
        LOAD; 0: it has its contents.

    Attributes
    ----------
    images : dict of str to list of int
        Contents of the memories ``program``, ``weights``, ``parameters`` and ``tables``.

    Members
    -------
    frames : In(stream.Signature(frame_layout(config)))
        Beats of input, with ``last`` on the last one of an inference: words, or values of pixels that a packer makes
        words of.
    results : Out(stream.Signature(word_layout(config)))
        Output words, with ``last`` on the last one of an inference.
    bus : In(RegisterPort)
        Access to the registers; see :class:`~hwquant.rtl_templates.registers.RegisterFile`.
    load : In(stream.Signature(config.columns * config.slot_bits))
        Words of the weight memory, always accepted; only where the accelerator is loadable.
    monitor : Out(WriteMonitor)
        Writes of layer outputs, for testbenches.
    memory : Out(AxiMemoryPort(config.external_bits))
        The port to external memory, which has the weights and the parameters; only where there is one.
    missing : In(1)
        They have not been written; only where there are ``hosted_beats``.
    halt : In(1)
        No move begins; only where there are ``hosted_beats``.
    quiet : Out(1)
        While halted: no move is under way, so that a reset cuts no burst; only where there are ``hosted_beats``.
    begins : Out(1)
        The last beat of an input frame has moved in the cycle before: a controller may count refreshes from here, so
        that every inference takes as many cycles. Only where there is external memory.
    """

    def __init__(
        self,
        config: ArrayConfig,
        *,
        program: Sequence[int] = (),
        weights: Sequence[int] = (),
        parameters: Sequence[int] = (),
        tables: Sequence[int] = (),
        checksum: int = 0,
        loadable: bool = False,
        page: int | None = None,
        hosted_beats: int = 0,
    ):
        self.config = config
        self.page = page
        self.hosted_beats = hosted_beats
        self.loadable = loadable
        self.images = {
            "program": list(program),
            "weights": list(weights),
            "parameters": list(parameters),
            "tables": list(tables),
        }
        self.checksum = checksum
        if loadable and config.external_bits:
            raise HwquantError("weights come from external memory: the host cannot load them besides")
        external = {"memory": Out(AxiMemoryPort(config.external_bits or 8)), "begins": Out(1)}
        if hosted_beats:
            external |= {"missing": In(1), "halt": In(1), "quiet": Out(1)}
        load = {"load": In(stream.Signature(config.columns * config.slot_bits))} if loadable else {}
        super().__init__(
            {
                "frames": In(stream.Signature(frame_layout(config))),
                "results": Out(stream.Signature(word_layout(config))),
                "bus": In(RegisterPort()),
                "monitor": Out(WriteMonitor(config)),
            }
            | load
            | (external if config.external_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the components, check their latencies, and connect them."""
        m = Module()
        config = self.config
        loads = len(self.images["weights"]) if self.loadable else self.hosted_beats
        m.submodules.registers = registers = RegisterFile(config, self.checksum, loads, self.page)
        m.submodules.sequencer = sequencer = Sequencer(config, self.images["program"])
        m.submodules.host = host = HostPort(config)
        m.submodules.dispatcher = dispatcher = Dispatcher(config)
        m.submodules.weights = weights = WeightLoader(config, self.images["weights"], loadable=self.loadable)
        m.submodules.streamer = streamer = Streamer(config)
        m.submodules.memory = memory = ActivationMemory(config)
        m.submodules.feed = feed = ActivationFeed(config)
        arrays = [SystolicArray(config, number) for number in range(config.arrays)]
        for number, array in enumerate(arrays):
            m.submodules[_of("array", number)] = array
        m.submodules.parameter_reader = parameters = ParameterReader(config, self.images["parameters"])
        m.submodules.collector = collector = Collector(config, self.images["tables"])
        m.submodules.writer = writer = Writer(config)
        check_latencies(config, memory, host, feed, weights, arrays[0], collector)

        # The host: registers, frames and results.
        connect(m, flipped(self.bus), registers.bus)
        connect(m, flipped(self.frames), host.frames)
        connect(m, flipped(self.results), host.results)
        connect(m, host.events, registers.frames)

        # The program: words to move, and tiles to load and to stream.
        connect(m, sequencer.run, registers.run)
        connect(m, sequencer.transfer, host.transfer)
        connect(m, sequencer.jobs, dispatcher.jobs)
        connect(m, dispatcher.load, weights.tile)
        connect(m, dispatcher.stream, streamer.tile)
        m.d.comb += [
            dispatcher.streaming.eq(streamer.streaming),
            sequencer.idle.eq(dispatcher.idle),
            weights.rewind.eq(sequencer.run.begin),
            parameters.rewind.eq(sequencer.run.begin),
        ]

        # The double-buffered registers are taken as a job starts, or as a layer's first pixel comes to its end.
        starts, job = dispatcher.stream.start, dispatcher.stream.job
        m.d.comb += [
            sequencer.taken.eq(starts & (job.layer | job.source)),
            sequencer.begun.eq(collector.begins),
            dispatcher.wait.eq(sequencer.write.wait if config.overlap else config.drain_latency - 1),
            streamer.geometry.eq(sequencer.geometry),
            collector.clamp.eq(sequencer.clamp),
            writer.start.eq(collector.begins),
            writer.layer.eq(sequencer.write),
        ]

        if config.external_bits:
            m.submodules.mover = mover = Mover(config)
            connect(m, sequencer.moves, mover.moves)
            connect(m, mover.weights, weights.fill)
            connect(m, mover.parameters, parameters.fill)
            connect(m, mover.memory, flipped(self.memory))
            m.d.comb += [
                sequencer.pending.eq(mover.pending),
                mover.tiles.eq(dispatcher.tiles),
                mover.finished.eq(dispatcher.finished),
                mover.base.eq(registers.base),
                registers.error.eq(mover.error),
                registers.held.eq(sequencer.held),
                self.begins.eq(host.events.received),
            ]
            if self.hosted_beats:
                m.d.comb += [
                    registers.missing.eq(self.missing),
                    mover.halt.eq(self.halt),
                    self.quiet.eq(mover.quiet),
                ]
            if config.program_half:
                connect(m, mover.program, sequencer.fill)
            if config.half_depth:
                connect(m, mover.load, memory.load)
                connect(m, mover.read, memory.store)
                m.d.comb += [memory.storing.eq(mover.reading), mover.data.eq(memory.stored)]

        # Weights, from their memory into the array.
        connect(m, weights.weights, arrays[0].weights)
        for array in arrays[1:]:
            _fan_out(m, weights.weights, array.weights)
        m.d.comb += weights.offset.eq(job.offset)
        if self.loadable:
            connect(m, flipped(self.load), weights.words)
            m.d.comb += registers.missing.eq(weights.missing)

        # Pixels, from their memory through the array and back.
        connect(m, streamer.read, memory.read)
        words = self._words(m, streamer, memory, feed)
        connect(m, collector.parameters, parameters.port)
        connect(m, collector.results, writer.results)
        connect(m, writer.write, memory.write)
        connect(m, writer.monitor, flipped(self.monitor))
        to_array = memory.latency + feed.latency
        swap = delayed(m, streamer.swap, to_array, name="swap", reset_less=False)
        taps = delayed(m, streamer.taps, to_array, name="taps")
        m.d.comb += feed.data.eq(words)
        for number, array in enumerate(arrays):
            m.d.comb += [
                array.x.eq(feed.x.as_value().word_select(number, len(array.x.as_value()))),
                array.swap.eq(swap),
                array.taps.eq(taps),
                array.delay.eq(streamer.delay),
                array.offset.eq(streamer.offset),
            ]
        m.d.comb += [
            collector.pixel.eq(streamer.pixel),
            collector.sums.eq(Cat(array.sums for array in arrays)),
        ]

        # The host has the memory while no layer runs.
        with m.If(host.reading):
            connect(m, host.read, memory.read)
        with m.If(host.writing):
            connect(m, host.write, memory.write)
        m.d.comb += host.data.eq(memory.data)
        if config.product_bits:
            factor = delayed(m, streamer.factor, to_array, name="factor", reset_less=False)
            multiplies = Signal()
            zeros = Signal(instruction_layout(config, Opcode.PRODUCT), reset_less=True)
            with m.If(starts & job.layer):
                m.d.sync += [multiplies.eq(job["product"]), zeros.eq(sequencer.product)]
            m.d.comb += collector.multiplies.eq(multiplies)
            multiplied = []
            for number, array in enumerate(arrays):
                word = words.word_select(number, config.word_bits)
                lanes = array.lanes if shares_lanes(config) else _all_lanes(m, config, number, word)
                m.submodules[_of("products", number)] = products = Products(config)
                m.d.comb += [
                    products.lanes.eq(lanes),
                    products.factor.eq(factor),
                    products.zeros.eq(zeros),
                ]
                multiplied.append(products.products)
            m.d.comb += collector.products.eq(Cat(multiplied))
        return m

    def _words(self, m: Module, streamer: Streamer, memory: ActivationMemory, feed: ActivationFeed) -> Value:
        """Select lanes of what was read, and before it the bank that each of several arrays reads; return the words."""
        if self.config.arrays == 1:
            connect(m, streamer.selection, feed.selection)
            return memory.data
        selection = streamer.selection
        m.submodules.banks = banks = BankSelector(self.config)
        m.d.comb += [
            feed.selection.part.eq(selection.part),
            feed.selection.outside.eq(selection.outside),
            feed.selection.pad.eq(selection.pad),
            banks.banks.eq(selection.banks),
            banks.data.eq(memory.data),
        ]
        return banks.words

    @staticmethod
    def facts(config: ArrayConfig, budget: DspBudget | None = None, *, loadable: bool = False) -> Facts:
        """What an accelerator is made of.

        Parameters
        ----------
        config : ArrayConfig
            Widths, depths and options.
        budget : DspBudget or None
            What ``elaborate`` gets as its platform.
        loadable : bool
            Whether the host sends the weights.

        Returns
        -------
        Facts
            The registers between the components, and the components inside.
        """
        parts = {
            "registers": RegisterFile.facts(config, loadable=loadable),
            "sequencer": Sequencer.facts(config),
            "host": HostPort.facts(config),
            "dispatcher": Dispatcher.facts(config),
            "weights": WeightLoader.facts(config, loadable=loadable),
            "streamer": Streamer.facts(config),
            "memory": ActivationMemory.facts(config),
            "feed": ActivationFeed.facts(config),
            "parameter_reader": ParameterReader.facts(config),
            "collector": Collector.facts(config, budget),
            "writer": Writer.facts(config),
        }
        several = [
            Inside("array", SystolicArray.facts(config, budget, number)) for number in range(config.arrays)
        ]
        if config.external_bits:
            parts["mover"] = Mover.facts(config)
        if config.arrays > 1:
            parts["banks"] = BankSelector.facts(config)
        if config.product_bits:
            several.append(Inside("products", Products.facts(config, budget), config.arrays))
            if not shares_lanes(config):
                several.append(Inside("lanes", LaneSkew.facts(config), config.arrays))
        to_array = ActivationMemory.latency + ActivationFeed.latency
        return Facts(
            registers={
                "swap": to_array,
                "taps": to_array,
                "products": instruction_layout(config, Opcode.PRODUCT).size + 1 + to_array
                if config.product_bits
                else 0,
            },
            redundant={"taps": 0 if config.tap_lines else to_array},
            muxes={
                "word": config.word_bits,
                "address": config.activation_address_bits,
                "geometry": geometry_layout(config).size,
            },
            gates={"control": 1},
            inside=[*(Inside(name, facts) for name, facts in parts.items()), *several],
        )


def _of(name: str, array: int) -> str:
    """The name of what belongs to an array."""
    return f"{name}{array}" if array else name


def _fan_out(m: Module, source: Any, target: Any) -> None:
    """Connect a port to one more component, which gets what the first one does."""
    for (_, _, leads), (_, _, follows) in zip(
        source.signature.flatten(source), source.signature.flatten(target), strict=True
    ):
        m.d.comb += Value.cast(follows).eq(leads)


def _all_lanes(m: Module, config: ArrayConfig, array: int, word: Value) -> Value:
    """All lanes of the word that was read, skewed, where the array's rows take a part of it."""
    m.submodules[_of("lanes", array)] = lanes = LaneSkew(config)
    check_latency("the way of a lane to its product", ActivationMemory.latency + lanes.latency, FEED_LATENCY)
    m.d.comb += lanes.data.eq(word)
    return lanes.lanes
