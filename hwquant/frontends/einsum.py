"""``einsum`` of an activation with a constant, where that is a linear layer or a factor."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from hwquant.frontends import arithmetic, operators, rearrange
from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array, Float, Value


def einsum(build: Builder, name: str, equation: str, parts: Sequence[Value | Float]) -> Value | Array:
    """Compute ``einsum``: views of one activation, a product with a constant, or constants alone.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the nodes.
    equation : str
        As numpy has it; no label may be twice in a tensor.
    parts : sequence of Value or ndarray of float64
        The tensors.
    """
    shapes = [part.shape for part in parts]
    terms, result = _terms(build, equation, [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise build.refuse(f"its label {label!r} stands for {sizes[label]} and {size} elements")
    arrays = [part for part in parts if not isinstance(part, Value)]
    if len(arrays) == len(parts):
        return np.asarray(np.einsum(f"{','.join(terms)}->{result}", *arrays))
    match parts:
        case [Value() as value] if sorted(terms[0]) == sorted(result):
            return _permuted(build, value, terms[0], result)
        case [Value() as value, np.ndarray() as weight]:
            return _product(build, name, value, terms[0], weight, terms[1], result, sizes)
        case [np.ndarray() as weight, Value() as value]:
            return _product(build, name, value, terms[1], weight, terms[0], result, sizes)
    raise build.refuse_operator("einsum")


def _terms(build: Builder, equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of every tensor and of the result, "..." and an absent result spelled out."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks) or not ranks:
        raise build.refuse(f"its equation {equation!r} does not fit {len(ranks)} tensors")
    spare = "".join(label for label in string.ascii_letters if label not in equation)
    hidden = max([rank - len(term) + 3 for term, rank in zip(terms, ranks) if "..." in term] or [0])
    for number, (term, rank) in enumerate(zip(terms, ranks)):
        if "..." in term:
            own = rank - len(term) + 3
            terms[number] = term.replace("...", spare[hidden - own : hidden], 1)
    if not arrow:
        joined = "".join(terms)
        own_labels = sorted(label for label in set(joined) - set(spare) if joined.count(label) == 1)
        result = ("..." if hidden else "") + "".join(own_labels)
    result = result.replace("...", spare[:hidden], 1)
    for term, rank in zip([*terms, result], [*ranks, len(result)]):
        if not set(term) <= set(string.ascii_letters) or len(set(term)) != len(term) or len(term) != rank:
            raise build.refuse(f"its equation {equation!r} is not supported")
    if not set(result) <= set("".join(terms)):
        raise build.refuse(f"its equation {equation!r} makes a label of nothing")
    return terms, result


def _product(
    build: Builder,
    name: str,
    value: Value,
    term: str,
    weight: Float,
    other: str,
    result: str,
    sizes: dict[str, int],
) -> Value:
    summed = [label for label in term if label in other and label not in result]
    shared = [label for label in term if label in other and label in result]
    kept = [label for label in term if label not in other]
    new = [label for label in other if label not in term]
    if {*kept, *new} - set(result) or (shared and (summed or new)):
        raise build.refuse(
            "its equation is neither a linear layer nor a factor; only those are computed of an activation"
        )
    if not summed and not new:
        order = [label for label in term if label in other]
        factor = np.transpose(weight, [other.index(label) for label in order])
        factor = factor.reshape([sizes[label] if label in other else 1 for label in term])
        scaled = arithmetic.binary(build, name, "mul", value, factor)
        assert isinstance(scaled, Value)
        return _permuted(build, scaled, term, result)
    lead = [sizes[label] for label in kept]
    rows = _permuted(build, value, term, "".join([*kept, *summed]))
    rows = rearrange.view(build, rows, lambda array: array.reshape(*lead, -1))
    matrix = np.transpose(weight, [other.index(label) for label in [*new, *summed]])
    matrix = matrix.reshape(int(np.prod([sizes[label] for label in new], dtype=int)), -1)
    found = operators.linear(build, name, rows, matrix, None)
    shape = [*lead, *(sizes[label] for label in new)]
    found = rearrange.view(build, found, lambda array: array.reshape(shape))
    return _permuted(build, found, "".join([*kept, *new]), result)


def _permuted(build: Builder, value: Value, have: str, want: str) -> Value:
    return rearrange.view(build, value, lambda array: array.transpose([have.index(label) for label in want]))
