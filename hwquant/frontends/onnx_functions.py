"""Functions that an ONNX model defines: put in the places of the nodes that call them.

The onnx package does this, but not all that it should: it leaves out the defaults of attributes, writes as many
nodes as small functions that call each other can make, and leaves calls of other operator sets as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from hwquant.errors import Unsupported

if TYPE_CHECKING:
    import onnx

STANDARD = ("", "ai.onnx")
"""The names of the domain of ONNX's own operators."""

MOST_NODES = 20_000
"""Nodes that functions can become; no network that fits a chip has as many."""

_Key = tuple[str, str, str]


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a model's functions in the places of their calls; the argument is left as it is.

    Parameters
    ----------
    model : onnx.ModelProto
        The model.

    Returns
    -------
    onnx.ModelProto
        The model without functions.

    Raises
    ------
    Unsupported
        For functions that runtimes do not understand, or not alike, and for too many nodes.
    ValueError
        If two functions have one name, or one calls itself.
    """
    import onnx.inliner

    if not model.functions:
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    functions = {_key(item): item for item in copied.functions}
    if len(functions) < len(copied.functions):
        key, _ = Counter(map(_key, copied.functions)).most_common(1)[0]
        raise ValueError(f"two functions have the name {key[1]!r}")
    bodies = [copied.graph.node, *(item.node for item in functions.values())]
    calls = [node for body in bodies for node in _nodes(body) if _key(node) in functions]
    called = {_key(node) for node in calls}
    for key, function in functions.items():
        _check_function(function)
        if key in called:
            _check_versions(function, model)
    _check_size(copied, functions)
    for node in calls:
        given = {attribute.name for attribute in node.attribute}
        defaults = functions[_key(node)].attribute_proto
        node.attribute.extend(item for item in defaults if item.name not in given)
    result: onnx.ModelProto = onnx.inliner.inline_local_functions(copied)
    result.ClearField("functions")  # those that nothing calls
    return result


def _key(item: Any) -> _Key:
    """What a function is defined and called by."""
    return item.domain, getattr(item, "op_type", "") or item.name, item.overload


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of their branches."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g.node)


def _check_function(function: onnx.FunctionProto) -> None:
    if function.domain in STANDARD:
        raise Unsupported(
            f"function {function.name!r} redefines an operator of ONNX; give it a domain of its own",
            where=function.name,
            operator=function.name,
        )
    imported = {_own(item.domain) for item in function.opset_import}
    for node in _nodes(function.node):
        if _own(node.domain) not in imported:
            raise ValueError(
                f"function {function.name!r} has nodes of {node.domain or 'ai.onnx'!r}, which it does not import"
            )


def _check_versions(function: onnx.FunctionProto, model: onnx.ModelProto) -> None:
    """Check that nodes mean in the model what they mean in the function."""
    have = {_own(item.domain): item.version for item in model.opset_import}
    for item in function.opset_import:
        if item.version != have.get(_own(item.domain), item.version):
            raise Unsupported(
                f"function {function.name!r} uses operator set {item.version} of {item.domain or 'ai.onnx'!r} and "
                f"its model {have[_own(item.domain)]}; export both with one",
                where=function.name,
                operator=function.name,
            )


def _own(domain: str) -> str:
    """The domain of an operator, by the one name that it has here."""
    return "" if domain in STANDARD else domain


def _check_size(model: onnx.ModelProto, functions: dict[_Key, onnx.FunctionProto]) -> None:
    """Refuse what would become too many nodes before it is made."""
    called = {key: Counter(map(_key, _nodes(item.node))) for key, item in functions.items()}
    try:
        order = list(
            TopologicalSorter({key: set(keys) & set(called) for key, keys in called.items()}).static_order()
        )
    except CycleError as error:
        raise ValueError(f"function {error.args[1][0][1]!r} calls itself") from None
    sizes: dict[_Key, int] = {}
    for key in order:
        sizes[key] = sum(sizes.get(other, 1) * count for other, count in called[key].items())
    total = sum(sizes.get(_key(node), 1) for node in _nodes(model.graph.node))
    if total > MOST_NODES:
        raise Unsupported(f"its functions become {total} nodes, which is too many; export a smaller model")
