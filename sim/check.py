"""The comparison of a simulation with the golden model: every value, every write, every cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.copies import Grid
from hwquant.errors import check_type
from hwquant.golden import run as golden
from hwquant.options import chosen
from hwquant.program.batch import all_together
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.layout import Placement, integers_to_words
from hwquant.program.program import Program
from hwquant.qgraph import IntArray, QGraph
from hwquant.sim.differences import CycleMismatch, Difference, Mismatch, MissingResult, WriteMismatch
from hwquant.sim.options import SimulationOptions
from hwquant.sim.simulators import attempt
from hwquant.sim.trace import Run, Write


@dataclass(frozen=True)
class Verification:
    """The outcome of a comparison.

    Attributes
    ----------
    samples : int
        Inferences that were compared; of a batch of samples it is one.
    watched : int
        Inferences of these that were compared with every layer's tensor.
    differences : tuple of Difference
        The first difference of each sample that has one.
    cycles : int
        Clock cycles of one inference, as predicted (and as counted, where nothing differs).
    simulated_cycles : int
        Clock cycles of the whole simulation.
    seconds : float
        Time that the simulation took, in seconds.
    """

    samples: int
    watched: int
    differences: tuple[Difference, ...]
    cycles: int
    simulated_cycles: int
    seconds: float

    @property
    def mismatches(self) -> int:
        """Number of samples in which anything differs."""
        return len(self.differences)

    @property
    def first(self) -> Difference | None:
        """The first difference of the first sample that has one."""
        return self.differences[0] if self.differences else None


def verify(
    program: Program,
    qgraph: QGraph,
    q: Mapping[str, IntArray] | IntArray,
    options: SimulationOptions | None = None,
    **changes: Any,
) -> Verification:
    """Simulate a compiled network and compare it with the golden model.

    Parameters
    ----------
    program : Program
        What the accelerator holds.
    qgraph : QGraph
        The network that it was compiled from.
    q : ndarray of int64 or Mapping of str to ndarray of int64
        Integers of the input, shape (N, C, H, W), by name where there are several
        (:func:`hwquant.golden.quantize_input` makes them from the user's arrays).
    options : SimulationOptions or None
        All options at once, instead of single ones by name.
    **changes : object
        Single options: the attributes of :class:`~hwquant.sim.options.SimulationOptions`.

    Returns
    -------
    Verification
        What differs, and the cycles.

    Raises
    ------
    HwquantError
        Inputs or options are wrong, the simulator is missing, or its build fails, as for
        :func:`hwquant.sim.simulate`; a breach of the streams' rules is a difference.
    """
    check_type("program", program, Program, hint="hwquant.compile_network makes one")
    options = chosen(SimulationOptions, options, changes)
    inputs = dict(q) if isinstance(q, Mapping) else {program.inputs[0].name: q}
    run = attempt(program, program.frame(inputs), options)
    return check(run, program, qgraph, inputs, stalled=options.stalls is not None)


def check(
    run: Run, program: Program, qgraph: QGraph, q: Mapping[str, IntArray], *, stalled: bool = False
) -> Verification:
    """Compare a run with the golden model's tensors.

    Compared are the final outputs of all samples, every tensor that the watched samples wrote, and the
    cycles. Lanes that hold no channel are not looked at.

    Parameters
    ----------
    run : Run
        What the hardware did.
    program : Program
        What the accelerator held.
    qgraph : QGraph
        The network that it was compiled from.
    q : Mapping of str to ndarray of int64
        Integers of the inputs, shape (N, C, H, W), by name.
    stalled : bool
        The host paused, so that the cycles from one frame to the next are not predicted.

    Returns
    -------
    Verification
        What differs, and the cycles.
    """
    watched, batch = len(run.writes), program.batch
    expected = all_together(golden(qgraph, q), batch)
    layers = (
        all_together(
            golden(
                qgraph,
                {name: values[: watched * batch] for name, values in q.items()},
                keep=list(dict.fromkeys(layer.tensor for layer in program.layers)),
            ),
            batch,
        )
        if watched
        else {}
    )
    checker = _Checker(run, program, expected, layers, stalled)
    samples = len(next(iter(expected.values())))
    first = (next(checker.differences(sample), None) for sample in range(samples))
    return Verification(
        samples=samples,
        watched=watched,
        differences=tuple(item for item in first if item is not None),
        cycles=checker.timing.cycles,
        simulated_cycles=sum(run.periods),
        seconds=run.seconds,
    )


class _Checker:
    """The differences of a sample, in the order in which the hardware made them."""

    def __init__(
        self,
        run: Run,
        program: Program,
        expected: Mapping[str, IntArray],
        layers: Mapping[str, IntArray],
        stalled: bool,
    ):
        self.run = run
        self.program = program
        self.expected = expected
        self.layers = layers
        self.timing = timing(program)
        self.stalled = stalled
        self.results = all_together(program.results(run.words), program.batch) if len(run.words) else {}

    def differences(self, sample: int) -> Iterator[Difference]:
        """All that differs in a sample; after a breach of the streams' rules nothing else is sure."""
        if self.run.breach is not None and sample >= self.run.breach.sample:
            yield self.run.breach
            return
        # Of the sample in which the hardware stopped there may be some writes, of those after it none.
        if sample < len(self.run.writes) and sample <= len(self.run.words):
            yield from self._writes(sample)
        if sample >= len(self.run.words):
            yield MissingResult(sample, self.run.patience)
            return
        for name, got in self.results.items():
            yield from _values(sample, name, self.expected[name][sample], got[sample])
        if self.run.cycles[sample] != self.timing.cycles:
            yield CycleMismatch(sample, "inference", self.timing.cycles, self.run.cycles[sample])
        # The first frame follows a reset, not a frame.
        if sample and not self.stalled and self.run.periods[sample] != self.timing.frame_cycles:
            yield CycleMismatch(sample, "frame period", self.timing.frame_cycles, self.run.periods[sample])

    def _writes(self, sample: int) -> Iterator[Difference]:
        config, writes, position, name = self.program.config, self.run.writes[sample], 0, ""
        for layer in self.program.layers:
            name, place = layer.name, self.program.tensors[layer.tensor]
            grid = layer.into.grid if layer.into else Grid((0, 0), (1, 1), place.stored_shape[1:])
            schedule = _Schedule.of(place, config, grid)
            got = writes[position : position + len(schedule.enable)]
            yield from _layer(sample, schedule, self.layers[layer.tensor][sample], got, config)
            position += len(got)
            # Groups of a plane that hold no channel are written too where a reader needs defined values.
            idle = _Schedule.of(place, config, grid, idle=True)
            if position < len(writes) and len(idle.enable) and writes[position].enable == idle.enable[0]:
                yield from _layer(sample, idle, None, writes[position : position + len(idle.enable)], config)
                position += len(idle.enable)
        for index, write in enumerate(writes[position:]):
            yield WriteMismatch(sample, name, index, None, (write.address, write.enable))


@dataclass(frozen=True, eq=False)
class _Schedule:
    """The writes of a layer, in order.

    Attributes
    ----------
    place : Placement
        Where the layer's tensor is.
    address : ndarray of int64, shape (writes,)
        Address of each write.
    enable : ndarray of int64, shape (writes,)
        Bit of the write group of each write.
    channel : ndarray of int64, shape (writes,)
        Channel in the first lane of each word.
    y : ndarray of int64, shape (writes,)
        Row of each pixel.
    x : ndarray of int64, shape (writes,)
        Column of each pixel.
    """

    place: Placement
    address: IntArray
    enable: IntArray
    channel: IntArray
    y: IntArray
    x: IntArray

    @classmethod
    def of(cls, place: Placement, config: ArrayConfig, grid: Grid, *, idle: bool = False) -> _Schedule:
        """Schedule the writes of a layer to the pixels of its tensor that it makes, plane by plane.

        Each plane is written once for every group that holds channels; with ``idle``, for every group that holds none.
        """
        channels, _, width = place.stored_shape
        passes = [
            (plane, group)
            for plane in range(-(-channels // place.lanes))
            for group in range(config.groups)
            if (plane * place.lanes + config.group_lanes(group).start >= channels) == idle
        ]
        pixels = (grid.lines(0)[:, None] * width + grid.lines(1)).ravel()
        plane, group = (np.repeat([item[i] for item in passes], len(pixels)).astype(int) for i in (0, 1))
        pixel = np.tile(pixels, len(passes))
        y, x = np.divmod(pixel, width)
        return cls(place, place.address + plane * place.plane + pixel, 1 << group, plane * place.lanes, y, x)

    def lanes(self, config: ArrayConfig) -> NDArray[np.bool_]:
        """What each write puts into a lane that holds a channel: bool, shape (writes, lanes)."""
        lane = np.arange(self.place.lanes)
        own = (self.enable[:, None] >> (lane // config.columns)) & 1 == 1
        return own & (self.channel[:, None] + lane < self.place.stored_shape[0])


def _layer(
    sample: int, schedule: _Schedule, expected: IntArray | None, got: Sequence[Write], config: ArrayConfig
) -> Iterator[Difference]:
    """Compare the writes of a layer, in order.

    Parameters
    ----------
    sample : int
        Number of the sample.
    schedule : _Schedule
        The writes that are due.
    expected : ndarray of int64, shape (C, H, W), or None
        Integers of the layer; None where values do not matter.
    got : Sequence of Write
        The writes of the hardware.
    config : ArrayConfig
        Shape and widths.

    Yields
    ------
    Difference
        A write at another place, or a wrong value.
    """
    name, count = schedule.place.name, len(got)
    values = integers_to_words([write.data for write in got], config.lanes, config.activation_bits)
    wrong = np.zeros(values.shape, bool)
    wanted = np.zeros_like(values)
    if expected is not None:
        words = schedule.place.to_words(expected[None])[0]
        wanted = words[schedule.address[:count] - schedule.place.address]
        wrong = (values != wanted) & schedule.lanes(config)[:count]
    places = list(zip(schedule.address.tolist(), schedule.enable.tolist()))
    for index, place in enumerate(places):
        written = (got[index].address, got[index].enable) if index < count else None
        if written != place:
            yield WriteMismatch(sample, name, index, place, written)
            continue
        for lane in np.flatnonzero(wrong[index]).tolist():
            yield Mismatch(
                sample,
                name,
                int(schedule.y[index]),
                int(schedule.x[index]),
                int(schedule.channel[index]) + lane,
                int(wanted[index, lane]),
                int(values[index, lane]),
            )


def _values(sample: int, name: str, expected: IntArray, got: IntArray) -> Iterator[Mismatch]:
    """Compare an output tensor of int64, shape (C, H, W)."""
    for channel, y, x in np.argwhere(expected != got).tolist():
        yield Mismatch(sample, name, y, x, channel, int(expected[channel, y, x]), int(got[channel, y, x]))
