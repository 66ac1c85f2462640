"""Single components in Amaranth's simulator, one clock cycle at a time.

In a cycle, inputs are set, then everything is seen, then the clock ticks. So a registered output that
follows an input of cycle ``n`` is seen in cycle ``n + 1``, a combinational one in cycle ``n``.
"""

from collections.abc import Iterable, Mapping
from itertools import count

from amaranth.hdl import Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

PERIOD = 1e-6
"""Of the clock, in seconds."""
LIMIT = 200_000
"""Clock cycles after which a simulation fails: more than any test of a single component needs."""


def simulate(component, *testbenches, background=(), cycles=LIMIT):
    """Runs testbenches (coroutine functions of the simulator's context) until the foreground ones end.

    It fails after so many cycles: a component that hangs must not hang its test.
    """
    # A register beside the component, because a clock needs something that listens to it.
    top = Module()
    top.submodules.component = component
    heartbeat = Signal()
    top.d.sync += heartbeat.eq(~heartbeat)
    simulator = Simulator(top)
    simulator.add_clock(PERIOD)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)

    async def watchdog(ctx):
        await ctx.delay(cycles * PERIOD)
        raise AssertionError(f"still at work after {cycles} cycles")

    simulator.add_testbench(watchdog, background=True)
    simulator.run()


def plain(value):
    """Integers instead of views: lists for arrays, dictionaries for structures."""
    if not isinstance(value, data.Const):
        return value
    match value.shape():
        case data.StructLayout() as layout:
            return {name: plain(value[name]) for name in layout.members}
        case data.ArrayLayout() as layout:
            return [plain(value[index]) for index in range(layout.length)]
    raise TypeError(f"cannot show {value!r}")


def port(component, name):
    """A port by its name, such as ``"jobs.payload"``."""
    for part in name.split("."):
        component = getattr(component, part)
    return component


def assign(ctx, component, values: Mapping[str, object]):
    """Sets input ports by name; structures as dictionaries, arrays as lists."""
    for name, value in values.items():
        ctx.set(port(component, name), value)


def observe(ctx, component, names):
    """The values of ports by name."""
    return {name: plain(ctx.get(port(component, name))) for name in names}


def trace(component, inputs: Iterable[Mapping[str, object]], outputs):
    """What ``outputs`` are in each cycle. An input keeps its value where a cycle does not name it."""
    seen = []

    async def testbench(ctx):
        for values in inputs:
            assign(ctx, component, values)
            seen.append(observe(ctx, component, outputs))
            await ctx.tick()

    simulate(component, testbench)
    return seen


def interact(component, step, outputs, after=lambda cycle, seen: None, cycles=LIMIT):
    """A trace whose inputs depend on what was seen: ``step(cycle, seen)`` gives them, None to end.

    ``step`` is called before the cycle's inputs are set, with the outputs of that moment: what registers
    hold; ``after`` is called with what is seen when they are set.
    """
    history = []

    async def testbench(ctx):
        for cycle in count():
            values = step(cycle, observe(ctx, component, outputs))
            if values is None:
                return
            assign(ctx, component, values)
            history.append(observe(ctx, component, outputs))
            after(cycle, history[-1])
            await ctx.tick()

    simulate(component, testbench, cycles=cycles)
    return history
