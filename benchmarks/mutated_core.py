"""A core with mutants in it, simulated on programs that exercise it and compared with the golden model.

Each simulation runs in a process of its own that is ended when it takes too long: a damaged netlist may never settle.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from amaranth.back import rtlil
from mutants import SELECT

from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, VERSION, Register
from hwquant.program.sides import Array
from hwquant.qgraph import IntArray, QGraph
from hwquant.random_networks.families import random_case
from hwquant.random_networks.features import Features
from hwquant.rtl_templates.core import Accelerator
from hwquant.sim.check import check
from hwquant.sim.contract import Task, judge
from hwquant.sim.cxxrtl_backend import load, play
from hwquant.sim.external_memory import WithMemory
from hwquant.sim.trace import NO_STALLS, Stalls

SECONDS = 20
"""Seconds in which all programs are simulated; the netlist that is not damaged takes about one."""
SLOWER = 20
"""So many times the seconds that the netlist takes without a damage are given to a mutant that took longer."""
LATE = 4
"""So many times the cycles that are predicted are simulated at most."""
FRAMES = 2
CANDIDATES = 3
"""Cores of which the one is taken that most networks fit."""
SMALL = {"size": (2, 5), "channels": (1, 5), "layers": (1, 2)}
"""What keeps programs and their memories short, so that proofs about cores stay possible."""
UNSETTLED = 200
"""Cycles of garbage from the host before the reset of some simulations: it has something to reset."""

DRIVER = f"""
extern "C" {{

void hwquant_damage(void *handle, uint32_t number) {{
    static_cast<Bench *>(handle)->top.p_{SELECT}.set<uint32_t>(number);
}}

uint32_t hwquant_register(void *handle, uint32_t address) {{
    auto &bench = *static_cast<Bench *>(handle);
    bench.top.p_bus____address.set<uint32_t>(address), bench.settle();
    return bench.top.p_bus____read__data.get<uint32_t>();
}}

void hwquant_garbage(void *handle, uint64_t cycles) {{
    auto &bench = *static_cast<Bench *>(handle);
    auto &payload = bench.top.p_frames____payload;
    for (uint32_t seed = 1; cycles--;) {{
        for (size_t i = 0; i < payload.chunks; i++) {{
            seed = seed * 1664525 + 1013904223;
            bool whole = i + 1 < payload.chunks;
            payload.data[i] = whole ? seed : seed & (0xffffffffu >> (32 * payload.chunks - payload.bits));
        }}
        bench.top.p_frames____valid.set<uint32_t>(1), bench.top.p_results____ready.set<uint32_t>(seed >> 31);
        bench.settle(), bench.tick();
    }}
}}

}}
"""


@dataclass(frozen=True, eq=False)
class Experiment:
    """A program with inputs, and how the host behaves.

    Attributes
    ----------
    program : Program
        What is executed.
    qgraph : QGraph
        The network.
    inputs : mapping of ndarray of int64, shape (N, C, H, W)
        Integers of its inputs, by name.
    stalls : Stalls
        Pauses of the host.
    garbage : int
        Cycles before the reset in which the host sends anything.
    """

    program: Program
    qgraph: QGraph
    inputs: Mapping[str, IntArray]
    stalls: Stalls
    garbage: int


@dataclass(frozen=True)
class Hardware:
    """An array, and the random networks that are run on it.

    Attributes
    ----------
    name : str
        What is particular about it.
    array : Array
        As :func:`~hwquant.program.compiler.compile_network` takes it.
    features : Features
        What networks may contain.
    options : mapping of str to object
        Further arguments of the compiler.
    """

    name: str
    array: Array
    features: Features
    options: Mapping[str, Any]


def experiments(hardware: Hardware, count: int, seed: int) -> list[Experiment]:
    """Programs of random networks for one core: the one that most of some networks fit."""
    cases = [random_case(hardware.features, seed + number, FRAMES, SMALL) for number in range(3 * count)]

    def compiled(qgraph: QGraph, config: ArrayConfig | None = None) -> Program | None:
        try:
            return compile_network(qgraph, hardware.array, config=config, **hardware.options)
        except (DoesNotFit, Unsupported):
            return None

    made = [program.config for qgraph, _ in cases if (program := compiled(qgraph))]
    deep = {
        name: max(getattr(config, name) for config in made)
        for name in (
            *("activation_depth", "weight_depth", "parameter_depth", "program_depth"),
            *("accumulator_depth", "accumulator_bits", "activation_bits", "adjusted_bits"),
        )
    }
    fitting = [
        [compiled(qgraph, replace(config, **deep)) for qgraph, _ in cases] for config in made[:CANDIDATES]
    ]
    programs = max(fitting, key=lambda found: sum(program is not None for program in found))
    chosen = [(program, *case) for program, case in zip(programs, cases) if program is not None][:count]
    return [
        Experiment(
            *(program, qgraph, inputs, Stalls(0.2, 0.2, number) if number % 2 else NO_STALLS),
            UNSETTLED * (number % 2 == 0 and not program.config.external_bits),
        )
        for number, (program, qgraph, inputs) in enumerate(chosen)
    ]


def core_text(config: ArrayConfig) -> tuple[str, str]:
    """RTLIL of a core with lines of its sources, beside its memory where that is outside; a pattern of its modules."""
    core = Accelerator(config, page=0 if config.external_bits else None)
    outside = config.external_bits > 0
    text = str(rtlil.convert(WithMemory(core) if outside else core, name="hwquant"))
    return text, "hwquant.accelerator*" if outside else "hwquant*"


def _verdict(library: ctypes.CDLL, experiment: Experiment, number: int) -> str:
    """What shows that a mutant is damaged, in an experiment; empty where nothing does."""
    program = experiment.program
    stalled = experiment.stalls is not NO_STALLS
    task = Task(program, program.frame(experiment.inputs), FRAMES, experiment.stalls)
    limit = (LATE * FRAMES) * (timing(program).frame_cycles + 2 * len(task.idle) * stalled) + task.patience
    registers: dict[Register, int] = {}

    def prepare(handle: int) -> None:
        library.hwquant_damage(handle, number)
        if experiment.garbage:
            library.hwquant_garbage(handle, experiment.garbage)

    def finish(handle: int) -> None:
        for register in Register:
            registers[register] = library.hwquant_register(handle, int(register))

    log = play(library, task, prepare=prepare, finish=finish, limit=limit)
    found = check(judge(log, task), program, experiment.qgraph, experiment.inputs, stalled=stalled)
    if found.first is not None:
        return str(found.first)
    wrong = [register.name for register, value in _registers(program).items() if registers[register] != value]
    return f"register {wrong[0]}" if wrong else ""


def _registers(program: Program) -> dict[Register, int]:
    """What registers hold when all frames are done; of cycles the simulation has kept account."""
    config = program.config
    return {
        Register.IDENTITY: IDENTITY,
        Register.VERSION: VERSION,
        Register.CHECKSUM: 0,
        Register.CONTROL: Register.CONTROL.pack(repeat=1),
        Register.STATUS: Register.STATUS.pack(busy=1),  # the next one waits for its frame
        Register.INFERENCES: FRAMES,
        Register.SHAPE: Register.SHAPE.pack(
            rows=config.rows, columns=config.columns, lanes=config.lanes, others=config.arrays - 1
        ),
        Register.LOAD: 0,
    }


def _serve(connection: Connection, text: str, tried: Sequence[Experiment]) -> None:
    """In a process of its own: answer numbers of mutants with what shows their damage."""
    library = load(text, DRIVER)
    library.hwquant_damage.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.hwquant_register.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.hwquant_register.restype = ctypes.c_uint32
    library.hwquant_garbage.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    connection.send("")
    while True:
        number = connection.recv()
        connection.send(next(filter(None, (_verdict(library, one, number) for one in tried)), ""))


class MutatedCore:
    """A compiled core with mutants in it.

    Parameters
    ----------
    text : str
        RTLIL of the damaged netlist.
    tried : Sequence of Experiment
        What it executes.
    """

    def __init__(self, text: str, tried: Sequence[Experiment]) -> None:
        self._arguments = text, tried
        self._process: multiprocessing.process.BaseProcess | None = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        self._connection.recv()  # it is compiled

    def verdict(self, number: int) -> str:
        """What shows that a mutant is damaged; empty where nothing does.

        A damaged netlist may never settle, but a busy machine is no damage: one that is not done in time is simulated
        again, with as much time as the netlist without a damage shows to be enough.

        Raises
        ------
        EOFError
            The simulator does not start.
        RuntimeError
            The netlist without a damage does not do what it did before.
        """
        if (shown := self._asked(number, SECONDS)) is not None:
            return shown
        self._start()
        began = time.perf_counter()
        if shown := self._asked(0, None):
            raise RuntimeError(f"the core is wrong without a damage, and was not before: {shown}")
        sound = time.perf_counter() - began
        enough = max(SECONDS, SLOWER * sound)
        if (shown := self._asked(number, enough)) is not None:
            return shown
        return f"it is not done after {enough:.0f} s; the core without a damage takes {sound:.1f} s"

    def _asked(self, number: int, seconds: float | None) -> str | None:
        """The answer of the simulator; None: it takes longer, and is ended."""
        if self._process is None:
            self._start()
        self._connection.send(number)
        if not self._connection.poll(seconds):
            self.close()
            return None
        try:
            return str(self._connection.recv())
        except EOFError:
            self.close()
            return "the simulation crashes"

    def close(self) -> None:
        """End the simulation."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None
