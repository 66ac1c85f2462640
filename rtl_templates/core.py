"""The accelerator: everything between the host's streams."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out, Signature, connect, flipped

from hwquant.program.config import FEED_LATENCY, ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.activations import ActivationFeed, ActivationMemory
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.collector import Collector
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.dispatcher import Dispatcher
from hwquant.rtl_templates.dsp import Platform
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.host import HostPort
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.registers import RegisterFile
from hwquant.rtl_templates.segments import entry_members
from hwquant.rtl_templates.sequencer import Sequencer
from hwquant.rtl_templates.streamer import Streamer
from hwquant.rtl_templates.weights import WeightLoader
from hwquant.rtl_templates.writer import Writer


def word_layout(config: ArrayConfig) -> StructLayout:
    """A beat of the host's streams: one word of the activation memory, and whether it ends the frame."""
    return StructLayout({"data": config.word_bits, "last": 1})


class WriteMonitor(Signature):
    """What is written to the activation memory, for testbenches: unconnected, it costs nothing.

    ``valid``; ``address``; ``data`` and ``enable``, one bit a write group.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__(
            {
                "valid": Out(1),
                "address": Out(config.activation_address_bits),
                "data": Out(config.word_bits),
                "enable": Out(config.groups),
            }
        )


class Accelerator(Component):
    """A weight-stationary systolic array, time-shared by all layers; a whole network runs without the host.

    Parameters
    ----------
    config : widths, depths and options
    program, weights, parameters : initial contents of the memories, lists of unsigned words
    checksum : 32 bits that identify the program, readable by the host
    loadable : the weight memory has no initial contents; the host sends ``weights`` after each reset, and no
        inference begins before it has

    Members
    -------
    frames : In, stream of input words, ``last`` on the last word of an inference
    results : Out, stream of output words, likewise
    bus : In, the register file; see :class:`~hwquant.rtl_templates.registers.RegisterFile`
    load : In, stream of the weight memory's words, which never waits (only where it is loadable)
    monitor : Out, writes of layer outputs
    """

    def __init__(
        self,
        config: ArrayConfig,
        *,
        program: Sequence[int] = (),
        weights: Sequence[int] = (),
        parameters: Sequence[int] = (),
        checksum: int = 0,
        loadable: bool = False,
    ):
        self.config = config
        self.loadable = loadable
        self.images = {"program": list(program), "weights": list(weights), "parameters": list(parameters)}
        self.checksum = checksum
        load = {"load": In(stream.Signature(config.columns * config.slot_bits))} if loadable else {}
        super().__init__(
            {
                "frames": In(stream.Signature(word_layout(config))),
                "results": Out(stream.Signature(word_layout(config))),
                "bus": In(RegisterFile.bus_signature()),
                "monitor": Out(WriteMonitor(config)),
            }
            | load
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.registers = registers = RegisterFile(
            config, self.checksum, len(self.images["weights"]) if self.loadable else 0
        )
        m.submodules.sequencer = sequencer = Sequencer(config, self.images["program"])
        m.submodules.host = host = HostPort(config)
        m.submodules.dispatcher = dispatcher = Dispatcher(config)
        m.submodules.weights = weights = WeightLoader(config, self.images["weights"], loadable=self.loadable)
        m.submodules.streamer = streamer = Streamer(config)
        m.submodules.memory = memory = ActivationMemory(config)
        m.submodules.feed = feed = ActivationFeed(config)
        m.submodules.array = array = SystolicArray(config)
        m.submodules.parameter_reader = parameters = ParameterReader(config, self.images["parameters"])
        m.submodules.collector = collector = Collector(config)
        m.submodules.writer = writer = Writer(config)

        connect(m, flipped(self.bus), registers.bus)
        connect(m, flipped(self.frames), host.frames)
        connect(m, flipped(self.results), host.results)
        connect(m, sequencer.jobs, dispatcher.jobs)

        # A job that changes the layer takes the double-buffered registers as it starts.
        clamp = Signal(instruction_layout(config, Opcode.CLAMP), reset_less=True)
        new_layer = dispatcher.start & dispatcher.start_job.layer
        with m.If(new_layer):
            m.d.sync += clamp.eq(sequencer.clamp)
        m.d.comb += [
            sequencer.enable.eq(registers.enable),
            sequencer.taken.eq(dispatcher.start & (dispatcher.start_job.layer | dispatcher.start_job.source)),
            sequencer.idle.eq(dispatcher.idle),
            host.input_start.eq(sequencer.input_start),
            host.output_start.eq(sequencer.output_start),
            host.transfer.eq(sequencer.transfer),
            sequencer.transfer_done.eq(host.done),
            registers.begin.eq(sequencer.begin),
            registers.done.eq(sequencer.done),
            registers.illegal.eq(sequencer.illegal),
            registers.framing.eq(host.framing),
            registers.input_done.eq(host.input_done),
            registers.output_start.eq(sequencer.output_start),
            weights.rewind.eq(sequencer.begin),
            weights.take.eq(dispatcher.load),
            weights.offsets.eq(dispatcher.load_job.offsets),
            weights.first.eq(dispatcher.load_job.first),
            weights.mark.eq(dispatcher.load_job.parameters),
            weights.offset.eq(dispatcher.start_job.offset),
            dispatcher.loader_ready.eq(weights.ready),
            dispatcher.streamer_ready.eq(streamer.ready),
            dispatcher.streaming.eq(streamer.streaming),
            streamer.start.eq(dispatcher.start),
            streamer.job.eq(dispatcher.start_job),
            streamer.geometry.eq(sequencer.geometry),
        ]

        if config.weight_packing > 1:
            m.d.comb += weights.format.eq(dispatcher.load_job["format"])
        for name in entry_members(config, In):
            m.d.comb += getattr(array, name).eq(getattr(weights, name))

        if self.loadable:
            connect(m, flipped(self.load), weights.words)
            m.d.comb += registers.missing.eq(weights.missing)

        # From the memory through the array and back to the memory.
        swap = delayed(m, streamer.swap, FEED_LATENCY, name="swap", reset_less=False)
        m.d.comb += [
            memory.read_address.eq(streamer.address),
            memory.advance.eq(1),
            feed.part.eq(streamer.part),
            feed.outside.eq(streamer.outside),
            feed.pad.eq(streamer.pad),
            feed.data.eq(memory.read_data),
            array.x.eq(feed.x),
            array.swap.eq(swap),
            array.weight.eq(weights.weight),
            array.load.eq(weights.load),
            array.offset.eq(streamer.offset),
            array.taps.eq(delayed(m, streamer.taps, FEED_LATENCY, name="taps")),
            array.delay.eq(streamer.delay),
            collector.pixel.eq(streamer.pixel),
            collector.sums.eq(array.sums),
            collector.bus.eq(parameters.bus),
            collector.clamp.eq(clamp),
            parameters.rewind.eq(sequencer.begin),
            parameters.start.eq(collector.parameters),
            writer.start.eq(new_layer),
            writer.write.eq(sequencer.write),
            writer.outputs.eq(collector.outputs),
            writer.valid.eq(collector.valid),
            memory.write_address.eq(writer.address),
            memory.write_data.eq(writer.data),
            memory.write_enable.eq(writer.enable),
            self.monitor.valid.eq(collector.valid),
            self.monitor.address.eq(writer.address),
            self.monitor.data.eq(writer.data),
            self.monitor.enable.eq(writer.enable),
        ]
        # The host has the memory while no layer runs.
        with m.If(host.writing):
            m.d.comb += [
                memory.write_address.eq(host.address),
                memory.write_data.eq(host.write_data),
                memory.write_enable.eq(host.write_enable.replicate(config.groups)),
            ]
        with m.If(host.reading):
            m.d.comb += [memory.read_address.eq(host.address), memory.advance.eq(host.advance)]
        m.d.comb += host.read_data.eq(memory.read_data)
        return m

    @staticmethod
    def facts(config: ArrayConfig, platform: Platform | None = None, *, loadable: bool = False) -> Facts:
        """Of the accelerator that a platform gets.

        Parameters
        ----------
        config : ArrayConfig
            As of the component.
        platform : Platform or None
            What its ``elaborate`` gets.
        loadable : bool
            As of the component.
        """
        parts = {
            "registers": RegisterFile.facts(loadable=loadable),
            "sequencer": Sequencer.facts(config),
            "host": HostPort.facts(config),
            "dispatcher": Dispatcher.facts(config),
            "weights": WeightLoader.facts(config, loadable=loadable),
            "streamer": Streamer.facts(config),
            "memory": ActivationMemory.facts(config),
            "feed": ActivationFeed.facts(config),
            "array": SystolicArray.facts(config, platform),
            "parameter_reader": ParameterReader.facts(config),
            "collector": Collector.facts(config),
            "writer": Writer.facts(config),
        }
        return Facts(
            registers={
                "clamp": instruction_layout(config, Opcode.CLAMP).size,
                "swap": FEED_LATENCY,
                "taps": FEED_LATENCY,
            },
            redundant={"taps": 0 if config.tap_lines else FEED_LATENCY},
            muxes={
                "word": config.word_bits,
                "address": config.activation_address_bits,
                "geometry": geometry_layout(config).size,
            },
            gates={"control": 1},
            inside=[Inside(name, facts) for name, facts in parts.items()],
        )
