"""The plan of an inference whose tensors do not all fit inside.

:mod:`~hwquant.program.residency` chooses which tensors are inside, and the groups of layers;
:mod:`~hwquant.program.addresses` and :mod:`~hwquant.program.writing` make of what is chosen pieces with addresses, and
steps that move and compute them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwquant.errors import DoesNotFit
from hwquant.program.addresses import lay_out
from hwquant.program.array_shape import ArrayShape
from hwquant.program.bands import Band, Role, Tensors
from hwquant.program.config import HALF_STEP, ArrayConfig
from hwquant.program.layers import ArrayLayer
from hwquant.program.mapping import map_layers
from hwquant.program.residency import Chosen, Residency, too_small
from hwquant.program.steps import Plan, Planned
from hwquant.program.traffic import Port, Work, cost
from hwquant.program.workspace import Workspace
from hwquant.program.writing import Network, Writer
from hwquant.qgraph import QGraph

MOST_TRIES = 8
"""How often a choice is made again, with less room, where what it leaves free lies apart."""


def halves(config: ArrayConfig | None, words: int | None) -> tuple[int, int] | None:
    """Words of each half of an activation memory, through which tensors may come from outside.

    Parameters
    ----------
    config : ArrayConfig, optional
        Hardware that exists.
    words : int, optional
        Words of the memory; None where that is open.

    Returns
    -------
    tuple of int, or None
        None where no tensor may be outside.
    """
    if words is None or words < 2 or (config and not config.half_depth):
        return None
    if config:
        return config.half_depth, words - config.half_depth
    # The second half begins where an address says of itself which half it is in.
    powers = [1 << bits for bits in range(HALF_STEP.bit_length())]
    steps = [words // 2 // HALF_STEP * HALF_STEP, -(-words // 2 // HALF_STEP) * HALF_STEP]
    found = [(half, min(half, words - half)) for half in powers if half < words]
    found += [(half, words - half) for half in steps if 0 < half < words]
    return max(found, key=lambda sizes: (min(sizes), sum(sizes)))


def best_plan(
    layers: Sequence[ArrayLayer],
    network: Network,
    shape: ArrayShape,
    sizes: tuple[int, int],
    port: Port,
    *,
    care: float = 1.0,
    fixed: bool,
) -> Plan:
    """Plan an inference, with the halves that take the fewest cycles, as estimated.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        The network's layers, from :func:`hwquant.program.lowering.lower`.
    network : Network
        Its tensors, inputs and outputs.
    shape : ArrayShape
        The array, for the lanes of a word, and for what its layers take.
    sizes : tuple of int
        Words of each half of the activation memory, about.
    port : Port
        How fast words come and go.
    care : float, default 1.0
        By what factor choices take it for slower than it is.
    fixed : bool
        Whether the halves are those of hardware that exists; else they may be some words larger and smaller.

    Raises
    ------
    DoesNotFit
        A layer has rows that are too large, whatever the halves; the message is about those that were given.
    """
    first, second = sizes
    found, refusals = list[Plan](), list[DoesNotFit]()
    for more in (0,) if fixed or first % HALF_STEP else (0, -HALF_STEP, HALF_STEP):
        if more and min(first + more, second - more) < HALF_STEP:
            continue
        try:
            found.append(plan_steps(layers, network, shape, (first + more, second - more), port, care))
        except DoesNotFit as refusal:
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return min(found, key=lambda plan: sum(group.cycles for group in plan.groups))


def plan_steps(
    layers: Sequence[ArrayLayer],
    network: Network,
    shape: ArrayShape,
    sizes: tuple[int, int],
    port: Port,
    care: float = 1.0,
) -> Plan:
    """Plan an inference.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        The network's layers, from :func:`hwquant.program.lowering.lower`.
    network : Network
        Its tensors, inputs and outputs.
    shape : ArrayShape
        The array, for the lanes of a word, and for what its layers take.
    sizes : tuple of int
        Words of each half of the activation memory.
    port : Port
        How fast words come and go.
    care : float, default 1.0
        By what factor choices take it for slower than it is.

    Raises
    ------
    DoesNotFit
        A layer has rows that are too large for the halves.
    """
    tensors = Tensors(
        sizes={
            name: (-(-tensor.shape[0] // shape.lanes), *tensor.shape[1:])
            for name, tensor in network.tensors.items()
        },
        inputs=network.inputs,
        outputs=tuple(dict.fromkeys(network.outputs)),
    )
    alone = QGraph(network.name, (), (), (), network.tensors)
    work = Work(map_layers(layers, alone, shape), shape)
    room = list(sizes)
    for _ in range(MOST_TRIES):
        chosen = Residency(layers, tensors, (room[0], room[1]), work, port.slower(care)).choose()
        layout = lay_out(chosen, tensors, sizes)
        beyond = [max(0, peak - size) for peak, size in zip(layout.peaks, sizes)]
        if not any(beyond):
            groups = tuple(
                _planned(item, bands, workspace, work, port)
                for item, bands, workspace in zip(chosen, layout.bands, layout.workspaces)
            )
            return Writer(network, shape.lanes, tensors, sizes, chosen, layout, work, port).plan(groups)
        room = [size - more for size, more in zip(room, beyond)]
        if min(room) <= 0:
            break
    raise too_small(
        f"network {network.name!r} does not fit into halves of {sizes[0]} and {sizes[1]} words of the activation "
        "memory: what is free of them lies apart",
        sizes,
    )


def _planned(item: Chosen, bands: Sequence[Band], workspace: Workspace, work: Work, port: Port) -> Planned:
    """What a group costs with all of its bands."""
    group = item.variant.group
    spent = cost(group, bands, len(bands), workspace, work, port)
    loaded = dict.fromkeys(group.names(Role.LOADED), 0)
    stored = dict.fromkeys(group.names(Role.STORED), 0)
    for number, band in enumerate(bands):
        for name in loaded.keys() & band.held.keys():
            if number == 0 or bands[number - 1].held.get(name) != band.held[name]:
                loaded[name] += group.words(name, band.held[name])
        for name in stored:
            stored[name] += group.words(name, band.share[name])
    return Planned(
        first=group.first,
        layers=len(group.layers),
        along=group.along,
        bands=len(bands),
        where={name: role.value for name, role in group.roles.items()},
        loaded=loaded,
        stored=stored,
        weights=tuple(spent.again * work.weights(group.first + index) for index in range(len(group.layers))),
        cycles=spent.cycles,
        computed=spent.computed,
        activations=(spent.loaded + spent.stored) * port.word,
        fetched=spent.weights * port.weights,
    )
