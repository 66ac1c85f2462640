"""Group pruning on the L1 norm along the channel direction (CN111242287A), aligned with the array's tiles.

:func:`prune` takes a trained :class:`~hwquant.graph.Graph` and gives one with exactly zero weights, to quantize
and compile: a tile of zeros costs the hardware nothing. :func:`reorder` packs filters into tiles.
"""

from __future__ import annotations

from hwquant.pruning.groups import Groups, GroupShape
from hwquant.pruning.judge import Verdict
from hwquant.pruning.options import PruneOptions, RetrainOptions
from hwquant.pruning.permute import permute
from hwquant.pruning.prune import prune
from hwquant.pruning.reorder import Reordering, reorder
from hwquant.pruning.state import PruneResult, PruningPass, pruned_share

__all__ = [
    "GroupShape",
    "Groups",
    "PruneOptions",
    "PruneResult",
    "PruningPass",
    "Reordering",
    "RetrainOptions",
    "Verdict",
    "permute",
    "prune",
    "pruned_share",
    "reorder",
]
