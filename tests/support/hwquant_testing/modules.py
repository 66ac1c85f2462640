"""The Python modules of the package, as files."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = {
    "hwquant": ROOT / "hwquant",
    "hwquant.rtl_templates": ROOT / "rtl_templates",
    "hwquant.sim": ROOT / "sim",
    "hwquant.boards": ROOT / "boards",
}


def sources() -> Iterator[tuple[str, Path]]:
    """(dotted module name, path) of every module."""
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


SOURCES = dict(sources())
"""Path of every module, by its dotted name."""
