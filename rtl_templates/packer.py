"""What makes words of the inputs that the host sends as they are: see :mod:`hwquant.program.raw_inputs`."""

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.input_packer import InputPacker
from hwquant.rtl_templates.ports import PackerPort, WritePort, frame_layout


class Packer(Component):
    """The packer of a frame: its inputs, one after the other.

    A frame whose ``last`` comes early or late is dropped: the packer waits for its end, and begins again.

    Throughput: a beat a cycle where there is no padding; see :meth:`~hwquant.program.raw_inputs.RawInput.cycles`.

    Parameters
    ----------
    config : ArrayConfig
        Widths, and the inputs.

    Members
    -------
    frames : In(stream.Signature(frame_layout(config)))
        Beats from the host.
    port : In(PackerPort(config))
        What is to be received, and what has become of it.
    write : Out(WritePort(config))
        The word that is written, and its address.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "frames": In(stream.Signature(frame_layout(config))),
                "port": In(PackerPort(config)),
                "write": Out(WritePort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build an engine for each input, and the state machine of the frame."""
        m = Module()
        config, frames, port = self.config, self.frames, self.port
        engines = [InputPacker(config, item) for item in config.raw_inputs]
        several = len(engines) > 1
        index = Signal(range(len(engines))) if several else Const(0)
        last = index == len(engines) - 1 if several else Const(1)
        begin = Signal()
        final = Signal()
        done = Signal()
        taken = frames.valid & frames.ready
        offset = 0
        for number, engine in enumerate(engines):
            m.submodules[f"input{number}"] = engine
            m.d.comb += [
                engine.begin.eq(begin),
                engine.address.eq(port.address + offset if offset else port.address),
                engine.beats.payload.eq(frames.payload.data),
            ]
            offset += engine.room
        with m.FSM() as fsm:
            m.d.comb += port.busy.eq(~fsm.ongoing("idle"))
            with m.State("idle"):
                m.d.comb += begin.eq(port.start)
                with m.If(port.start):
                    m.next = "input"
            with m.State("input"):
                self._run(m, engines, index, final, done)
                if several:
                    with m.If(done & ~last):
                        m.d.sync += index.eq(index + 1)
                ends = final & last
                with m.If(taken & ends & frames.payload.last):
                    m.d.comb += port.received.eq(1)
                    m.next = "tail"
                with m.Elif(taken & (ends | frames.payload.last)):
                    m.d.comb += [port.dropped.eq(1), begin.eq(frames.payload.last)]
                    with m.If(~frames.payload.last):
                        m.next = "drop"
            with m.State("drop"):
                m.d.comb += frames.ready.eq(1)
                with m.If(frames.valid & frames.payload.last):
                    m.d.comb += begin.eq(1)
                    m.next = "input"
            with m.State("tail"):
                self._run(m, engines[-1:], Const(0), final, done)
                m.d.comb += port.done.eq(done)
                with m.If(done):
                    m.next = "idle"
        if several:
            with m.If(begin):
                m.d.sync += index.eq(0)
        return m

    def _run(self, m: Module, engines: list[InputPacker], index: Value, final: Signal, done: Signal) -> None:
        """Let the engine of an input go on."""
        with m.Switch(index):
            for number, engine in enumerate(engines):
                with m.Case(number):
                    m.d.comb += [
                        engine.run.eq(1),
                        engine.beats.valid.eq(self.frames.valid),
                        self.frames.ready.eq(engine.beats.ready),
                        final.eq(engine.final),
                        done.eq(engine.done),
                    ]
                    connect(m, engine.write, flipped(self.write))

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The number of an input, four states, and the engines."""
        inputs = config.raw_inputs
        return Facts(
            registers={"index": index_bits(len(inputs)) if len(inputs) > 1 else 0, "control": 2},
            adders={"address": (len(inputs) - 1) * config.activation_address_bits},
            muxes={"word": (len(inputs) - 1) * config.word_bits},
            gates={"control": 1},
            inside=[Inside("input", InputPacker.facts(config, item)) for item in inputs],
        )
