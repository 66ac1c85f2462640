"""Variables of TensorFlow Lite files: tensors that are kept from one call of a network to the next.

They become inputs and outputs: a variable that is read before anything is assigned to it in the same call is a state,
which the network takes and gives. What is read after that is what was assigned; a variable that is never assigned is
the constant that it begins with. Operators run in the order in which they are in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends.tflite_model import Operation, Tensor, TfliteFile, Variable

WITHOUT_OUTPUTS = frozenset({"ASSIGN_VARIABLE", "CALL_ONCE"})
"""Operators that make no tensor."""

_Key = tuple[str, str]
"""A variable: its container and its name there."""


def begun_by(operation: Operation) -> int | None:
    """The subgraph that an operator calls once, before the first call; None of other operators.

    Raises
    ------
    ValueError
        It does not say which.
    """
    if operation.custom or operation.kind != "CALL_ONCE":
        return None
    if operation.table != "CallOnceOptions" or operation.inputs or operation.outputs:
        raise ValueError(f"operator {operation.index} (CALL_ONCE) lacks its options, or has tensors")
    return int(operation.options["InitSubgraphIndex"])


def without_variables(main: TfliteFile, others: Mapping[int, TfliteFile]) -> TfliteFile:
    """Make inputs, outputs and constants of a network's variables.

    Parameters
    ----------
    main : TfliteFile
        The network; each of its tensors has one source, before it is read.
    others : mapping of TfliteFile
        The subgraphs that `begun_by` names, by their numbers.

    Returns
    -------
    TfliteFile
        The network without operators on variables.

    Raises
    ------
    Unsupported
        What a variable is in a call depends on more than the last call, or integers would mean something else in it.
    ValueError
        An operator has not the tensors or options that it needs.
    """
    found = _Variables(main)
    for operation in main.operations:
        number = begun_by(operation)
        if number is not None:
            found.begin(operation, others[number])
        else:
            found.run(operation)
    return found.result()


@dataclass
class _Variables:
    """The variables while operators run, one after the other.

    Attributes
    ----------
    file : TfliteFile
        The network.
    handles : dict
        Variables by the number of a tensor that stands for one.
    initial : dict of Tensor
        What a variable is before the first call.
    value : dict of int
        The number of the tensor that a variable is now, in a call.
    reads, assigns : dict of Operation
        The first operator that reads what a variable was before the call, and the one that assigns it.
    same : dict of int
        Tensors that are another one.
    others : list of Operation
        The remaining operators.
    """

    file: TfliteFile
    handles: dict[int, _Key] = field(default_factory=dict)
    initial: dict[_Key, Tensor] = field(default_factory=dict)
    value: dict[_Key, int] = field(default_factory=dict)
    reads: dict[_Key, Operation] = field(default_factory=dict)
    assigns: dict[_Key, Operation] = field(default_factory=dict)
    same: dict[int, int] = field(default_factory=dict)
    others: list[Operation] = field(default_factory=list)

    def refused(self, operation: Operation, key: _Key | None, why: str) -> Unsupported:
        """The error for what is valid and not supported."""
        name = "" if key is None else f" (variable {key[1]!r})"
        return Unsupported(
            f"{self.file.name!r} is a TensorFlow Lite file; {operation.kind}{name}: {why}",
            where=f"operator {operation.index}",
            operator=operation.kind,
        )

    def begin(self, caller: Operation, graph: TfliteFile) -> None:
        """Give variables what they are before the first call."""
        handles: dict[int, _Key] = {}
        for operation in graph.operations:
            if not operation.custom and operation.kind == "VAR_HANDLE":
                handles[_tensors(operation, 0, 1)[0]] = _key(operation)
                continue
            if operation.custom or operation.kind != "ASSIGN_VARIABLE":
                raise self.refused(
                    caller, None, f"it calls {operation.kind} once; only constants are assigned so"
                )
            handle, number = _tensors(operation, 2, 0)
            key = handles.get(handle)
            if key is None or graph.tensors[number].array is None:
                raise self.refused(caller, key, "what it assigns is no constant, or no variable is there")
            if key in self.initial or key in self.value:
                raise self.refused(caller, key, "it is given its first value twice, or after it is used")
            self.initial[key] = graph.tensors[number]

    def run(self, operation: Operation) -> None:
        """An operator of the network."""
        kind = "" if operation.custom else operation.kind
        if kind == "VAR_HANDLE":
            self.handles[_tensors(operation, 0, 1)[0]] = _key(operation)
        elif kind == "READ_VARIABLE":
            self.read(operation)
        elif kind == "ASSIGN_VARIABLE":
            handle, number = _tensors(operation, 2, 0)
            key = self.key(operation, handle)
            if key in self.assigns:
                raise self.refused(operation, key, "it is assigned twice in one call; assign it once")
            self.assigns[key] = operation
            self.value[key] = self.same.get(number, number)
        elif any(number in self.handles for number in operation.inputs):
            raise self.refused(
                operation, None, "it takes a variable, and can only take what READ_VARIABLE gives"
            )
        else:
            inputs = tuple(self.same.get(number, number) for number in operation.inputs)
            self.others.append(replace(operation, inputs=inputs))

    def read(self, operation: Operation) -> None:
        """What a variable is now is a tensor that there is, or one that the network has to be given."""
        handle, number = _tensors(operation, 1, 1)
        key = self.key(operation, handle)
        if key not in self.value:
            self.value[key], self.reads[key] = number, operation
            return
        self.check_alike(operation, key, number, self.value[key])
        self.same[number] = self.value[key]

    def key(self, operation: Operation, handle: int) -> _Key:
        """The variable that a tensor stands for."""
        if handle not in self.handles:
            raise self.refused(operation, None, "its variable is none that VAR_HANDLE gives")
        return self.handles[handle]

    def check_alike(self, operation: Operation, key: _Key, number: int, other: int) -> None:
        """Raise unless two tensors' integers mean the same: a variable is moved as it is."""
        one, two = self.file.tensors[number], self.file.tensors[other]
        if not one.alike(two):
            raise self.refused(
                operation,
                key,
                f"its tensors {one.name!r} and {two.name!r} differ in their type, scale or zero point; "
                "give both the same",
            )

    def result(self) -> TfliteFile:
        """The network, with what is read as inputs or constants."""
        tensors, states = list(self.file.tensors), []
        for key, operation in self.reads.items():
            number = operation.outputs[0]
            tensor = tensors[number]
            first = self.first(operation, key, tensor)
            assign = self.assigns.get(key)
            if assign is None:
                tensors[number] = replace(tensor, array=first.array)
                continue
            zero = 0 if tensor.quantization is None else tensor.quantization.zero_points
            if np.any(first.array != zero):
                raise self.refused(operation, key, "it does not begin with zeros, as states do")
            assigned = self.value[key]
            self.check_alike(assign, key, number, assigned)
            if tensors[assigned].array is not None:
                raise self.refused(assign, key, "what it assigns is a constant")
            states.append(Variable(key[1] or tensor.name, number, assigned))
        outputs = tuple(self.same.get(number, number) for number in self.file.outputs)
        if any(number in self.handles for number in outputs):
            raise ValueError("one of its outputs is a variable")
        return replace(
            self.file,
            tensors=tuple(tensors),
            operations=tuple(self.others),
            outputs=outputs,
            variables=tuple(states),
        )

    def first(self, operation: Operation, key: _Key, tensor: Tensor) -> Tensor:
        """What a variable that is read begins with."""
        first = self.initial.get(key)
        if first is None:
            raise self.refused(operation, key, "it is read before anything is assigned to it")
        if (first.kind, first.shape) != (tensor.kind, tensor.shape):
            raise self.refused(
                operation,
                key,
                f"it is {tensor.kind} of shape {tensor.shape}, and begins as {first.kind} of shape {first.shape}",
            )
        return first


def _key(operation: Operation) -> _Key:
    if operation.table != "VarHandleOptions":
        raise ValueError(f"operator {operation.index} (VAR_HANDLE) lacks its options")
    return operation.options["Container"], operation.options["SharedName"]


def _tensors(operation: Operation, inputs: int, outputs: int) -> tuple[int, ...]:
    """The inputs and the outputs of an operator, as many as it has to have."""
    if (len(operation.inputs), len(operation.outputs)) != (inputs, outputs) or -1 in operation.inputs:
        raise ValueError(f"operator {operation.index} ({operation.kind}) has other tensors than it takes")
    return (*operation.inputs, *operation.outputs)
