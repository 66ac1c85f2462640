"""``--bits-from FILE``: the bits that a search found, or that another network has, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from hwquant.errors import Damaged, HwquantError
from hwquant.files import parse_json, read_bytes
from hwquant.graph import Graph
from hwquant.history import Step, history, merged, of_json
from hwquant.options import declared

Function = TypeVar("Function", bound=Callable[..., Any])

HISTORY = "hwquant.history"
"""Where the context has the steps of the file."""


def bits_from_option(command: Function) -> Function:
    """Add the option ``--bits-from FILE``, for commands that have those of QuantizeOptions."""
    return click.option(
        "--bits-from",
        type=click.Path(path_type=Path),
        metavar="NET.hwq|FRONT.json",
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="Take the bits, layer by layer, of an integer network or of the pick that `hwquant search --front` "
        "wrote. --bits and its like go before it.",
    )(command)


def with_history_of_bits(graph: Graph) -> Graph:
    """Put what was done to find the bits that ``--bits-from`` took into the history of the network that gets them."""
    steps = click.get_current_context().meta.get(HISTORY, ())
    return replace(graph, history=merged(graph.history, steps))


def _read(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Make a file's bits the defaults of the command."""
    if path is None:
        return
    found, steps = _network(path) if path.suffix.lower() == ".hwq" else _front(path)
    has = {item.name for item in context.command.params}
    context.default_map = {**(context.default_map or {}), **{key: found[key] for key in found if key in has}}
    context.meta[HISTORY] = steps


def _network(path: Path) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """The bits that a network was quantized with, and its history."""
    from hwquant import hwq

    options = hwq.load(path).options
    found = _by_name(options.get("quantizer"))
    if not found:
        raise HwquantError(f"{path} does not say with which bits it was quantized; give --bits instead")
    return found, history(options)


def _front(path: Path) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """The bits of a search's pick, and the history that the search wrote."""
    try:
        content = parse_json(read_bytes(path))
    except ValueError as error:
        raise Damaged(
            f"{path} is no .hwq file, and no JSON that `hwquant search --front` wrote: {error}"
        ) from None
    picked = content.get("picked") if isinstance(content, dict) else None
    found = _by_name(picked)
    if not found:
        raise HwquantError(f"{path} has no pick with bits by layer; write one with `hwquant search --front`")
    return found, of_json(content.get("history", []), str(path))


def _by_name(values: object) -> dict[str, Any]:
    """Those of the quantizer's options, among plain JSON values, that may differ from layer to layer."""
    from hwquant.quantize.options import QuantizeOptions

    names = {item.name for item in declared(QuantizeOptions) if item.by_name}
    found = (
        {name: value for name, value in values.items() if name in names}
        if isinstance(values, Mapping)
        else {}
    )
    return {name: value for name, value in found.items() if _is_given(value)}


def _is_given(value: object) -> bool:
    """Whether a value is one for all, or some by name; what a damaged file has instead is not taken."""
    single = value.values() if isinstance(value, Mapping) else [value]
    return bool(single) and all(isinstance(item, int | str) and not isinstance(item, bool) for item in single)
