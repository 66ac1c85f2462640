"""Executes the steps of a plan in numpy: words in memories, moves as late or as early as they may be.

And a checker of what the activation memory allows, by the rules as hardware has them, not as the planner keeps them.
"""

from __future__ import annotations

from math import prod

import numpy as np
from hwquant_testing.small_networks import images

from hwquant.errors import DoesNotFit
from hwquant.golden import reference
from hwquant.program.compilation import lowered_network
from hwquant.program.layout import Placement
from hwquant.program.planner import plan_steps
from hwquant.program.sizing import Requirements
from hwquant.program.steps import Compute, Load, Receive, Send, Store, Wait
from hwquant.program.traffic import Port
from hwquant.program.writing import Network

JUNK = 1 << 40
"""What memories hold at first: no sum of it is right."""


def rows_of(layer, term, size):
    """For each axis: the pixels that outputs read, [output, window element, kernel element]."""
    for axis in (0, 1):
        output = np.arange(layer.pixels[axis])[:, None, None] * layer.window_stride[axis]
        element = np.arange(layer.window[axis])[None, :, None] * layer.window_dilation[axis]
        kernel = np.arange(term.kernel[axis]) * term.dilation[axis]
        yield (output + element) * term.stride[axis] - term.padding[axis] + kernel


def summed(layer, term, x, zero_point):
    """The sums of a term, [out, rows, window rows, columns, window columns]."""
    ys, xs = rows_of(layer, term, x.shape[1:])
    inside_y, inside_x = (ys >= 0) & (ys < x.shape[1]), (xs >= 0) & (xs < x.shape[2])
    ys, xs = ys.clip(0, x.shape[1] - 1), xs.clip(0, x.shape[2] - 1)
    weight, total = term.dense(), 0
    for ky in range(term.kernel[0]):
        for kx in range(term.kernel[1]):
            taken = x[:, ys[:, :, ky]][
                :, :, :, xs[:, :, kx]
            ]  # channel, row, window row, column, window column
            inside = inside_y[:, :, ky][:, :, None, None] & inside_x[:, :, kx]
            taken = np.where(inside, taken, term.pad) - zero_point
            total = total + np.einsum("oc,cyvxw->oyvxw", weight[:, :, ky, kx], taken)
    return total


def computed(layer, read, zero_points):
    """The integers of a layer on the array, [out, rows, columns], from those that it reads."""
    if layer.product:
        product, (rows, columns) = layer.product, layer.pixels
        first, second = product.first
        pixel = read[product.tensor][:, first : first + rows]
        factor = read[product.factors] if product.held else read[product.factors][:, second : second + rows]
        acc = (pixel - product.zero_points[0]) * (factor - product.zero_points[1])
        acc = acc.reshape(len(acc), rows, 1, columns, 1)
    else:
        sums = (summed(layer, term, read[term.tensor], zero_points[term.tensor]) for term in layer.terms)
        acc = layer.bias.reshape(-1, 1, 1, 1, 1) + sum(sums)
    shift = layer.shift.reshape(-1, 1, 1, 1, 1)
    if layer.multiplier is not None:
        acc = acc * layer.multiplier.reshape(-1, 1, 1, 1, 1)
    q = np.clip(((acc + ((1 << shift) >> 1)) >> shift) + layer.zero_point, layer.low, layer.high)
    q = q if layer.table is None else layer.table(q)
    return q.max(axis=(2, 4))


class Inside:
    """The activation memory and the one outside, and the moves that are under way."""

    def __init__(self, plan, qgraph, lanes, late):
        self.plan, self.qgraph, self.lanes, self.late = plan, qgraph, lanes, late
        self.words = np.full((plan.peak, lanes), JUNK)
        self.outside = np.full((plan.outside_words, lanes), JUNK)
        self.queue, self.over = [], 0

    def move(self, step):
        run = step.run
        there = slice(
            self.plan.outside[run.tensor] + run.first, self.plan.outside[run.tensor] + run.first + run.count
        )
        here = slice(run.address, run.address + run.count)
        if isinstance(step, Load):
            self.words[here] = self.outside[there]
        else:
            self.outside[there] = self.words[here]

    def issue(self, step):
        self.queue.append(step)
        if not self.late:
            self.wait(self.over + len(self.queue))

    def wait(self, count):
        while self.queue and self.over < count:
            self.move(self.queue.pop(0))
            self.over += 1

    def place(self, name):
        piece = self.plan.pieces[name]
        tensor = self.qgraph.tensors[piece.tensor]
        return Placement(name, piece.shape, self.lanes, tensor.zero_point, piece.address)

    def read(self, name):
        place = self.place(name)
        return place.from_words(self.words[None, place.address : place.address + place.room])[0]

    def write(self, layer, q):
        place = self.place(layer.tensor)
        if layer.into is None:
            assert q.shape == place.shape
            self.words[place.address : place.address + place.room] = place.to_words(q[None])[0]
            return
        grid = layer.into.grid
        pixels = grid.lines(0)[:, None] * place.shape[2] + grid.lines(1)
        padded = np.full((place.planes * self.lanes, *q.shape[1:]), place.zero_point)
        padded[: len(q)] = q
        for plane in range(place.planes):
            lanes = padded[plane * self.lanes : (plane + 1) * self.lanes]
            self.words[place.address + plane * place.plane + pixels] = lanes.transpose(1, 2, 0)


def execute(plan, qgraph, lanes, inputs, *, late):
    """Compute one sample, step by step; ``late`` moves words when something waits for it, else at once."""
    memory, words, results = Inside(plan, qgraph, lanes, late), {}, {}
    for name, q in inputs.items():
        tensor = qgraph.tensors[name]
        words[name] = Placement(name, tensor.shape, lanes, tensor.zero_point).to_words(q[None])[0]
    sent = {item.tensor: [] for item in qgraph.outputs}
    for step in plan.steps:
        match step:
            case Receive(run):
                memory.words[run.address : run.address + run.count] = words[run.tensor][run.first :][
                    : run.count
                ]
            case Send(run):
                sent[run.tensor].append(
                    (run.first, memory.words[run.address : run.address + run.count].copy())
                )
            case Load() | Store():
                memory.issue(step)
            case Wait(count):
                memory.wait(count)
            case Compute(layer):
                read = {name: memory.read(name) for name in layer.reads}
                zeros = {name: memory.place(name).zero_point for name in layer.reads}
                memory.write(layer, computed(layer, read, zeros))
    for name, parts in sent.items():
        tensor = qgraph.tensors[name]
        place = Placement(name, tensor.shape, lanes, tensor.zero_point)
        q = np.full((place.words, lanes), JUNK)
        for first, part in parts:
            q[first : first + len(part)] = part
        results[name] = place.from_words(q[None])[0]
    return results


def check(plan, qgraph, lanes, halves):
    """Assert what the hardware does not: see the contract at the top of hwquant/program/steps.py."""
    under_way, issued, ended = [], 0, {Receive: 0, Send: 0}
    frames = {Receive: [item.name for item in qgraph.inputs], Send: [item.tensor for item in qgraph.outputs]}
    expected = {
        kind: [(name, word) for name in names for word in range(words_of(qgraph.tensors[name], lanes))]
        for kind, names in frames.items()
    }
    seen = {Receive: [], Send: []}
    assert plan.half == halves[0]
    assert plan.peak <= sum(halves)
    for step in plan.steps:
        loads = [item.run for _, item in under_way if isinstance(item, Load)]
        stores = [item.run for _, item in under_way if isinstance(item, Store)]
        match step:
            case Load(run):
                assert run.address + run.count <= halves[0]
                issued += 1
                under_way.append((issued, step))
            case Store(run):
                assert halves[0] <= run.address
                assert run.address + run.count <= sum(halves)
                issued += 1
                under_way.append((issued, step))
            case Wait(count):
                assert count <= issued
                under_way = [item for item in under_way if item[0] > count]
            case Receive(run, last) | Send(run, last):
                kind = type(step)
                seen[kind] += [(run.tensor, run.first + word) for word in range(run.count)]
                ended[kind] += last
                assert last == (len(seen[kind]) == len(expected[kind]))
                if kind is Receive:
                    assert not under_way
                else:
                    used = set(range(run.address, run.address + run.count))
                    assert not any(used & span(item) for item in loads)
                    assert not stores or max(used) < halves[0]
            case Compute(layer):
                reads = [addresses(plan, name, lanes) for name in layer.reads]
                writes = addresses(plan, layer.tensor, lanes)
                assert all(not used & writes for used in reads)
                assert max(writes) < halves[0] or min(writes) >= halves[0]
                for used in reads:
                    assert max(used) < halves[0] or min(used) >= halves[0]
                    assert not any(used & span(run) for run in loads)
                    assert not stores or max(used) < halves[0]
                assert not loads or min(writes) >= halves[0]
                assert not any(writes & span(run) for run in stores)
    assert seen == expected
    assert ended == {Receive: 1, Send: 1}


def words_of(tensor, lanes):
    return -(-tensor.shape[0] // lanes) * prod(tensor.shape[1:])


def addresses(plan, name, lanes):
    piece = plan.pieces[name]
    return set(range(piece.address, piece.address + words_of(piece, lanes)))


def span(run):
    return set(range(run.address, run.address + run.count))


def planned(qgraph, array, halves, port=None, **limits):
    """A plan of a network for an array and the halves of its memory, and the lanes of a word."""
    layers = lowered_network(qgraph)
    shape = Requirements(array, limits=limits).offered(layers, qgraph)
    inputs, outputs = (
        tuple(item.name for item in qgraph.inputs),
        tuple(item.tensor for item in qgraph.outputs),
    )
    network = Network(qgraph.name, qgraph.tensors, inputs, outputs)
    return plan_steps(layers, network, shape, halves, port or Port(1.0, 1.0, 200)), shape.lanes


def smallest(qgraph, array, share=1.0):
    """The plan with the smallest halves, about, that are at least a share of all tensors' words; and those halves."""
    lanes = Requirements(array).offered(lowered_network(qgraph), qgraph).lanes
    size = max(2, int(share * sum(words_of(tensor, lanes) for tensor in qgraph.tensors.values())))
    while True:
        try:
            return *planned(qgraph, array, (size, size)), (size, size)
        except DoesNotFit:
            size += -(-size // 4)


def assert_right(qgraph, plan, lanes, halves, seed=0):
    """Check a plan, and that it computes what the golden model does, whenever its moves take place."""
    check(plan, qgraph, lanes, halves)
    inputs = {name: q[0] for name, q in images(qgraph, 1, seed).items()}
    expected = reference.run(qgraph, {name: q[None] for name, q in inputs.items()})
    for late in (False, True):
        for name, q in execute(plan, qgraph, lanes, inputs, late=late).items():
            np.testing.assert_array_equal(q, expected[name][0], err_msg=name)
