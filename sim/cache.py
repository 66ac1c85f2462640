"""Where compiled simulators are kept."""

from __future__ import annotations

import os
from pathlib import Path

from hwquant.errors import HwquantError


def cache_folder() -> Path:
    """``$HWQUANT_CACHE``, else ``hwquant`` in the user's cache folder; made where it is missing."""
    root = os.environ.get("HWQUANT_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hwquant"
    )
    folder = Path(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HwquantError(
            f"cannot make the cache folder {folder}: {error.strerror}; set HWQUANT_CACHE to one that is writable"
        ) from error
    return folder
