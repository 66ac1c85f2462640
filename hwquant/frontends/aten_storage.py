"""Which names of a program are one tensor, or views of one storage, for operators that write in place."""

from __future__ import annotations

from hwquant.frontends.aten_program import AtenProgram, references
from hwquant.frontends.builder import Builder


class Storage:
    """The tensors that share memory, as far as a program has been translated.

    Parameters
    ----------
    program : AtenProgram
        The program.

    Attributes
    ----------
    last_use : dict[str, int]
        Position of the last node that reads a name; the number of nodes for the program's results.
    """

    def __init__(self, program: AtenProgram) -> None:
        self._storage: dict[str, int] = {}
        self._tensor: dict[str, int] = {}
        self.last_use = {name: len(program.nodes) for name in program.outputs}
        for position, node in enumerate(program.nodes):
            for name in references(node.arguments):
                self.last_use[name] = max(position, self.last_use.get(name, 0))
        self._constants = {name: program.labels.get(name, name) for name in program.constants}
        for name in (*(item.name for item in program.inputs), *program.constants):
            self.add(name, None, same=False)

    def add(self, name: str, source: str | None, same: bool) -> None:
        """Add a tensor: a new one, one that shares the storage of ``source``, or with ``same`` that tensor."""
        fresh = len(self._tensor)
        self._tensor[name] = self._tensor[source] if same and source is not None else fresh
        self._storage[name] = fresh if source is None else self._storage[source]

    def written(self, build: Builder, position: int, source: str) -> list[str]:
        """The names whose value an in-place operator on ``source`` replaces."""
        for name, label in self._constants.items():
            if self._storage[name] == self._storage[source]:
                raise build.refuse(
                    f"it changes the module's {label!r} with every call, and hwquant computes all samples alike; "
                    "export the module after .eval(), and keep what it remembers out of forward()"
                )
        views = [name for name, storage in self._storage.items() if storage == self._storage[source]]
        names = [name for name in views if self._tensor[name] == self._tensor[source]]
        for name in views:
            if name not in names and self.last_use.get(name, -1) > position:
                raise build.refuse(
                    f"it overwrites {source!r} in place while {name!r}, which may share its memory, is read "
                    "later; use the operator that is not in place, or save program.run_decompositions()"
                )
        return names
