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
from hwquant.program.cycles import Timing, timing
from hwquant.program.external import MemoryTiming
from hwquant.program.layout import Placement, integers_to_words
from hwquant.program.program import LayerInfo, Part, Program
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
    batch : int
        Samples of an inference.
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
    batch: int
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
    stalled, paused = options.stalls is not None, options.memory_pauses > 0
    return check(run, program, qgraph, inputs, stalled=stalled, memory=options.memory, paused=paused)


def check(
    run: Run,
    program: Program,
    qgraph: QGraph,
    q: Mapping[str, IntArray],
    *,
    stalled: bool = False,
    memory: MemoryTiming | None = None,
    paused: bool = False,
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
    memory : MemoryTiming or None
        When external memory served bursts; None: as ``program.memory`` has it.
    paused : bool
        External memory paused at random, so that no cycles are predicted.

    Returns
    -------
    Verification
        What differs, and the cycles.
    """
    watched, batch = len(run.writes), program.batch
    expected = all_together(golden(qgraph, q), batch)
    layers = _layers(program, qgraph, q, watched) if watched else {}
    checker = _Checker(run, program, expected, layers, timing(program, memory), stalled, paused)
    samples = len(next(iter(expected.values())))
    first = (next(checker.differences(sample), None) for sample in range(samples))
    return Verification(
        samples=samples,
        batch=batch,
        watched=watched,
        differences=tuple(item for item in first if item is not None),
        cycles=checker.timing.cycles,
        simulated_cycles=sum(run.periods),
        seconds=run.seconds,
    )


def _layers(program: Program, qgraph: QGraph, q: Mapping[str, IntArray], watched: int) -> dict[str, IntArray]:
    """The tensors that the layers write, or pieces of tensors, as the golden model has them."""
    parts = {
        layer.tensor: program.parts.get(layer.tensor, Part(layer.tensor, 0, 0)) for layer in program.layers
    }
    first = {name: values[: watched * program.batch] for name, values in q.items()}
    whole = golden(qgraph, first, keep=list(dict.fromkeys(part.tensor for part in parts.values())))
    whole = all_together(whole, program.batch)
    return {
        name: part.of(whole[part.tensor], program.tensors[name].shape)
        if name in program.parts
        else whole[name]
        for name, part in parts.items()
    }


class _Checker:
    """The differences of a sample, in the order in which the hardware made them."""

    def __init__(
        self,
        run: Run,
        program: Program,
        expected: Mapping[str, IntArray],
        layers: Mapping[str, IntArray],
        predicted: Timing,
        stalled: bool,
        paused: bool,
    ):
        self.run = run
        self.program = program
        self.expected = expected
        self.layers = layers
        self.timing = predicted
        self.paused = paused
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
        if self.paused:
            return
        if self.run.cycles[sample] != self.timing.cycles:
            yield CycleMismatch(sample, "inference", self.timing.cycles, self.run.cycles[sample])
        # The first frame follows a reset, not a frame.
        if sample and not self.stalled and self.run.periods[sample] != self.timing.frame_cycles:
            yield CycleMismatch(sample, "frame period", self.timing.frame_cycles, self.run.periods[sample])

    def _writes(self, sample: int) -> Iterator[Difference]:
        config, writes, position, name = self.program.config, self.run.writes[sample], 0, ""
        for layer in self.program.layers:
            name, place = layer.name, self.program.tensors[layer.tensor]
            schedule = _Schedule.of(place, config, layer)
            got = writes[position : position + len(schedule.enable)]
            yield from _layer(sample, schedule, self.layers[layer.tensor][sample], got, config)
            position += len(got)
            # Groups of a plane that hold no channel are written too where a reader needs defined values.
            idle = _Schedule.of(place, config, layer, idle=True)
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
        Bit of the write group of each write; of several arrays, and of the banks.
    channel : ndarray of int64, shape (writes,)
        Channel in the first lane of each word.
    y : ndarray of int64, shape (writes, arrays)
        Row of each bank's pixel; -1 where its word is none of the picture.
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
    def of(cls, place: Placement, config: ArrayConfig, layer: LayerInfo, *, idle: bool = False) -> _Schedule:
        """Schedule the writes of a layer to the pixels of its tensor that it makes, plane by plane.

        Each plane is written once for every group that holds channels; with ``idle``, for every group that holds none.
        """
        channels, _, width = place.stored_shape
        grid = layer.into.grid if layer.into else Grid((0, 0), (1, 1), place.stored_shape[1:])
        passes = [
            (plane, group)
            for plane in range(-(-channels // place.lanes))
            for group in range(config.groups)
            if (plane * place.lanes + config.group_lanes(group).start >= channels) == idle
        ]
        rows, banks, y = _rows(place, config, grid, layer.rows)
        columns = grid.lines(1)
        pixels = (rows[:, None] * width + columns).ravel()
        plane, group = (np.repeat([item[i] for item in passes], len(pixels)).astype(int) for i in (0, 1))
        every = len(passes)
        enable = np.tile(np.repeat(banks, len(columns)), every)
        return cls(
            place,
            place.address + plane * place.plane + np.tile(pixels, every),
            1 << group | (enable << config.groups if config.arrays > 1 else 0),
            plane * place.lanes,
            np.tile(np.repeat(y, len(columns), axis=0), (every, 1)),
            np.tile(np.tile(columns, len(rows)), every),
        )

    def lanes(self, config: ArrayConfig) -> NDArray[np.bool_]:
        """What each write puts into a lane that holds a channel: bool, shape (writes, lanes)."""
        lane = np.arange(self.place.lanes)
        own = (self.enable[:, None] >> (lane // config.columns)) & 1 == 1
        return own & (self.channel[:, None] + lane < self.place.stored_shape[0])

    def wanted(self, tensor: IntArray) -> IntArray:
        """The words of a tensor int64 (C, H, W) that are due in each bank: int64 (writes, arrays, lanes)."""
        _, height, width = self.place.stored_shape
        words = self.place.to_words(tensor[None])[0]
        plane = self.channel // self.place.lanes
        return words[(plane[:, None] * height + np.maximum(self.y, 0)) * width + self.x[:, None]]


def _rows(
    place: Placement, config: ArrayConfig, grid: Grid, rows: int | None
) -> tuple[IntArray, IntArray, IntArray]:
    """Which rows of a tensor are written, one after the other.

    Returns
    -------
    local : ndarray of int64, shape (rows,)
        Row in the bank, or in all of them.
    banks : ndarray of int64, shape (rows,)
        A bit for each bank that is written.
    y : ndarray of int64, shape (rows, arrays)
        Row of the tensor, for each bank; -1 where it is none.
    """
    arrays, everywhere = np.arange(config.arrays), (1 << config.arrays) - 1
    lines = grid.lines(0)
    if rows is not None:  # each array writes its own
        index = np.arange(rows)[:, None] + arrays * rows
        y = np.where(index < len(lines), lines[np.minimum(index, len(lines) - 1)], -1)
        return grid.start[0] + grid.step[0] * np.arange(rows), np.full(rows, everywhere), y
    if config.arrays == 1 or place.last_strip == 0:
        return lines, np.full(len(lines), everywhere), np.repeat(lines[:, None], config.arrays, axis=1)
    strip, local = np.divmod(lines, place.strip_rows)
    return local, 1 << strip, np.where(strip[:, None] == arrays, lines[:, None], -1)


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
    lanes = config.arrays * config.lanes
    values = integers_to_words([write.data for write in got], lanes, config.activation_bits)
    values = values.reshape(count, config.arrays, config.lanes)
    wrong = np.zeros(values.shape, bool)
    wanted = np.zeros_like(values)
    if expected is not None:
        wanted = schedule.wanted(expected)[:count]
        wrong = (values != wanted) & schedule.lanes(config)[:count, None] & (schedule.y[:count, :, None] >= 0)
    places = list(zip(schedule.address.tolist(), schedule.enable.tolist()))
    for index, place in enumerate(places):
        written = (got[index].address, got[index].enable) if index < count else None
        if written != place:
            yield WriteMismatch(sample, name, index, place, written)
            continue
        for bank, lane in np.argwhere(wrong[index]).tolist():
            yield Mismatch(
                sample,
                name,
                int(schedule.y[index, bank]),
                int(schedule.x[index]),
                int(schedule.channel[index]) + lane,
                int(wanted[index, bank, lane]),
                int(values[index, bank, lane]),
            )


def _values(sample: int, name: str, expected: IntArray, got: IntArray) -> Iterator[Mismatch]:
    """Compare an output tensor of int64, shape (C, H, W)."""
    for channel, y, x in np.argwhere(expected != got).tolist():
        yield Mismatch(sample, name, y, x, channel, int(expected[channel, y, x]), int(got[channel, y, x]))
