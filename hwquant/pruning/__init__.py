"""Group pruning on the L1 norm along the channel direction (CN111242287A), aligned with the array's tiles.

:func:`prune` takes a trained :class:`~hwquant.graph.Graph` and gives one with exactly zero weights, to quantize
and compile: a tile of zeros costs the hardware nothing. :func:`reorder` packs filters into tiles.
"""

from __future__ import annotations

from hwquant.pruning.groups import Groups, GroupShape
from hwquant.pruning.options import PruneOptions
from hwquant.pruning.permute import permute
from hwquant.pruning.prune import PruneResult, prune, pruned_share
from hwquant.pruning.reorder import Reordering, reorder

__all__ = [
    "GroupShape",
    "Groups",
    "PruneOptions",
    "PruneResult",
    "Reordering",
    "permute",
    "prune",
    "pruned_share",
    "reorder",
]
