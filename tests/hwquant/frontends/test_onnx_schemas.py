"""Every attribute, input, output and element type of ONNX's own schemas is accounted for by the importer."""

from collections import Counter

import onnx
import pytest

from hwquant.frontends.declaration import Irrelevant, Refused, Used
from hwquant.frontends.onnx_old import OLDEST_OPSET
from hwquant.frontends.onnx_operators import OPERATORS
from hwquant.frontends.onnx_types import ANY, REFUSED


def versions(name):
    """An operator's schemas in all operator sets from the oldest supported to the newest."""
    newest = onnx.defs.onnx_opset_version()
    since = set()
    for opset in range(OLDEST_OPSET, newest + 1):
        try:
            since.add(onnx.defs.get_schema(name, opset, "").since_version)
        except onnx.defs.SchemaError:  # not there yet
            continue
    return [onnx.defs.get_schema(name, version, "") for version in sorted(since)]


def element_types(names):
    """Of ``tensor(...)``; what is no tensor by its own name."""
    return {name.removeprefix("tensor(").removesuffix(")") for name in names}


def is_container(name):
    """Sequences, maps and optionals: values of these types cannot be an input of the network."""
    return name.startswith(("seq(", "optional(", "map("))


def unaccounted(name, operator):
    """What a schema has and the declaration does not."""
    missing = set()
    for schema in versions(name):
        for attribute in schema.attributes:
            if not isinstance(operator.attributes.get(attribute), Used | Irrelevant | Refused):
                missing.add(f"attribute {attribute}")
        for item in schema.inputs:
            if item.name not in operator.inputs:
                missing.add(f"input {item.name}")
            elif isinstance(operator.inputs[item.name], frozenset):
                for kind in element_types(item.types):
                    if kind not in operator.inputs[item.name] | ANY | REFUSED.keys() and not is_container(
                        kind
                    ):
                        missing.add(f"type {kind}")
        missing |= {f"output {item.name}" for item in schema.outputs[1:] if item.name not in operator.outputs}
    return missing


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_part_of_an_operator_is_accounted_for_and_nothing_else_is_declared(name):
    operator, schemas = OPERATORS[name], versions(name)
    assert schemas
    assert unaccounted(name, operator) == set()
    assert set(operator.attributes) == {item for schema in schemas for item in schema.attributes}
    assert set(operator.inputs) == {item.name for schema in schemas for item in schema.inputs}
    assert set(operator.outputs) == {item.name for schema in schemas for item in schema.outputs[1:]}
    for declared in operator.inputs.values():
        if isinstance(declared, frozenset):
            known = {
                kind for schema in schemas for item in schema.inputs for kind in element_types(item.types)
            }
            assert declared & known


@pytest.mark.parametrize(
    ("name", "parts", "missing"),
    [
        ("Conv", {"attributes": {}}, "attribute dilations"),
        ("Clip", {"inputs": {"input": ANY, "min": ANY}}, "input max"),
        ("MaxPool", {"outputs": {}}, "output Indices"),
    ],
)
def test_what_is_left_out_is_noticed(name, parts, missing):
    operator = OPERATORS[name]
    changed = type(operator)(
        **{"translate": operator.translate, "inputs": operator.inputs, "attributes": operator.attributes}
        | parts
    )
    assert missing in unaccounted(name, changed)


def test_reasons_are_given(record_property):
    """Prints how many are accounted for: run with -s."""
    counts = Counter()
    for name, operator in OPERATORS.items():
        schemas = versions(name)
        counts["schemas"] += len(schemas)
        for schema in schemas:
            for attribute in schema.attributes:
                counts[f"attributes {type(operator.attributes[attribute]).__name__.lower()}"] += 1
            counts["inputs"] += len(schema.inputs)
            counts["further outputs"] += len(schema.outputs) - 1
            for item in schema.inputs:
                declared = operator.inputs[item.name]
                for kind in element_types(item.types):
                    used = isinstance(declared, Irrelevant) or kind in declared
                    counts[f"element types {'used' if used else 'refused'}"] += 1
        for treatment in (
            *operator.attributes.values(),
            *operator.inputs.values(),
            *operator.outputs.values(),
        ):
            if isinstance(treatment, Irrelevant | Refused):
                assert treatment.reason
    print(
        f"{len(OPERATORS)} operators:", ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    )
    record_property("accounted for", dict(counts))
