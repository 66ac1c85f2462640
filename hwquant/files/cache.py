"""Results that took long, kept in a folder each: checked before they are used, and limited in all."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hwquant.errors import Busy, Damaged, HwquantError
from hwquant.files.places import clear, discard, recover, replacing
from hwquant.files.reading import digest, read_ordinary, sealed, unsealed

LIMIT = 2 << 30
"""Bytes that a cache folder may hold; what was not used for the longest time goes first."""
IN_USE = 3600.0
"""Seconds after its last use for which an entry stays in any case: a process may be running it."""
ENTRY = "entry.json"
_DIGESTS = "sha256"


def cache_folder() -> Path:
    """Make the folder ``$HWQUANT_CACHE``, else ``hwquant`` in the user's cache folder; its path."""
    root = os.environ.get("HWQUANT_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hwquant"
    )
    return _made(Path(root))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HwquantError(
            f"cannot make the cache folder {folder}: {error.strerror}; set HWQUANT_CACHE to one that is writable"
        ) from error
    return folder


def entry_name(kind: str, *identity: str) -> str:
    """The name of an entry, from its kind and a checksum of all that its files depend on."""
    joined = "\0".join(identity)
    return f"{kind}-{sha256(joined.encode()).hexdigest()[:24]}"


def cached(root: Path, name: str, keep: Sequence[str], fill: Callable[[Path], None]) -> Path:
    """A folder with certain files, from the cache, or made now.

    Parameters
    ----------
    root : Path
        The cache folder.
    name : str
        Name of the entry, from :func:`entry_name`.
    keep : sequence of str
        Names of the files.
    fill : callable
        What makes the files in a folder that it is given. It may leave others there, which are not kept, and is
        called where there is no entry, or a byte of it has changed.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    HwquantError
        The cache cannot be written; or what ``fill`` raises.
    """
    entry = _made(root) / name
    if not _intact(entry, keep):
        # Another process may be making the same; however long it takes, waiting is no slower than doing it again.
        with replacing(entry, wait=math.inf, unchanged=lambda new: not (new / ENTRY).exists()) as new:
            if not _intact(entry, keep):
                fill(new)
                _seal(new, keep)
        _trim(root)
    with suppress(PermissionError):  # of a cache that others fill
        os.utime(entry)
    return entry


def _seal(folder: Path, keep: Sequence[str]) -> None:
    for item in folder.iterdir():
        if item.name not in keep:
            clear(item)
    (folder / ENTRY).write_bytes(sealed({_DIGESTS: {name: digest(folder / name) for name in keep}}))


def _intact(entry: Path, keep: Sequence[str]) -> bool:
    """Whether an entry holds what was once put there; one that does not is made again in any case."""
    try:
        digests = unsealed(read_ordinary(entry / ENTRY)).get(_DIGESTS)
        return digests == {name: sha256(read_ordinary(entry / name)).hexdigest() for name in keep}
    except (OSError, Damaged, ValueError):
        return False


def _trim(root: Path) -> None:
    """Remove what processes left that died, and the oldest entries beyond the limit."""
    recover(root)
    ages = sorted(_age(path.parent) for path in root.glob(f"*/{ENTRY}"))
    total = sum(size for _, _, size in ages)
    for used, entry, size in ages:
        if total <= LIMIT or used > time.time() - IN_USE:
            return
        with suppress(Busy):  # somebody makes it anew: it is of use
            discard(entry)
        total -= size


def _age(entry: Path) -> tuple[float, Path, int]:
    """When an entry was used last, and its size; another process may remove it meanwhile."""
    try:
        return entry.stat().st_mtime, entry, sum(path.lstat().st_size for path in entry.iterdir())
    except FileNotFoundError:
        return 0.0, entry, 0
