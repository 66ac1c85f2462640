"""What treats the kinds of nodes differently either knows them all, or is right about those that it does not know.

mypy names a function that ends in ``assert_never`` for every kind that it leaves out. It cannot name one that just
goes on, so that is the exception, and each gives its reason here.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import hwquant
from hwquant.graph import Moving, Node
from hwquant.qgraph import QNode
from hwquant.quantize.plans import PlanNode

KINDS = {kind.__name__: {kind.__name__} for union in (Node, QNode, PlanNode) for kind in get_args(union)}
KINDS["Moving"] = {kind.__name__ for kind in get_args(Moving)}

DEFAULTS = {
    "describe._float_layer": "a kind without words of its own goes by its name",
    "describe._integer_layer": "a kind without words of its own goes by its name",
    "truncation.operators.kind": "a kind without words of its own goes by its name",
    "frontends.fold._affine_backward": "an affine map stays a node of its own where nothing is known to take it in",
    "frontends.fold._after": "an affine map stays a node of its own where nothing is known to take it in",
    "frontends.functions._path": "a tensor of which nothing is known is no function of another one",
    "frontends.qonnx_operators._never_negative": "a tensor of which nothing is known may be negative",
    "frontends.settle._Places._asked": "a tensor has no format where an unknown kind reads it",
    "frontends.settle._Places._carries": "a format is asked for behind an unknown kind, not in front of it",
    "frontends.settle._Places._form": "what an unknown kind gives has no format of what it reads",
    "frontends.settle._Places._mixed": "only what joins tensors can join several formats",
    "quantize.fuse.hoist_functions": "all but clips and functions stay where they are",
    "quantize.references.unclipped": "what comes before a clip or a function is what a layer is fitted to",
    "frontends.fold._padded": "padding stays a node of its own where nothing is known to take it in",
    "frontends.fold._never_negative": "a tensor of which nothing is known may be negative",
    "quantize.chains.candidates": "only kinds that tie the scales of several tensors keep a layer from handing on sums",
    "quantize.equalize.channel_reads": "channels are left as they are where an unknown kind reads them",
    "pruning.permute.ChannelSpaces._node": "the channels around an unknown kind keep their order",
    "ranges.node_range": "a tensor holds no more than its bits can",
    "export.float_network._operator": "a kind without an operator is refused, by its name",
    "frontends.onnx_survey.Survey._visit": "what computes is no mere moving or joining",
    "golden.fast.Engine.__init__": "the reference computes what has no fast path",
    "quantize.fuse._clip": "a clip that nothing takes in is a layer of its own",
    "clipping.layer_ends": "only what computes has values to clip",
}


def functions(tree: ast.AST, path: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions with their dotted names."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef():
                yield f"{path}.{node.name}", node
                yield from functions(node, f"{path}.{node.name}")
            case ast.ClassDef():
                yield from functions(node, f"{path}.{node.name}")
            case _:
                yield from functions(node, path)


def told_apart(function: ast.FunctionDef) -> dict[str, set[str]]:
    """The kinds that a function's patterns and instance checks name, by the expression that they are about."""
    found = defaultdict(set)
    for node in ast.walk(function):
        match node:
            case ast.Match():
                patterns = (part for case in node.cases for part in ast.walk(case.pattern))
                names = [ast.unparse(part.cls) for part in patterns if isinstance(part, ast.MatchClass)]
                found[ast.unparse(node.subject)].update(*(KINDS.get(name, ()) for name in names))
            case ast.Call(func=ast.Name(id="isinstance"), args=[subject, classes]):
                names = [part.id for part in ast.walk(classes) if isinstance(part, ast.Name)]
                found[ast.unparse(subject)].update(*(KINDS.get(name, ()) for name in names))
    return found


def left_open() -> list[str]:
    """Functions that tell two kinds or more apart and end for another one without ``assert_never``."""
    root = Path(hwquant.__file__).parent
    result = []
    for path in sorted(root.rglob("*.py")):
        place = ".".join(path.relative_to(root).with_suffix("").parts)
        for name, function in functions(ast.parse(path.read_text()), place):
            calls = {ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Call)}
            for subject, kinds in told_apart(function).items():
                if len(kinds) > 1 and f"assert_never({subject})" not in calls:
                    result.append(name)
    return result


def test_what_tells_kinds_apart_knows_them_all_or_says_why_it_need_not():
    assert sorted(set(left_open())) == sorted(DEFAULTS)


def test_a_function_that_leaves_a_kind_out_is_found():
    source = (
        "def f(node):\n    match node:\n        case Conv() | Add():\n            return 1\n    return 2\n"
    )
    ((name, function),) = functions(ast.parse(source), "place")
    assert (name, told_apart(function)) == ("place.f", {"node": {"Conv", "Add"}})
    assert told_apart(ast.parse("def f(x):\n    if isinstance(x, Conv | Clip): pass").body[0]) == {
        "x": {"Conv", "Clip"}
    }
