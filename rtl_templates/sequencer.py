"""The sequencer, which fetches and executes the program."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import (
    LAYER,
    QUEUE,
    SOURCE,
    MoveKind,
    Opcode,
    fields,
    opcode_bits,
    program_bits,
)
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import banks, choice_bits, read_only
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout, job_layout, move_layout
from hwquant.rtl_templates.ports import FillPort, RunPort, TransferPort
from hwquant.rtl_templates.sequencer_registers import SequencerRegisters


class Sequencer(Component):
    """The sequencer: it executes instructions (see :mod:`hwquant.program.isa`) in order.

    SET instructions fill registers; TILE (times REPEAT) emits jobs; INPUT and OUTPUT wait for the host
    engines; END begins again at word 0. The double-buffered registers may only be written after the job that
    will take them has started, or the first output of the layer that it begins is near: so long their instructions, and
    the next job of that kind, wait.

    Where the program lies in external memory, the address of its words counts modulo the depth of the memory inside,
    and the program has the moves that fetch its next half. The sequencer itself fetches the first half, which lies at
    address 0 outside: when an inference begins, and when the program begins again as a frame was dropped. No word is
    executed before.

    Throughput: a word of the program a cycle, unless it has to wait.

    Parameters
    ----------
    config : ArrayConfig
        Depth and widths.
    init : Sequence of int
        The program, unsigned words; empty where it comes from external memory.

    Members
    -------
    run : Out(RunPort)
        Whether an inference may begin; what is executed.
    jobs : Out(stream.Signature(job_layout(config)))
        Tiles to load and stream.
    geometry : Out(geometry_layout(config))
        Register that the next ``source`` or ``layer`` job takes: how pixels are visited.
    write : Out(instruction_layout(config, Opcode.WRITE))
        Register that the layer of the next ``layer`` job takes: where outputs go.
    clamp : Out(instruction_layout(config, Opcode.CLAMP))
        Register that the layer of the next ``layer`` job takes: the bounds of outputs.
    product : Out(instruction_layout(config, Opcode.PRODUCT))
        Register that the next ``layer`` job takes: the zero points of a product's operands; only where there are any.
    taken : In(1)
        A ``source`` or ``layer`` job starts in this cycle.
    begun : In(1)
        The layer of the latest ``layer`` job has taken its registers, the last of them in this cycle.
    idle : In(1)
        All jobs are finished and written.
    transfer : Out(TransferPort)
        Words to receive, or to send.
    moves : Out(stream.Signature(move_layout(config)))
        Moves to queue; only with external memory.
    pending : In(range(QUEUE + 1))
        Moves that are not complete; only with external memory.
    held : Out(1)
        An instruction waits for a move; only with external memory.
    fill : In(FillPort(config.program_depth, program_bits(config)))
        Words of the program; only where they come from external memory.
    """

    def __init__(self, config: ArrayConfig, init: Sequence[int]):
        self.config = config
        self.init = init
        external = {}
        if config.external_bits:
            moves = Out(stream.Signature(move_layout(config)))
            external = {"moves": moves, "pending": In(range(QUEUE + 1)), "held": Out(1)}
        if config.program_half:
            external["fill"] = In(FillPort(config.program_depth, program_bits(config)))
        super().__init__(
            {
                "run": Out(RunPort()),
                "jobs": Out(stream.Signature(job_layout(config))),
                "geometry": Out(geometry_layout(config)),
                "write": Out(instruction_layout(config, Opcode.WRITE)),
                "clamp": Out(instruction_layout(config, Opcode.CLAMP)),
                "taken": In(1),
                "begun": In(1),
                "idle": In(1),
                "transfer": Out(TransferPort(config)),
            }
            | ({"product": Out(instruction_layout(config, Opcode.PRODUCT))} if config.product_bits else {})
            | (external if config.external_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the program memory, and what fetches and executes its words."""
        m = Module()
        state = SequencerRegisters(self.config)
        self._fetch(m, state)
        m.d.comb += [
            self.geometry.eq(state.geometry),
            self.write.eq(state.write),
            self.clamp.eq(state.clamp),
            # Of these fields INPUT has the first ones, or all.
            self.transfer.words.eq(self._view(state, Opcode.OUTPUT)),
        ]
        if self.config.product_bits:
            m.d.comb += self.product.eq(state.product)
        if self.config.external_bits:
            m.d.comb += [
                *(self.moves.payload[name].eq(field) for name, field in self._move(state).items()),
                self.moves.payload["external"].eq(state.external),
            ]
        self._offer(m, state)
        with m.If(self.taken):
            m.d.sync += state.pending.eq(0)
        with m.If(self.begun):
            m.d.sync += state.coming.eq(0)
        self._execute(m, state)
        if self.config.in_pieces:
            # What is before the first input sets registers, as it has done.
            with m.If(self.transfer.again):
                m.d.sync += self._restart(state)
        if self.config.program_half:
            self._boot(m, state)
        with m.If(~state.running & self.run.enable & ~self.run.illegal):
            m.d.comb += self.run.begin.eq(1)
            m.d.sync += state.running.eq(1)
        return m

    def _restart(self, state: SequencerRegisters) -> list[Any]:
        """Begin with word 0."""
        absent = [state.absent.eq(1)] if self.config.program_half else []
        return [state.valid.eq(0), state.fetched.eq(0), state.pc.eq(0), *absent]

    def _boot(self, m: Module, state: SequencerRegisters) -> None:
        """Fetch the first half of the program before its first word."""
        move = self.moves.payload
        with m.If(state.running & state.absent & ~state.moving):
            m.d.comb += [
                self.moves.valid.eq(1),
                move["kind"].eq(MoveKind.PROGRAM),
                move["address"].eq(0),
                move["count"].eq(self.config.program_half),
                move["external"].eq(0),
            ]
            m.d.sync += state.moving.eq(self.moves.ready)
        with m.If(state.moving & (self.pending == 0)):
            m.d.sync += [state.moving.eq(0), state.absent.eq(0)]

    def _view(self, state: SequencerRegisters, opcode: Opcode) -> data.View:
        """The fields of the word, as those of an instruction."""
        layout = instruction_layout(self.config, opcode)
        return data.View(layout, state.word[opcode_bits(self.config) :][: layout.size])

    def _move(self, state: SequencerRegisters) -> dict[str, Value]:
        """The fields of a MOVE."""
        view = self._view(state, Opcode.MOVE)
        return {name: view[name] for name, _ in view.shape()}

    def _fetch(self, m: Module, state: SequencerRegisters) -> None:
        """Fetch the next word, unless the one that is there waits."""
        config, advance = self.config, Signal()
        fill = self.fill if config.program_half else None
        word = read_only(m, program_bits(config), config.program_depth, self.init, state.pc, advance, fill)
        advances = state.running & ~(state.valid & state.wait)
        if config.program_half:
            advances &= ~state.absent
        m.d.comb += [advance.eq(advances), state.word.eq(word)]
        with m.If(advance):
            m.d.sync += [
                state.pc.eq(state.pc + 1),
                state.fetched.eq(1),
                state.valid.eq(state.fetched),
                state.fresh.eq(1),
            ]
        with m.Elif(state.valid):
            m.d.sync += state.fresh.eq(0)

    def _offer(self, m: Module, state: SequencerRegisters) -> None:
        """Offer the job that a TILE stands for."""
        job, tile = self.jobs.payload, self._view(state, Opcode.TILE)
        m.d.comb += [
            *(job[name].eq(tile[name]) for name, _ in tile.shape()),
            job["count"].eq(state.count),
            job.offset.eq(state.offset),
        ]
        if self.config.formatted:
            m.d.comb += job["format"].eq(state.form)
        if self.config.external_bits:
            m.d.comb += job["weights"].eq(state.weights)
        # Of repeated tiles, the marks of the beginning belong to the first, `last` to the last.
        with m.If(state.repeated):
            m.d.comb += [
                job.address.eq(tile.address + state.skipped),
                job.first.eq(0),
                job.parameters.eq(0),
                job.offsets.eq(0),
                job.source.eq(0),
                job.layer.eq(0),
            ]
        with m.If(state.repeating):
            m.d.comb += job.last.eq(0)

    def _execute(self, m: Module, state: SequencerRegisters) -> None:
        """Execute the word that is there, or let it wait."""
        opcode = state.word[: opcode_bits(self.config)]
        with m.If(state.valid & state.running), m.Switch(opcode):
            with m.Case(Opcode.END):
                m.d.comb += [self.run.done.eq(1), state.wait.eq(1)]
                m.d.sync += [state.running.eq(0), *self._restart(state)]
            with m.Case(Opcode.INPUT):
                m.d.comb += [self.transfer.receive.eq(state.fresh), state.wait.eq(~self.transfer.done)]
            with m.Case(Opcode.OUTPUT):
                # `fresh` is stretched until the pipeline is empty: the engine starts exactly once.
                m.d.comb += [
                    self.transfer.send.eq(state.fresh & self.idle),
                    state.wait.eq(~self.transfer.done),
                ]
                with m.If(~self.idle):
                    m.d.sync += state.fresh.eq(1)
            for kind, awaited in ((SOURCE, state.pending), (LAYER, state.coming)):
                with m.Case(*(buffered for buffered in kind if buffered in fields(self.config))):
                    m.d.comb += state.wait.eq(awaited)
                    with m.If(~awaited):
                        self._set(m, state, opcode)
            with m.Case(Opcode.OFFSET):
                m.d.sync += state.offset.eq(self._view(state, Opcode.OFFSET).offset)
            with m.Case(Opcode.COUNT):
                m.d.sync += state.count.eq(self._view(state, Opcode.COUNT)["count"])
            if self.config.formatted:
                with m.Case(Opcode.FORMAT):
                    m.d.sync += state.form.eq(self._view(state, Opcode.FORMAT))
            with m.Case(Opcode.REPEAT):
                repetition = self._view(state, Opcode.REPEAT)
                m.d.sync += [
                    state.repeat.eq(repetition["count"]),
                    state.repeating.eq(repetition["count"] != 0),
                    state.step.eq(repetition.step),
                ]
            with m.Case(Opcode.TILE):
                self._tile(m, state)
            if self.config.external_bits:
                self._external(m, state)
            with m.Default():
                m.d.comb += state.wait.eq(1)
                m.d.sync += [state.running.eq(0), self.run.illegal.eq(1)]

    def _tile(self, m: Module, state: SequencerRegisters) -> None:
        """Execute TILE: a job, or as many as REPEAT said."""
        tile = self._view(state, Opcode.TILE)
        takes = ~state.repeated & (tile.source | tile.layer)
        begins = ~state.repeated & tile.layer
        allowed = ~(takes & state.pending | begins & state.coming)
        m.d.comb += [
            self.jobs.valid.eq(allowed),
            state.wait.eq(~allowed | ~self.jobs.ready | state.repeating),
        ]
        with m.If(allowed & self.jobs.ready):
            m.d.sync += [state.repeated.eq(state.repeating), state.skipped.eq(state.step)]
            if self.config.external_bits:
                m.d.sync += state.weights.jump.eq(0)
            with m.If(state.repeating):
                m.d.sync += [state.repeat.eq(state.repeat - 1), state.repeating.eq(state.repeat != 1)]
            with m.If(state.repeated):
                m.d.sync += state.skipped.eq(state.skipped + state.step)
            with m.If(takes):
                m.d.sync += state.pending.eq(1)
            with m.If(begins):
                m.d.sync += state.coming.eq(1)

    def _external(self, m: Module, state: SequencerRegisters) -> None:
        """Add the instructions of external memory."""
        with m.Case(Opcode.EXTERNAL):
            m.d.sync += state.external.eq(self._view(state, Opcode.EXTERNAL).address)
        with m.Case(Opcode.MOVE):
            m.d.comb += [
                self.moves.valid.eq(1),
                state.wait.eq(~self.moves.ready),
                self.held.eq(~self.moves.ready),
            ]
        with m.Case(Opcode.WAIT):
            m.d.comb += [
                self.held.eq(self.pending > self._view(state, Opcode.WAIT)["moves"]),
                state.wait.eq(self.held),
            ]
        with m.Case(Opcode.WEIGHTS):
            m.d.sync += [
                state.weights.jump.eq(1),
                state.weights.address.eq(self._view(state, Opcode.WEIGHTS).address),
            ]

    def _set(self, m: Module, state: SequencerRegisters, opcode: Value) -> None:
        """Execute an instruction that writes a double-buffered register."""
        with m.Switch(opcode):
            with m.Case(Opcode.LEVEL):
                level = self._view(state, Opcode.LEVEL)
                for name, _ in state.geometry.levels.shape().elem_shape:
                    m.d.sync += state.geometry.levels[level.level][name].eq(level[name])
            with m.Case(Opcode.PLANE):
                m.d.sync += state.geometry.plane.eq(self._view(state, Opcode.PLANE))
            if self.config.tap_lines:
                with m.Case(Opcode.TAPS):
                    m.d.sync += state.geometry.taps.eq(self._view(state, Opcode.TAPS))
            with m.Case(Opcode.WRITE):
                m.d.sync += state.write.eq(self._view(state, Opcode.WRITE))
            with m.Case(Opcode.CLAMP):
                m.d.sync += state.clamp.eq(self._view(state, Opcode.CLAMP))
            if self.config.product_bits:
                with m.Case(Opcode.PRODUCT):
                    m.d.sync += state.product.eq(self._view(state, Opcode.PRODUCT))

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The program, its address, and the registers that instructions set."""

        def size(opcode: Opcode) -> int:
            return instruction_layout(config, opcode).size

        word, address = program_bits(config), config.activation_address_bits
        pc, parts = index_bits(config.program_depth), banks(config.program_depth)
        packed = size(Opcode.FORMAT) if config.formatted else 0
        return Facts(
            registers={
                "word": len(parts) * word,
                "chosen bank": choice_bits(config.program_depth),
                "program": pc,
                "control": 9 + 2 * (config.program_half > 0),  # the signals of one bit
                "repeat": address + size(Opcode.REPEAT),
                "settings": config.offset_bits + size(Opcode.COUNT) + packed,
                "geometry": geometry_layout(config).size,
                "write": size(Opcode.WRITE),
                "clamp": size(Opcode.CLAMP),
                "product": size(Opcode.PRODUCT) if config.product_bits else 0,
                "external": config.external_address_bits + 1 + size(Opcode.WEIGHTS)
                if config.external_bits
                else 0,
            },
            redundant={"write": address if config.groups == 1 else 0},
            adders={"address": address, "program": pc},
            muxes={"banks": (len(parts) - 1) * word},
            gates={"control": 1, "tile": size(Opcode.TILE)},
            memories=[
                MemoryShape(
                    *(bank.depth, word),
                    writes=int(config.program_half > 0),
                    image=None if config.program_half else "program",
                    apart=config.program_half > 0,
                    register="word",
                    start=bank.start,
                )
                for bank in parts
            ],
        )
