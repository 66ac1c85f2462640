"""Everything that PyTorch declares for a supported operator is accounted for."""

import re

import pytest
import torch
import torch.ao.quantization.fx._decomposed  # it makes the operators quantized_decomposed

from hwquant.frontends.aten_declared import (
    ARGUMENTS,
    DECLARED,
    IN_PLACE,
    REFUSED_OVERLOADS,
    account,
    declared,
)
from hwquant.frontends.aten_operators import IGNORED, OPERATORS
from hwquant.frontends.aten_schema import REQUIRED, BatchSize, Unaccounted, parsed
from hwquant.frontends.declaration import Refused

SUPPORTED = sorted({*OPERATORS, *IGNORED})
IN_TORCH = {name for name in SUPPORTED if hasattr(torch.ops.aten, f"{name}_")}
"""Supported operators of which torch has a variant in place."""
VARIANTS = sorted({*SUPPORTED} | {f"{name}_" for name in IN_PLACE.split()})


def overloads(name):
    """torch's schemas of an operator, by overload."""
    library, _, name = name.rpartition(".")
    packet = getattr(getattr(torch.ops, library or "aten"), name)
    return {overload: getattr(packet, overload)._schema for overload in packet.overloads()}


def writes_out(schema):
    return any(argument.alias_info is not None and argument.is_out for argument in schema.arguments)


def has_tensors(schema):
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def names_dimensions(schema):
    """Whether it is an overload for tensors with named dimensions, which newer versions of torch do not have."""
    return "name" in schema.overload_name.lower()


def test_an_importer_has_schemas_and_schemas_have_an_importer():
    assert set(SUPPORTED) == set(DECLARED)


def test_the_variants_in_place_are_all_that_torch_has():
    # These are of no use: they put truth values among numbers, and the last one changes a constant.
    assert IN_TORCH - set(IN_PLACE.split()) == {"eq", "ge", "gt", "le", "lt", "ne", "pow"}
    assert set(IN_PLACE.split()) <= IN_TORCH
    assert declared("gt_", "Scalar") is None


def _declared(name, overload):
    """The schema of an overload; None where it is refused by its name."""
    try:
        return declared(name, overload)
    except Unaccounted as error:
        if repr(overload) not in str(error):
            raise
        return None


@pytest.mark.parametrize("name", VARIANTS)
def test_every_overload_is_as_declared_or_refused_by_name(name):
    for overload, schema in overloads(name).items():
        if (ours := _declared(name, overload)) is None:
            base = name if name in DECLARED else name.removesuffix("_")
            known = any(re.fullmatch(pattern, f"{base}.{overload}") for pattern in REFUSED_OVERLOADS)
            beside = writes_out(schema) or names_dimensions(schema) or not has_tensors(schema)
            assert known or beside, f"nobody has looked at {schema}"
            continue
        theirs = parsed(str(schema))
        assert [(item.name, item.kind, item.default) for item in ours.arguments] == [
            (item.name, item.kind, item.default) for item in theirs.arguments
        ]
        if not name.endswith("_"):
            assert (ours.results, ours.aliases) == (theirs.results, theirs.aliases)


def test_all_arguments_and_results_of_all_overloads_are_counted(capsys):
    counts = dict.fromkeys(("overloads", "used", "irrelevant", "refused unless harmless", "results"), 0)
    refused = 0
    for name in VARIANTS:
        for overload in overloads(name):
            if (schema := _declared(name, overload)) is None:
                refused += 1
                continue
            counts["overloads"] += 1
            counts["results"] += schema.results
            for argument in schema.arguments:
                treatment = ARGUMENTS.get(argument.name)
                kind = "used" if treatment is None else "irrelevant"
                counts["refused unless harmless" if isinstance(treatment, Refused) else kind] += 1
    with capsys.disabled():
        print(
            f"\nATen: {len(SUPPORTED)} operators, {refused} overloads refused by name; accounted for: {counts}"
        )
    assert counts["overloads"] + refused == sum(len(overloads(name)) for name in VARIANTS)


def test_a_refused_argument_is_harmless_at_its_default():
    for schemas in DECLARED.values():
        for schema in schemas.values():
            for argument in schema.arguments:
                treatment = ARGUMENTS.get(argument.name)
                if isinstance(treatment, Refused) and argument.default is not REQUIRED:
                    assert treatment.allows(argument.default), f"{schema.name} {argument.name}"


def test_no_overload_is_refused_that_torch_does_not_have():
    names = {f"{name}.{overload}" for name in SUPPORTED for overload in overloads(name)}
    for pattern in REFUSED_OVERLOADS:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


def test_no_argument_is_declared_for_nothing():
    names = {
        argument.name
        for schemas in DECLARED.values()
        for one in schemas.values()
        for argument in one.arguments
    }
    assert set(ARGUMENTS) <= names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dim": 1, "axis": 2}, r"log_softmax.int has no argument 'axis'"),
        ({}, r"its argument 'dim' is missing"),
        ({"dim": True}, r"its argument 'dim' is no int$"),
        ({"dim": 1.0}, r"its argument 'dim' is no int$"),
        ({"dim": 1 << 63}, r"its argument 'dim' is no int$"),
        ({"dim": BatchSize(2)}, r"its argument 'dim' is the size of the open batch"),
        ({"dim": 1, "dtype": 6}, r"its argument 'dtype' is no ScalarType\?"),
    ],
)
def test_a_call_is_bound_to_its_schema(given, message):
    schema = parsed("log_softmax.int(int dim, ScalarType? dtype=None) -> Tensor")
    with pytest.raises(Unaccounted, match=message):
        account("log_softmax", schema, given)
    assert schema.bound({"dim": -1}) == {"dim": -1, "dtype": None}


def test_an_operator_in_place_calls_its_first_argument_self():
    schema = declared("dropout_", "default")
    given = {"self": torch.zeros(1).numpy(), "p": 0.5, "train": False}
    assert list(account("dropout", schema, given)) == ["input", "p", "train"]
    with pytest.raises(Unaccounted, match=r"drops values as in training"):
        account("dropout", schema, given | {"train": True})
