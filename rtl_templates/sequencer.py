"""Fetches and executes the program: a word a cycle, unless it has to wait."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig, index_bits
from hwquant.program.isa import OPCODE_BITS, Opcode, program_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout, job_layout


class Sequencer(Component):
    """Executes instructions (see :mod:`hwquant.program.isa`) in order.

    SET instructions fill registers; TILE (times REPEAT) emits jobs; INPUT and OUTPUT wait for the host
    engines; END begins again at word 0. The double-buffered registers may only be written after the job that
    will take them has started, so their instructions, and the next job of that kind, wait while one is ``pending``.

    Members
    -------
    enable : In, an inference may begin
    jobs : Out, stream of jobs
    geometry, write, clamp : Out, the registers that the next ``source`` or ``layer`` job takes
    taken : In, such a job starts in this cycle
    idle : In, all jobs are finished and written
    input_start, output_start : Out, with ``transfer`` (address, count, last); transfer_done : In
    begin : Out, the first word of an inference is executed; done : Out, END is executed
    illegal : Out, sticky, an unknown opcode was met: execution has stopped
    """

    def __init__(self, config: ArrayConfig, init):
        self.config = config
        self.init = init
        transfer = instruction_layout(config, Opcode.OUTPUT)
        super().__init__(
            {
                "enable": In(1),
                "jobs": Out(stream.Signature(job_layout(config))),
                "geometry": Out(geometry_layout(config)),
                "write": Out(instruction_layout(config, Opcode.WRITE)),
                "clamp": Out(instruction_layout(config, Opcode.CLAMP)),
                "taken": In(1),
                "idle": In(1),
                "input_start": Out(1),
                "output_start": Out(1),
                "transfer": Out(transfer),
                "transfer_done": In(1),
                "begin": Out(1),
                "done": Out(1),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        width = program_bits(config)
        m.submodules.memory = memory = Memory(shape=width, depth=config.program_depth, init=self.init)
        port = memory.read_port()

        # Fetch: address, memory, register; all three stand still while the register's word waits.
        pc = Signal(index_bits(config.program_depth))
        fetched = Signal()
        valid = Signal()
        word = Signal(width, reset_less=True)
        fresh = Signal()
        running = Signal()
        wait = Signal()
        advance = Signal()
        m.d.comb += [
            advance.eq(running & ~(valid & wait)),
            port.addr.eq(pc),
            port.en.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [pc.eq(pc + 1), fetched.eq(1), valid.eq(fetched), word.eq(port.data), fresh.eq(1)]
        with m.Elif(valid):
            m.d.sync += fresh.eq(0)

        opcode = word[:OPCODE_BITS]
        operands = word[OPCODE_BITS:]
        pending = Signal()
        offset = Signal(signed(config.offset_bits), reset_less=True)
        count = Signal(instruction_layout(config, Opcode.COUNT)["count"].shape, reset_less=True)
        repeat = Signal(instruction_layout(config, Opcode.REPEAT)["count"].shape)
        step = Signal(config.activation_address_bits, reset_less=True)
        repeating = Signal()
        repeated = Signal()
        skipped = Signal(config.activation_address_bits, reset_less=True)
        geometry = Signal(self.geometry.shape(), reset_less=True)
        write = Signal(self.write.shape(), reset_less=True)
        clamp = Signal(self.clamp.shape(), reset_less=True)
        m.d.comb += [self.geometry.eq(geometry), self.write.eq(write), self.clamp.eq(clamp)]

        def view(code: Opcode):
            layout = instruction_layout(config, code)
            return data.View(layout, operands[: layout.size])

        tile = view(Opcode.TILE)
        m.d.comb += [
            *(self.jobs.payload[name].eq(tile[name]) for name, _ in tile.shape()),
            self.jobs.payload["count"].eq(count),
            self.jobs.payload.offset.eq(offset),
            self.transfer.eq(view(Opcode.OUTPUT)),  # of which INPUT has the first fields
        ]
        form = Signal(instruction_layout(config, Opcode.FORMAT))
        if config.weight_packing > 1:
            m.d.comb += self.jobs.payload["format"].eq(form)
        # Of repeated tiles, the marks of the beginning belong to the first, `last` to the last.
        with m.If(repeated):
            m.d.comb += [
                self.jobs.payload.address.eq(tile.address + skipped),
                self.jobs.payload.first.eq(0),
                self.jobs.payload.parameters.eq(0),
                self.jobs.payload.offsets.eq(0),
                self.jobs.payload.source.eq(0),
                self.jobs.payload.layer.eq(0),
            ]
        with m.If(repeating):
            m.d.comb += self.jobs.payload.last.eq(0)

        with m.If(self.taken):
            m.d.sync += pending.eq(0)
        with m.If(valid & running), m.Switch(opcode):
            with m.Case(Opcode.END):
                m.d.comb += [self.done.eq(1), wait.eq(1)]
                m.d.sync += [running.eq(0), valid.eq(0), fetched.eq(0), pc.eq(0)]
            with m.Case(Opcode.INPUT):
                m.d.comb += [self.input_start.eq(fresh), wait.eq(~self.transfer_done)]
            with m.Case(Opcode.OUTPUT):
                # `fresh` is stretched until the pipeline is empty: the engine starts exactly once.
                m.d.comb += [self.output_start.eq(fresh & self.idle), wait.eq(~self.transfer_done)]
                with m.If(~self.idle):
                    m.d.sync += fresh.eq(1)
            with m.Case(Opcode.LEVEL, Opcode.PLANE, Opcode.TAPS, Opcode.WRITE, Opcode.CLAMP):
                m.d.comb += wait.eq(pending)
                with m.If(~pending):
                    self._set(m, opcode, view, geometry, write, clamp)
            with m.Case(Opcode.OFFSET):
                m.d.sync += offset.eq(view(Opcode.OFFSET).offset)
            with m.Case(Opcode.COUNT):
                m.d.sync += count.eq(view(Opcode.COUNT)["count"])
            if config.weight_packing > 1:
                with m.Case(Opcode.FORMAT):
                    m.d.sync += form.eq(view(Opcode.FORMAT))
            with m.Case(Opcode.REPEAT):
                repetition = view(Opcode.REPEAT)
                m.d.sync += [
                    repeat.eq(repetition["count"]),
                    repeating.eq(repetition["count"] != 0),
                    step.eq(repetition.step),
                ]
            with m.Case(Opcode.TILE):
                takes = ~repeated & (tile.source | tile.layer)
                allowed = ~(takes & pending)
                m.d.comb += [
                    self.jobs.valid.eq(allowed),
                    wait.eq(~allowed | ~self.jobs.ready | repeating),
                ]
                with m.If(allowed & self.jobs.ready):
                    m.d.sync += [repeated.eq(repeating), skipped.eq(step)]
                    with m.If(repeating):
                        m.d.sync += [repeat.eq(repeat - 1), repeating.eq(repeat != 1)]
                    with m.If(repeated):
                        m.d.sync += skipped.eq(skipped + step)
                    with m.If(takes):
                        m.d.sync += pending.eq(1)
            with m.Default():
                m.d.comb += wait.eq(1)
                m.d.sync += [running.eq(0), self.illegal.eq(1)]
        with m.If(~running & self.enable & ~self.illegal):
            m.d.comb += self.begin.eq(1)
            m.d.sync += running.eq(1)
        return m

    def _set(self, m: Module, opcode, view, geometry, write, clamp):
        with m.Switch(opcode):
            with m.Case(Opcode.LEVEL):
                level = view(Opcode.LEVEL)
                for name in ("limit", "step", "y", "x"):
                    m.d.sync += geometry.levels[level.level][name].eq(level[name])
            with m.Case(Opcode.PLANE):
                m.d.sync += geometry.plane.eq(view(Opcode.PLANE))
            if self.config.tap_lines:
                with m.Case(Opcode.TAPS):
                    m.d.sync += geometry.taps.eq(view(Opcode.TAPS))
            with m.Case(Opcode.WRITE):
                m.d.sync += write.eq(view(Opcode.WRITE))
            with m.Case(Opcode.CLAMP):
                m.d.sync += clamp.eq(view(Opcode.CLAMP))

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The program, its address, and the registers that instructions set."""

        def size(opcode: Opcode) -> int:
            return instruction_layout(config, opcode).size

        word, address = program_bits(config), config.activation_address_bits
        pc = index_bits(config.program_depth)
        packed = size(Opcode.FORMAT) if config.weight_packing > 1 else 0
        return Facts(
            registers={
                "word": word,
                "program": pc,
                "control": 8,  # the signals of one bit
                "repeat": address + size(Opcode.REPEAT),
                "settings": config.offset_bits + size(Opcode.COUNT) + packed,
                "geometry": geometry_layout(config).size,
                "write": size(Opcode.WRITE),
                "clamp": size(Opcode.CLAMP),
            },
            redundant={"write": address if config.groups == 1 else 0},
            adders={"address": address, "program": pc},
            gates={"control": 1, "tile": size(Opcode.TILE)},
            memories=[MemoryShape(config.program_depth, word, writes=0, image="program")],
        )
