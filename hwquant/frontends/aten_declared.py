"""What is accounted for of every ATen operator: its overloads, arguments and results; enforced before an importer runs.

`declared` gives the schema of an overload, or refuses it. `account` binds a call to it: an argument that is
unknown, missing or of the wrong kind is refused by name, and so is one that `ARGUMENTS` refuses. That table is by
argument, not a part of each operator's entry, since a name means the same in every schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwquant.frontends.alternatives import alternative
from hwquant.frontends.aten_schema import Schema, Unaccounted, parsed
from hwquant.frontends.aten_schemas import IN_PLACE, SCHEMAS
from hwquant.frontends.declaration import USED, Irrelevant, Refused

ARGUMENTS: Mapping[str, Irrelevant | Refused] = {
    "copy": Irrelevant("whether memory is shared; what is written in place is followed in any case"),
    "cudnn_enabled": Irrelevant("how it is computed"),
    "device": Irrelevant("where it is computed"),
    "divisor_override": Refused(
        "divisor_override is not supported; multiply the average by a number", (None,)
    ),
    "half_to_float": Refused(
        "it computes in float16, whose rounding is not reproduced; export the module after .float()", (False,)
    ),
    "implicit": Irrelevant("of torch's vmap"),
    "layout": Refused("a tensor that is not dense is not supported", (None, "strided")),
    "memory_format": Irrelevant("the order in memory, not that of the dimensions"),
    "momentum": Irrelevant("how the running statistics are trained"),
    "non_blocking": Irrelevant("when it is computed"),
    "p": Irrelevant("how many values dropout drops in training, which is refused"),
    "path": Irrelevant("the order in which products are computed"),
    "pin_memory": Irrelevant("where it is computed"),
    "rounding_mode": Refused("division with rounding is not supported", (None,)),
    "train": Refused("it drops values as in training; export the module after .eval()", (False,)),
    "training": Refused(
        "it normalizes by the batch at hand, in training mode or without running statistics; export the module "
        "after .eval(), with track_running_stats=True",
        (False,),
    ),
}
"""Arguments that no importer reads, by their names, which mean the same in every schema; all others are used."""

REFUSED_OVERLOADS: Mapping[str, str] = {
    "(addmm|bmm|mm).dtype": "it computes in another type than that of its operands",
    "(eq|ne).Tensor_list": "it compares lists, for Python",
    "round.decimals": "it rounds to decimals",
    "view.dtype": "it reads the bytes of a tensor as another type",
    "fmod.Tensor": "only the remainder by a number is computed, of constants",
    "where.(ScalarOther|ScalarSelf|Scalar|default)": alternative("where"),
    "einsum.sublist": "give the equation as text",
    "index.(Tensor_hacked_twin|list_Tensor)": "it is of TorchScript, which torch.export does not write",
    "narrow.Tensor": "where it begins must be fixed",
    "repeat_interleave.(Tensor|self_Tensor)": "how often elements are repeated must be one fixed number",
    "split.default": "it is of TorchScript, which torch.export does not write",
    "numpy_T.a": "it is of TorchScript, which torch.export does not write",
    "sym_size.default": "it gives all sizes at once; ask for one dimension",
    r"to.prim_\w+": "it is of TorchScript, which torch.export does not write",
}
"""Patterns of overloads of supported operators that take tensors and are refused, and why.

The others are those that write into an argument ``out``, and those of TorchScript, on numbers and lists,
which torch.export does not write.
"""


def _read(text: str) -> Mapping[str, Mapping[str, Schema]]:
    found: dict[str, dict[str, Schema]] = {}
    for line in re.sub(r"\n +", " ", text).strip().splitlines():
        schema = parsed(line)
        found.setdefault(schema.operator, {})[schema.overload] = schema
    return found


DECLARED = _read(SCHEMAS)
"""The schemas of all supported overloads, by operator and overload."""


def declared(operator: str, overload: str) -> Schema | None:
    """Find the schema of an overload.

    Parameters
    ----------
    operator : str
        The operator, such as "add", or its variant in place, such as "add_".
    overload : str
        The overload, such as "Tensor".

    Returns
    -------
    Schema or None
        None where the operator is not supported.

    Raises
    ------
    Unaccounted
        For an overload that is refused.
    """
    base = operator[:-1] if operator.endswith("_") and operator[:-1] in IN_PLACE.split() else operator
    if base not in DECLARED:
        return None
    schema = DECLARED[base].get("int" if (operator, overload) == ("transpose_", "default") else overload)
    if schema is None:
        name = f"{base}.{overload}"
        reason = next((why for pattern, why in REFUSED_OVERLOADS.items() if re.fullmatch(pattern, name)), "")
        if "out" in overload.split("_"):
            reason = "it writes into its argument 'out'"
        raise Unaccounted(f"its overload {overload!r} is not supported" + (f"; {reason}" if reason else ""))
    if base == operator:
        return schema
    first, *others = schema.arguments
    return replace(schema, operator=operator, arguments=(replace(first, name="self"), *others))


def account(operator: str, schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Bind the arguments of a call to its schema.

    Parameters
    ----------
    operator : str
        The operator.
    schema : Schema
        The overload that is called.
    given : mapping
        The arguments that the call has, by name.

    Returns
    -------
    dict
        All arguments as the importer of ``operator`` names them, the absent ones at their defaults.

    Raises
    ------
    Unaccounted
        For an argument that is not accounted for.
    """
    found = schema.bound(given)
    for name, value in found.items():
        treatment = ARGUMENTS.get(name, USED)
        if isinstance(treatment, Refused) and not treatment.allows(value):
            raise Unaccounted(treatment.reason)
    if schema.operator != operator:  # in place; there its first argument is always called "self"
        return {DECLARED[operator][schema.overload].arguments[0].name: found.pop("self"), **found}
    return found
