"""The compiler: passes over frozen data, from an integer network to a program.

======== ====================================================================== ===================================
Pass     Function                                                               From
======== ====================================================================== ===================================
lowered  :func:`~hwquant.program.lowering.lower`                                the network
bands    :func:`~hwquant.program.shifted_terms.with_fewer_terms`, then
         :func:`~hwquant.program.planner.best_plan`                             layers that do not fit inside
mapped   :func:`~hwquant.program.raw_choice.map_with_inputs`                    layers, an array with every mode
divided  :func:`~hwquant.program.strips.divide`                                 mapped layers, several arrays
placed   :func:`~hwquant.program.placement.place`                               divided layers
schedule :func:`~hwquant.program.schedule.make_schedule`                        divided layers, addresses
shape    :func:`~hwquant.program.weight_choice.choose_weight_format`            the schedule
tables   :func:`~hwquant.program.tables.make_pages`                             mapped layers, the array's shape
emitted  :func:`~hwquant.program.emission.emit`, then
         :func:`~hwquant.program.early.with_early`,
         :func:`~hwquant.program.overlap.with_waits`, ``drop_redundant_sets``,
         :func:`~hwquant.program.marks.with_marks`; with external memory
         :func:`~hwquant.program.moves.with_moves`,
         :func:`~hwquant.program.fetched_program.fetch_program`                 the schedule, the array's shape
images   :func:`~hwquant.program.images.make_images`                            the schedule, the array's shape
sized    :func:`~hwquant.program.needs.measure`, ``sizing.size``                what all of these need
======== ====================================================================== ===================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.array_shape import ArrayShape
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.early import with_early
from hwquant.program.emission import drop_redundant_sets, emit, receive, send
from hwquant.program.fetched_program import FetchedProgram, fetch_program
from hwquant.program.images import Images, make_images
from hwquant.program.isa import Instruction, encode, fields, opcode_bits, program_bits
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.layout import Placement
from hwquant.program.limits import LIMITS
from hwquant.program.lowering import lower
from hwquant.program.mapping import NO_PIECES, MappedLayer, map_layers, packings
from hwquant.program.marks import Mark, transfers, with_marks
from hwquant.program.moves import BUFFER, Moved, external_address_bits, with_moves
from hwquant.program.needs import measure, parameter_bits
from hwquant.program.overlap import with_waits
from hwquant.program.placement import Placed, place
from hwquant.program.planner import best_plan, halves
from hwquant.program.program import Program
from hwquant.program.raw_choice import map_with_inputs
from hwquant.program.raw_inputs import RawInput
from hwquant.program.schedule import LayerSchedule, make_schedule
from hwquant.program.shifted_terms import with_fewer_terms
from hwquant.program.sizing import Requirements, size
from hwquant.program.statistics import layer_info
from hwquant.program.steps import Compute, Plan
from hwquant.program.strips import Divided, divide
from hwquant.program.tables import TablePages, make_pages
from hwquant.program.traffic import Port
from hwquant.program.weight_choice import choose_weight_format
from hwquant.program.weight_format import WeightFormat, weight_formats
from hwquant.program.writing import Network
from hwquant.qgraph import QGraph

CARE = 1.1
"""By how much slower a port is taken for, for a plan that moves less."""


def lowered_network(qgraph: QGraph) -> tuple[ArrayLayer, ...]:
    """Lower a network to layers as an array can execute them, whatever its size.

    Raises
    ------
    Unsupported
        The network has no layer, or one with weights that no array can hold.
    """
    layers = lower(qgraph)
    if not layers:
        raise Unsupported(
            f"network {qgraph.name!r} has no layer to execute: it moves values and computes none, which the host does "
            "without hardware",
            where=qgraph.name,
        )
    return tuple(layers)


@dataclass(frozen=True, eq=False)
class Compilation:
    """The compiler's passes over one network; each runs when its result is first asked for.

    Attributes
    ----------
    qgraph : QGraph
        The network.
    lowered : tuple of ArrayLayer
        The network's layers, from :func:`lowered_network`.
    requirements : Requirements
        The array's sides, and what else is asked of the array.
    care : float, default 1.0
        By what factor a plan takes the port to external memory for slower than it is.
    """

    qgraph: QGraph
    lowered: tuple[ArrayLayer, ...]
    requirements: Requirements
    care: float = 1.0

    @cached_property
    def offered(self) -> ArrayShape:
        """The array that layers are mapped to: given hardware, or one with every mode that there is."""
        return self.requirements.offered(self.lowered, self.qgraph)

    @cached_property
    def _mapping(self) -> tuple[tuple[MappedLayer, ...], tuple[RawInput, ...]]:
        packs, most = self.requirements.packs_input, self.requirements.most_words
        return map_with_inputs(self.lowered, self.qgraph, self.offered, packs=packs, most_words=most)

    @property
    def halves(self) -> tuple[int, int] | None:
        """Words of each half of the activation memory, about, where tensors may be outside; else None."""
        if not self.requirements.external:
            return None
        return halves(self.requirements.config, self.requirements.most_words)

    @cached_property
    def plan(self) -> Plan | None:
        """The steps of an inference whose tensors do not all fit inside; None where they do, or there is no outside."""
        memory, sizes, words = self.requirements.external, self.halves, self.requirements.most_words
        if not memory or not sizes or words is None:
            return None
        if place(self._mapping[0], self.qgraph, self.offered, {}).peak <= words:
            return None
        port = Port.of(memory, self.offered, self.requirements.given.get("weight_depth", BUFFER))
        packed = packings(self._mapping[0])
        layers = [
            item.layer if packed.keys() & set(item.layer.reads) else with_fewer_terms(layer)
            for layer, item in zip(self.lowered, self._mapping[0])
        ]
        tensors = dict(self.qgraph.tensors)
        for name, packing in packed.items():
            tensors[name] = replace(tensors[name], shape=packing.packed_shape)
        inputs = tuple(item.name for item in self.qgraph.inputs)
        outputs = tuple(item.tensor for item in self.qgraph.outputs)
        network = Network(self.qgraph.name, tensors, inputs, outputs)
        fixed = self.requirements.config is not None
        return best_plan(layers, network, self.offered, sizes, port, care=self.care, fixed=fixed)

    def bands(self, layer: ArrayLayer) -> list[ArrayLayer]:
        """The bands of one of the lowered layers, where there is a plan; else none."""
        if not self.plan:
            return []
        number = self.lowered.index(layer)
        return [step.layer for step in self.plan.steps if isinstance(step, Compute) and step.of == number]

    @cached_property
    def _pieces(self) -> QGraph:
        """The tensors in the activation memory: the network's, or a plan's pieces of them."""
        if not self.plan:
            return self.qgraph
        tensors = {
            piece.name: replace(self.qgraph.tensors[piece.tensor], name=piece.name, shape=piece.shape)
            for piece in self.plan.pieces.values()
        }
        return QGraph(self.qgraph.name, (), (), (), tensors)

    @property
    def _whole(self) -> Mapping[str, str]:
        return self.plan.whole if self.plan else NO_PIECES

    @cached_property
    def mapped(self) -> tuple[MappedLayer, ...]:
        """How each layer, or each band of one, uses the array."""
        if not self.plan:
            return self._mapping[0]
        return map_layers(self.plan.layers, self._pieces, self.offered, whole=self._whole)

    @property
    def raw_inputs(self) -> tuple[RawInput, ...]:
        """The network's inputs, where the host sends them as they are and the hardware lays them out; else empty."""
        return () if self.plan else self._mapping[1]

    @cached_property
    def needed(self) -> ArrayShape:
        """The array with only the modes that the layers use, and one row of weights in a word."""
        return self.requirements.needed(self.mapped, self.offered, self._pieces, self.raw_inputs)

    @cached_property
    def divided(self) -> Divided:
        """Which rows each of several arrays computes."""
        if self.plan:
            return Divided(self.mapped, {})
        return divide(self.mapped, self.qgraph, self.needed)

    @cached_property
    def placed(self) -> Placed:
        """Where tensors lie in the activation memory."""
        if self.plan:
            return self.plan.placed(self._pieces.tensors, self.needed.lanes)
        return place(self.divided.layers, self.qgraph, self.needed, self.divided.strips)

    @cached_property
    def schedule(self) -> tuple[LayerSchedule, ...]:
        """Which tiles are executed, layer by layer, in order."""
        return make_schedule(self.divided.layers, self.placed, self.needed, self._whole)

    @cached_property
    def program_ends(self) -> tuple[tuple[Placement, ...], tuple[Placement, ...]]:
        """The network's inputs and outputs: where they lie, or how the host has their words."""
        names = [item.name for item in self.qgraph.inputs], [item.tensor for item in self.qgraph.outputs]
        places: Mapping[str, Placement] = self.placed.tensors
        if self.plan:
            tensors = (self.qgraph.tensors[name] for name in (*names[0], *names[1]))
            lanes, packed = self.needed.lanes, packings(self._mapping[0])
            places = {
                item.name: Placement(
                    item.name, item.shape, lanes, item.zero_point, packing=packed.get(item.name)
                )
                for item in tensors
            }
        return tuple(places[name] for name in names[0]), tuple(places[name] for name in names[1])

    @cached_property
    def shape(self) -> ArrayShape:
        """The array with as many rows of weights in a word as are worth their hardware."""
        if self.requirements.config:
            return self.needed
        shape = choose_weight_format(self.schedule, self.needed)
        if shape.arrays == 1:
            return shape
        # Of several arrays, each accumulates but a part of the pixels, and has but strips of the inputs.
        most = max(block.count for item in self.schedule for block in item.pixel_blocks)
        raw = tuple(RawInput.of(place) for place in self.program_ends[0]) if self.raw_inputs else ()
        return replace(shape, accumulator_depth=most, raw_inputs=raw)

    @cached_property
    def formats(self) -> Mapping[ArrayTerm, WeightFormat]:
        """How each term's weights are stored."""
        return weight_formats((term for item in self.mapped for term in item.layer.terms), self.shape)

    @cached_property
    def tables(self) -> TablePages:
        """What the table memories hold, and which page each layer reads."""
        return make_pages([item.layer for item in self.mapped], self.shape.table_bits)

    @property
    def emitted(self) -> tuple[Instruction, ...]:
        """The instructions of an inference, in order."""
        if self.fetched:
            return self.fetched.placed(self.sized.word_beats(program_bits(self.sized)))
        return self._unfetched

    @property
    def _unfetched(self) -> tuple[Instruction, ...]:
        """The instructions, with the program inside."""
        return self.moved.code if self.moved else self._inside

    @cached_property
    def _marked(self) -> tuple[Instruction | Mark, ...]:
        """The instructions, with all weights and parameters inside, and marks where activations move."""
        inputs, outputs = self.program_ends
        if self.plan:
            transferred = transfers(self.plan)
        else:
            transferred = receive(inputs, self.shape), send(outputs, self.shape)
        code = emit(self.schedule, *transferred, self.shape, self.formats, self.tables.pages)
        if self.shape.raw_inputs:
            code = with_early(code, inputs, self.shape)
        if self.shape.overlap:
            code = with_waits(code, self.shape)
        code = drop_redundant_sets(code)
        return tuple(with_marks(list(code), self.plan) if self.plan else code)

    @cached_property
    def _inside(self) -> tuple[Instruction, ...]:
        """The instructions, with all weights and parameters inside."""
        return tuple(item for item in self._marked if isinstance(item, Instruction))

    @cached_property
    def images(self) -> Images:
        """What the weight and the parameter memory hold."""
        return make_images(self.schedule, self._pieces.tensors, self.shape, self.formats)

    @cached_property
    def moved(self) -> Moved | None:
        """What comes from external memory, and the instructions with its moves; None where there is none."""
        requirements, images = self.requirements, self.images
        if not requirements.external:
            return None
        needs = measure(self._inside, self.schedule, self.placed, images)
        return with_moves(
            self._marked,
            images.weights,
            len(images.bias),
            self.shape,
            requirements.external,
            parameter_bits=parameter_bits(self.shape, needs, requirements.config),
            limits=requirements.limits,
            config=requirements.config,
            activations=self.plan.outside_words if self.plan else 0,
        )

    @cached_property
    def fetched(self) -> FetchedProgram | None:
        """The program with the moves that fetch it; None where it is inside."""
        half = self.requirements.program_half(len(self._unfetched))
        return fetch_program(self._unfetched, half) if half else None

    @cached_property
    def needs(self) -> Mapping[str, int]:
        """What the network needs of each memory, and of widths."""
        needs = measure(self._unfetched, self.schedule, self.placed, self.images)
        if self.moved:
            needs |= self.moved.sizes
        if self.plan and self.plan.outside_words:
            needs |= {"half_depth": self.plan.half, "activation_depth": sum(self.halves or ())}
        memory, moved, fetched = self.requirements.external, self.moved, self.fetched
        if memory and moved and fetched:
            needs |= {"program_depth": 2 * fetched.half, "program_half": fetched.half}
            beats = fetched.beats(self._most_beats(needs)) + moved.beats
            needs["external_address_bits"] = external_address_bits(beats, memory, "the program, ")
        return needs

    def _most_beats(self, needs: Mapping[str, int]) -> int:
        """Beats outside that a word of the program takes at most, however wide an address there is."""
        config = self._sized(needs)
        address = LIMITS["external_address_bits"][1]
        return config.word_beats(max(program_bits(config), opcode_bits(config) + address))

    @cached_property
    def sized(self) -> ArrayConfig:
        """The array with its memories, as deep as the network needs."""
        return self._sized(self.needs)

    def _sized(self, needs: Mapping[str, int]) -> ArrayConfig:
        return size(self.shape, needs, self.requirements, self.images.widest, self.qgraph.name)

    @property
    def program(self) -> Program:
        """The result of all passes, as files and hardware have it."""
        formats, tensors = fields(self.sized), self.placed.tensors
        inputs, outputs = self.program_ends
        return Program(
            name=self.qgraph.name,
            config=self.sized,
            words=tuple(encode(instruction, formats) for instruction in self.emitted),
            weights=self.moved.weights if self.moved else self.images.weights,
            bias=self.images.bias,
            shift=self.images.shift,
            multiplier=self.images.multiplier,
            layers=tuple(layer_info(item, self.shape, self.formats) for item in self.schedule),
            inputs=inputs,
            outputs=outputs,
            tensors={name: item for name, item in tensors.items() if not item.packing},
            tables=self.tables.image,
            parts=self.plan.parts(self.needed.lanes) if self.plan else {},
            memory=self.requirements.external,
        )


def best_compilation(
    qgraph: QGraph, lowered: tuple[ArrayLayer, ...], requirements: Requirements
) -> Compilation:
    """The passes over a network; where tensors are outside, those with the better of two plans.

    A plan goes by estimates, which take moves and computing to overlap fully. So another one is made as if the port
    were slower by :data:`CARE`; it is taken where its program takes fewer cycles.
    """
    first = Compilation(qgraph, lowered, requirements)
    if not first.plan:
        return first
    second = replace(first, care=CARE)
    try:
        plan = second.plan
    except DoesNotFit:
        return first
    if not plan or plan.groups == first.plan.groups:
        return first
    return min(first, second, key=_cycles)


def _cycles(passes: Compilation) -> float:
    """Cycles that an inference takes; more than any where the program does not fit."""
    try:
        return timing(passes.program).cycles
    except DoesNotFit:
        return math.inf
