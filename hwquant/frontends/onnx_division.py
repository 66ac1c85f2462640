"""The nodes of a model divided between host and array, and the array's part translated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.frontends.builder import Builder
from hwquant.frontends.layouts import Layout, with_layouts
from hwquant.frontends.onnx_check import node_name
from hwquant.frontends.onnx_inputs import inputs_of
from hwquant.frontends.onnx_macs import macs
from hwquant.frontends.onnx_reader import Translation, tensors_read_by
from hwquant.frontends.onnx_survey import Survey
from hwquant.frontends.qonnx_operators import given_by_host
from hwquant.frontends.refusals import Invalid
from hwquant.frontends.segment import Place, largest_segment
from hwquant.frontends.values import Value
from hwquant.graph import Graph

if TYPE_CHECKING:
    import onnx


class Division:
    """A model on its way to be divided.

    Parameters
    ----------
    model : onnx.ModelProto
        A valid model, its batch fixed.
    name : str
        What messages call it.
    batch : int
        The batch; 0 where the model has no batch dimension.
    inputs, outputs : sequence of str
        Tensors beyond which nothing goes to the array; empty where the user names none.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        The model's nodes; everything here goes by their indices.
    survey : Survey
        What is known of each.
    macs : dict of int to int
        Multiply-accumulates of the nodes that compute something which is read.
    reasons : dict of int to str
        Why the array does not do a node.
    places : dict of int to {"head", "array", "tail"}
        Where the nodes of ``macs`` are.
    begin, end : list of str
        Tensors that the array's part reads, and those that it gives.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        name: str,
        batch: int,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
    ) -> None:
        self.model, self.name, self.batch = model, name, batch
        self.nodes = list(model.graph.node)
        self.wanted = [item.name for item in model.graph.output]
        self._makers = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        self._reads = [list(dict.fromkeys(filter(None, tensors_read_by(node)))) for node in self.nodes]
        outside = self._outside(inputs, outputs)
        self.survey = with_layouts(lambda layouts: Survey(model, self.builder(layouts), outside).run())
        self.reasons = dict(self.survey.refused)
        live = self._before(self.wanted) - self.survey.constant
        shapes = {name: item.shape for name, item in self.survey.described.items() if item.shape is not None}
        shapes |= {name: array.shape for name, array in self.survey.arrays.items()}
        self.macs = {index: macs(self.nodes[index], shapes) for index in sorted(live)}
        self.places: dict[int, Place] = {}
        self.begin: list[str] = []
        self.end: list[str] = []

    @property
    def refused(self) -> list[int]:
        """The nodes that the array cannot do, in order."""
        return [index for index in self.macs if index in self.reasons]

    @property
    def on_array(self) -> list[int]:
        """The nodes that the array does, in order."""
        return [index for index, place in self.places.items() if place == "array"]

    @property
    def lost(self) -> list[int]:
        """The nodes that the array could do, and that the host does."""
        return [
            index for index, place in self.places.items() if place != "array" and index not in self.reasons
        ]

    def divide(self) -> Graph | None:
        """Place all nodes, and translate those of the array; None where nothing that multiplies is left for it."""
        while True:
            self.places = self._placed()
            if not any(self.macs[index] for index in self.on_array):
                return None
            self.begin, self.end = self._borders()
            try:
                return with_layouts(lambda layouts: _Middle(self, self.builder(layouts)).graph())
            except Invalid:
                raise
            except Unsupported as error:
                index = self._blamed(error)
                if index is None:
                    raise
                self.reasons[index] = str(error).removeprefix(f"{error.where}: ")

    def builder(self, layouts: Mapping[str, Layout]) -> Builder:
        """What makes a network of a part; ``layouts`` are what windows are known to want."""
        return Builder(self.name, max(self.batch, 1), layouts, single=self.batch <= 1, bare=self.batch == 0)

    def sources(self, index: int) -> list[int]:
        """The nodes, other than constants, that a node reads."""
        makers = (self._makers.get(name) for name in self._reads[index])
        return [maker for maker in dict.fromkeys(makers) if maker is not None and maker in self.macs]

    def made(self, indices: Iterable[int], readers: Collection[int]) -> list[str]:
        """Tensors of some nodes that others read, or that the model gives: those first."""
        mine = {
            name for index in indices for name in self.nodes[index].output if name in self.survey.described
        }
        read = {name for index in readers for name in self._reads[index]}
        inner = [name for index in indices for name in self.nodes[index].output if name in read]
        return list(dict.fromkeys([name for name in (*self.wanted, *inner) if name in mine]))

    def maker(self, name: str) -> onnx.NodeProto | None:
        """The node that gives a tensor; None where it is an input."""
        return self.nodes[self._makers[name]] if name in self._makers else None

    def between(self, lost: Collection[int]) -> list[int]:
        """What is between the array's part and nodes that it could do too: refused nodes, or readers it cannot join."""
        places, nodes = self.places, self.nodes
        behind = self._before(name for i in lost if places[i] == "tail" for name in self._reads[i])
        ahead = self._behind({name for i in lost if places[i] == "head" for name in nodes[i].output})
        sides: dict[Place, set[int]] = {"tail": behind, "head": ahead, "array": set()}
        found = [index for index in self.refused if index in sides[places[index]]]
        return found or self.refused or [index for index in self.macs if index in self.survey.apart]

    def why(self, index: int) -> str:
        """Why the array does not do a node, or not together with what it reads; empty where it could."""
        return self.reasons.get(index, self.survey.apart.get(index, ""))

    def _outside(self, inputs: Sequence[str], outputs: Sequence[str]) -> dict[int, str]:
        """The nodes beyond the tensors that the user names, and why the array does not do them."""
        users = {item.name for item in inputs_of(self.model)}
        for name in (*inputs, *outputs):
            if name not in users and name not in self._makers:
                raise Unsupported(f"network {self.name!r} has no tensor {name!r} to cut at", where=name)
        computed = self._behind(users)
        kept = set(computed)
        if outputs:
            kept &= self._before(outputs)
        if inputs:
            kept &= self._behind(set(inputs)) - self._before(inputs)
        return dict.fromkeys(sorted(computed - kept), "it is beyond the tensors that the cut names")

    def _before(self, tensors: Iterable[str]) -> set[int]:
        """The nodes that tensors depend on."""
        found: set[int] = set()
        stack = list(tensors)
        while stack:
            index = self._makers.get(stack.pop())
            if index is not None and index not in found:
                found.add(index)
                stack += self._reads[index]
        return found

    def _behind(self, tensors: set[str]) -> set[int]:
        """The nodes that depend on tensors."""
        found, reached = set(), set(tensors)
        for index, node in enumerate(self.nodes):
            if not reached.isdisjoint(self._reads[index]):
                found.add(index)
                reached.update(node.output)
        return found

    def _placed(self) -> dict[int, Place]:
        """The place of every node: most multiply-accumulates on the array, then most nodes."""
        order = {index: position for position, index in enumerate(self.macs)}
        sources = [[order[source] for source in self.sources(index)] for index in order]
        apart = {
            (source, order[index])
            for index in self.survey.apart
            if index in order
            for source in sources[order[index]]
        }
        weights = [count * (len(order) + 1) + 1 for count in self.macs.values()]
        host = {order[index] for index in self.refused}
        places = dict(zip(order, largest_segment(sources, weights, host, apart)))
        self._leave_idle(places)
        self._leave_joins(places)
        self._leave_integers(places)
        needed = self._before(
            name for i, place in places.items() if place == "array" for name in self._reads[i]
        )
        places.update({i: "tail" for i, place in places.items() if place == "head" and i not in needed})
        return places

    def _leave_idle(self, places: dict[int, Place]) -> None:
        """Leave to the host what is connected to nothing that multiplies."""
        group: dict[int, int] = {}
        members: dict[int, list[int]] = {}
        for index in (index for index, place in places.items() if place == "array"):
            group[index], members[index] = index, [index]
            for source in self.sources(index):
                one, other = group.get(source), group[index]
                if one is not None and one != other:
                    members[one] += members.pop(other)
                    group.update(dict.fromkeys(members[one], one))
        for indices in members.values():
            if not any(self.macs[index] for index in indices):
                places.update(dict.fromkeys(indices, "tail"))

    def _leave_joins(self, places: dict[int, Place]) -> None:
        """Leave concatenations at the end to the host: tensors of several heads keep scales of their own."""
        read: set[int] = set()  # by what is on the array and stays there
        last: set[int] = set()
        for index in reversed(list(self.macs)):
            if places[index] != "array":
                continue
            if index in self.survey.moving and index not in read:
                last.add(index)
            else:
                read.update(self.sources(index))
        for index in sorted(last):  # views before them cost nothing where they are
            if index in self.survey.joining or any(
                places[source] == "tail" for source in self.sources(index)
            ):
                places[index] = "tail"

    def _leave_integers(self, places: dict[int, Place]) -> None:
        """Leave to the host what quantizes for it alone: the array hands on real numbers."""
        read = {name for index in places if places[index] == "array" for name in self._reads[index]}
        for index in (index for index, place in places.items() if place == "array"):
            node = self.nodes[index]
            if node.op_type == "QuantizeLinear" and not read.union(self.wanted).intersection(node.output):
                places[index] = "tail"

    def _borders(self) -> tuple[list[str], list[str]]:
        """The tensors that the array's part reads, the user's inputs first, and those that it gives."""
        array = self.on_array
        mine = {name for index in array for name in self.nodes[index].output}
        read = {name for index in array for name in self._reads[index]}
        users = [item.name for item in inputs_of(self.model)]
        known = [
            name
            for name in dict.fromkeys([*users, *self.survey.described])
            if name in read and name not in mine
        ]
        return known, self.made(array, [index for index in self.macs if self.places[index] != "array"])

    def _blamed(self, error: Unsupported) -> int | None:
        """The node of the array's part that an error is about."""
        array = self.on_array
        for index in array:
            node = self.nodes[index]
            label = f"node {node_name(node)!r} ({node.op_type})"
            if error.where in (
                label,
                f"QONNX {label}",
                node_name(node),
                *(f"output {name!r}" for name in node.output),
            ):
                return index
        near = [index for index in array if error.where.startswith(f"{node_name(self.nodes[index])}_")]
        return max(near, key=lambda index: len(node_name(self.nodes[index])), default=None)


class _Middle(Translation):
    """The translation of the array's part alone."""

    def __init__(self, division: Division, build: Builder) -> None:
        super().__init__(division.model, build)
        self._division = division

    def graph(self) -> Graph:
        """Translate what the array reads, does and gives."""
        division = self._division
        for name, array in division.survey.arrays.items():
            self._set(name, array)
        self.steps |= division.survey.steps
        self.unkept |= division.survey.unkept
        for name in division.begin:
            found = division.survey.described[name]
            self.begin(name, found.kind, found.shape or ())
            node, value = division.maker(name), self.values[name]
            if node is not None and isinstance(value, Value):
                self.values[name] = given_by_host(self.build, value, node, division.survey.arrays)
        self._translate_all([division.nodes[index] for index in division.on_array], division.end)
        return self.finished(division.end)
