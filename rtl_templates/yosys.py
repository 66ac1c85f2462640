"""The Yosys that Amaranth brings along.

Amaranth names no public way to it, so only this module looks inside.
"""

from pathlib import Path
from typing import Any

from amaranth._toolchain.yosys import YosysError, find_yosys

from hwquant.errors import ToolStopped

OLDEST = (0, 40)
"""The first version that has all that is asked of it."""


def _yosys() -> Any:
    return find_yosys(lambda version: version >= OLDEST)


def run_yosys(script: str) -> str:
    """Run Yosys on commands.

    Parameters
    ----------
    script : str
        Yosys commands, one a line.

    Returns
    -------
    str
        What the commands print.

    Raises
    ------
    ToolStopped
        Yosys could not run them.
    """
    try:
        return _yosys().run(["-q", "-"], script, ignore_warnings=True)
    except YosysError as error:
        said = str(error).strip().splitlines() or ["it was killed"]
        raise ToolStopped(
            f"Yosys, which writes the design's files, stopped: {said[-1]}; see that there is memory, and space in the "
            "user's cache folder"
        ) from error


def yosys_version() -> str:
    """The version of Yosys, by which its output is kept."""
    return str(_yosys().version())


def cxxrtl_headers() -> Path:
    """The folder of the C++ headers that CXXRTL simulators include."""
    return Path(str(_yosys().data_dir())) / "include" / "backends" / "cxxrtl" / "runtime"
