"""What a user can ask of group pruning, validated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.pruning.groups import POLARITIES, GroupShape, convolutions


@dataclass(frozen=True)
class PruneOptions:
    """Options of :func:`hwquant.pruning.prune`.

    Attributes
    ----------
    array : rows and columns of the systolic array
    group_size : consecutive input channels in a group, or a mapping from names of convolutions (others take
        the default); the array's rows where None
    filters : consecutive output channels in a group, or a mapping; the array's columns where None: a group is
        then a tile, which the hardware skips. 1 is the published group.
    threshold_factor : what a layer's threshold, the mean L1 norm of its groups, is multiplied with; or a
        mapping (1 where a layer is not named)
    step : share of a layer's groups, of those that are left, that a pass prunes at most
    prune : "below" the threshold, or "above", as the claim literally says
    max_drop : points of accuracy (percent) on the validation samples that the result may lose
    max_sensitivity : points that a layer may lose when it alone is pruned, without retraining; a more
        sensitive layer is left untouched
    sensitivity_samples : validation samples that this is measured on, the first ones
    passes : how often the layers are pruned and retrained at most
    reorder : pack like-patterned filters into tiles, before pruning and after it
    """

    array: tuple[int, int] = (8, 8)
    group_size: int | Mapping[str, int] | None = None
    filters: int | Mapping[str, int] | None = None
    threshold_factor: float | Mapping[str, float] = 1.0
    step: float = 0.2
    prune: str = "below"
    max_drop: float = 0.5
    max_sensitivity: float = 20.0
    sensitivity_samples: int = 1000
    passes: int = 10
    reorder: bool = False

    def __post_init__(self) -> None:
        GroupShape(self.array)
        for size in _values(self.group_size):
            GroupShape(self.array, size=size)
        for filters in _values(self.filters):
            GroupShape(self.array, filters=filters)
        for factor in _values(self.threshold_factor):
            if not 0 < factor < math.inf:
                raise HwquantError(f"threshold_factor must be above 0, not {factor!r}")
        if self.prune not in POLARITIES:
            raise HwquantError(f"prune must be one of {', '.join(POLARITIES)}, not {self.prune!r}")
        if not 0 < self.step <= 1:
            raise HwquantError(f"step must be above 0 and at most 1, not {self.step!r}")
        for name in ("max_drop", "max_sensitivity"):
            value = getattr(self, name)
            if not 0 <= value <= 100:
                raise HwquantError(f"{name} must be from 0 to 100 points, not {value!r}")
        for name in ("sensitivity_samples", "passes"):
            if getattr(self, name) < 1:
                raise HwquantError(f"{name} must be at least 1, not {getattr(self, name)!r}")

    def shape(self, layer: str) -> GroupShape:
        """The groups of a layer."""
        return GroupShape(self.array, _of(self.group_size, layer, None), _of(self.filters, layer, None))

    def factor(self, layer: str) -> float:
        """The threshold factor of a layer."""
        return _of(self.threshold_factor, layer, 1.0)

    def keep(self, graph: Graph, node: Conv) -> NDArray[np.bool_]:
        """The mask of a convolution after one pass over it: False where a weight is pruned."""
        groups = self.shape(node.name).cut(graph, node)
        return groups.keep(node.weight, self.factor(node.name), self.prune, self.step)

    def check(self, graph: Graph) -> None:
        """Raise where an option names a layer that the network does not have."""
        known = [node.name for node in convolutions(graph)]
        for option in ("group_size", "filters", "threshold_factor"):
            value = getattr(self, option)
            for name in value if isinstance(value, Mapping) else ():
                if name not in known:
                    raise HwquantError(
                        f"{option} names {name!r}, which is no convolution of {graph.name!r}; it has "
                        f"{', '.join(known)}"
                    )

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {name: dict(value) for name, value in values.items() if isinstance(value, Mapping)}
        return values | {"array": list(self.array)}


def _values(option: Any) -> list[Any]:
    values = list(option.values()) if isinstance(option, Mapping) else [option]
    return [value for value in values if value is not None]


def _of(option: Any, layer: str, default: Any) -> Any:
    return option.get(layer, default) if isinstance(option, Mapping) else option
