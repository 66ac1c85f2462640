"""One node of an ONNX model, and the declaration of its operator, against which every node is checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hwquant.frontends.builder import Builder
from hwquant.frontends.call import Call
from hwquant.frontends.declaration import Irrelevant, Refused, Treatment, among
from hwquant.frontends.onnx_types import REFUSED
from hwquant.frontends.values import Array, Value

if TYPE_CHECKING:
    import onnx

Result = Value | Array


@dataclass(frozen=True)
class OnnxCall(Call[int]):
    """One node of an ONNX model; its inputs are asked for by their positions.

    Attributes
    ----------
    opset : int
        Version of the default operator set.
    inputs : sequence of Value, array or None
        The inputs, None where one is left out.
    names : sequence of str
        The inputs' names in the model.
    types : sequence of str or None
        The inputs' element types.
    attributes : mapping
        The attributes as the model gives them, and the defaults of this operator set.
    outputs : int, default 1
        Number of outputs that the node has.
    FIRST : int
        The position of the input that most operators compute with, 0.
    """

    opset: int
    inputs: Sequence[Result | None]
    names: Sequence[str]
    types: Sequence[str | None]
    attributes: Mapping[str, Any]
    outputs: int = 1

    FIRST: ClassVar[int] = 0

    def given(self, index: int) -> bool:
        """Whether an input is there: optional ones may be left out."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def any(self, key: int) -> Result:
        """An input, whatever it is; a missing one is refused."""
        found = self.inputs[key] if key < len(self.inputs) else None
        if found is None:
            raise self.build.refuse(f"its input {key} is missing")
        return found

    def label(self, key: int) -> str:
        """An input as messages name it."""
        return f"input {self.names[key]!r}"

    def tensor(self, key: int) -> str:
        """The name of an input in the model."""
        return self.names[key]

    def number(self, index: int) -> float:
        """A constant that is one number, without dimensions."""
        constant = self.constant(index)
        if constant.ndim != 0:
            raise self.build.refuse(f"its {self.label(index)} has shape {constant.shape}, not one number")
        return float(constant.item())

    def integers(self, index: int, attribute: str | None = None) -> list[int] | None:
        """Integers from an input, or from the attribute of older versions; None if neither is there."""
        if self.given(index):
            constant = self.constant(index)
            if constant.ndim != 1:
                refusal = self.build.invalid if constant.ndim else self.build.refuse  # some take one number
                raise refusal(f"its {self.label(index)} has shape {constant.shape}, not one dimension")
            return [int(number) for number in constant]
        found = self.attributes.get(attribute) if attribute else None
        return None if found is None else [int(number) for number in found]


@dataclass(frozen=True)
class Operator:
    """What an ONNX operator becomes, and everything that it may carry, in all operator sets together.

    Attributes
    ----------
    translate : callable
        The function from a node that `admitted` has let through to its value, or those of all its outputs.
    inputs : mapping
        The element types that are computed with, or why the input is irrelevant, by name in the schema.
    attributes : mapping
        What becomes of each attribute, by name.
    outputs : mapping
        What becomes of each output after the first, by name.
    """

    translate: Callable[[OnnxCall], Result | tuple[Value, ...]]
    inputs: Mapping[str, frozenset[str] | Irrelevant]
    attributes: Mapping[str, Treatment] = field(default_factory=dict)
    outputs: Mapping[str, Treatment] = field(default_factory=dict)


def admitted(
    build: Builder,
    operator: Operator,
    schema: onnx.defs.OpSchema,
    node: onnx.NodeProto,
    types: Sequence[str | None],
    read: Collection[str],
) -> dict[str, Any]:
    """Return a node's attributes, once all that the node carries is accounted for.

    Parameters
    ----------
    build : Builder
        The network under construction, which makes the errors.
    operator : Operator
        The declaration.
    schema : onnx.defs.OpSchema
        The operator in the model's operator set.
    node : onnx.NodeProto
        The node.
    types : sequence of str or None
        Element types of the inputs, None where one is left out.
    read : collection of str
        The tensors that something reads.

    Returns
    -------
    dict
        The attributes by name, with the defaults of the operator set.

    Raises
    ------
    Unsupported
        For what is refused by the declaration, or not in it.
    """
    _check_inputs(build, operator, schema, node, types)
    _check_outputs(build, operator, schema, node, read)
    attributes = {name: _value(item.default_value) for name, item in schema.attributes.items()}
    for attribute in node.attribute:
        name = attribute.name
        if name not in schema.attributes:
            raise build.refuse(
                f"{node.op_type} has no attribute {name!r} in operator set {schema.since_version}"
            )
        if attribute.ref_attr_name or attribute.type != int(schema.attributes[name].type):
            raise build.refuse(f"its attribute {name!r} has no value of the right type")
        attributes[name] = _value(attribute)
        _check(build, f"{name}={attributes[name]!r}", operator.attributes.get(name), attributes[name])
    return {name: value for name, value in attributes.items() if value is not None}


def _check_inputs(
    build: Builder,
    operator: Operator,
    schema: onnx.defs.OpSchema,
    node: onnx.NodeProto,
    types: Sequence[str | None],
) -> None:
    bound: dict[str, str] = {}
    for index, name in enumerate(types):
        if name is None:
            continue
        declared = schema.inputs[min(index, len(schema.inputs) - 1)]
        tensor = node.input[index]
        allowed = operator.inputs.get(declared.name)
        if allowed is None:
            raise build.refuse(f"its input {tensor!r} ({declared.name}) is not supported")
        if isinstance(allowed, Irrelevant):
            continue
        if name not in allowed:
            why = REFUSED.get(name, "cast it to float first")
            raise build.refuse(f"its input {tensor!r} has the element type {name}; {why}")
        if f"tensor({name})" not in declared.types:
            raise build.refuse(
                f"its input {tensor!r} has the element type {name}, which {node.op_type} does not have in "
                f"operator set {schema.since_version}"
            )
        other = bound.setdefault(declared.type_str, name)
        if other != name and declared.is_homogeneous:
            raise build.invalid(
                f"its inputs have the element types {other} and {name}, which must be equal; cast one of them"
            )


def _check_outputs(
    build: Builder,
    operator: Operator,
    schema: onnx.defs.OpSchema,
    node: onnx.NodeProto,
    read: Collection[str],
) -> None:
    for index, tensor in enumerate(node.output):
        number = min(index, len(schema.outputs) - 1)
        if number == 0 or not tensor:  # of operators of many outputs all are the first
            continue
        declared = schema.outputs[number].name
        treatment = operator.outputs.get(declared)
        if isinstance(treatment, Irrelevant) and tensor in read:
            raise build.refuse(f"its output {tensor!r} ({declared}) is read; {treatment.reason}")
        _check(build, f"its output {tensor!r} ({declared})", treatment, tensor)


def _check(build: Builder, what: str, treatment: Treatment | None, value: object) -> None:
    if treatment is None:
        raise build.refuse(f"{what} is not supported")
    if isinstance(treatment, Refused):
        if not treatment.allows(value):
            raise build.refuse(f"{what} is not supported; {treatment.reason}")
    elif treatment.one_of and not among(value, treatment.one_of):
        raise build.invalid(f"{what} is invalid; it must be one of {', '.join(map(repr, treatment.one_of))}")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes that a node of constants has, by name."""
    return {item.name: _value(item) for item in node.attribute}


def _value(attribute: onnx.AttributeProto) -> Any:
    """The value of an attribute: strings as str, the rest as the onnx package reads it.

    None stands for a default that there is not.
    """
    from onnx import helper

    if not attribute.name:
        return None
    value = helper.get_attribute_value(attribute)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
