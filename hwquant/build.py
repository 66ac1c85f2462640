"""The build folder: everything that leaves the compiler, whole or not at all, and checked when it is read.

==============  ====================================================================
net.hwq         the integer network
program.hwp     the compiled program
hwquant.v       the accelerator in Verilog-2005, the program in its memories
report.json     cycles, utilization and memories
manifest.json   SHA-256 of each of these files, and of the manifest itself
boards/         what was built for boards, a folder each
report.html     all of this as a page for people
record.json     for that page: the commands that were run, and the accuracy where it was measured
==============  ====================================================================

The last three have no checksums; they go when another network is compiled into the folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hwquant import hwq
from hwquant.errors import HwquantError, check_type
from hwquant.program import storage
from hwquant.program.program import Program
from hwquant.qgraph import QGraph
from hwquant.report import Report, make_report

FORMAT = "hwquant build"
VERSION = 1
NETWORK, PROGRAM, VERILOG, REPORT, MANIFEST = (
    "net.hwq",
    "program.hwp",
    "hwquant.v",
    "report.json",
    "manifest.json",
)
FILES = (NETWORK, PROGRAM, VERILOG, REPORT)
BOARDS, PAGE, RECORD = "boards", "report.html", "record.json"
ADDED = frozenset({BOARDS, PAGE, RECORD})
"""What may be in a build folder besides FILES and the manifest."""
TOP = "hwquant"
"""Name of the Verilog's top module."""


@dataclass(frozen=True, eq=False)
class Build:
    """A build folder that has been read; every checksum was right."""

    folder: Path
    qgraph: QGraph
    program: Program

    @cached_property
    def report(self) -> Report:
        """Cycles, utilization and memories, from the program."""
        return make_report(self.program)

    @property
    def verilog(self) -> Path:
        """The Verilog file."""
        return self.folder / VERILOG


def write_build(qgraph: QGraph, program: Program, folder: str | os.PathLike[str]) -> Build:
    """Write a build folder.

    The folder appears complete or not at all. One that exists is replaced if it is empty or a build; one
    with the same contents is left as it is.

    Parameters
    ----------
    qgraph : the network that ``program`` was compiled from
    folder : its parent must exist

    Raises
    ------
    HwquantError : the folder holds something else, or cannot be written
    """
    from hwquant.rtl_templates.build import accelerator
    from hwquant.rtl_templates.verilog import to_verilog

    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    check_type("program", program, Program, hint="hwquant.compile_network makes one")
    folder = Path(folder)
    check_target(folder)
    verilog = to_verilog(accelerator(program), TOP)
    build = Build(folder, qgraph, program)
    with replacing(Path(os.path.realpath(folder))) as new:
        hwq.save(qgraph, new / NETWORK)
        storage.save(program, new / PROGRAM)
        (new / VERILOG).write_text(verilog, encoding="utf-8", newline="\n")
        (new / REPORT).write_bytes(_json(build.report.to_json()))
        digests = {name: _digest(new / name) for name in FILES}
        (new / MANIFEST).write_bytes(_sealed({"format": FORMAT, "version": VERSION, "sha256": digests}))
    return build


def load_build(folder: str | os.PathLike[str]) -> Build:
    """Read a build folder, and check every byte of it.

    Raises
    ------
    HwquantError : not a build folder; a file is changed, missing or added (which one); a newer version
    """
    folder = Path(folder)
    check_build(folder)
    return Build(folder, hwq.load(folder / NETWORK), storage.load(folder / PROGRAM))


def board_reports(folder: Path) -> list[Path]:
    """The reports of the boards that were built in a build folder, by name."""
    return sorted((folder / BOARDS).glob(f"*/{REPORT}"))


def installed(*packages: str) -> dict[str, str]:
    """Versions of those packages that have one: a checkout that is not installed has no metadata."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def is_build(folder: Path) -> bool:
    """Whether a folder says that it is a build; its contents may still be damaged."""
    try:
        return json.loads((folder / MANIFEST).read_bytes())["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_target(folder: Path) -> None:
    """Raise unless a build may be written to ``folder``: it is absent, empty, or a build and nothing else."""
    if not folder.parent.is_dir():
        raise HwquantError(f"cannot write {folder}: the folder {folder.parent} does not exist; make it first")
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise HwquantError(
            f"cannot write {folder}: the folder {folder.parent} is not writable; choose another"
        )
    if not folder.exists():
        return
    if folder.samefile(Path.cwd()):
        raise HwquantError(
            f"cannot write {folder}: it is the current folder, which cannot be replaced; name another"
        )
    if not folder.is_dir():
        raise HwquantError(f"cannot write {folder}: it is a file; choose another name")
    others = {item.name for item in folder.iterdir()} - {*FILES, MANIFEST, *ADDED}
    if others:
        raise HwquantError(
            f"{folder} holds {min(others)!r}, which hwquant did not write; choose another folder"
        )
    if any(folder.iterdir()) and not is_build(folder):
        raise HwquantError(f"{folder} is not empty and not a build of hwquant; choose another folder")


def check_build(folder: Path) -> None:
    """Raise unless a folder is a build in which no byte has changed; the message names the file."""
    if not folder.is_dir():
        raise HwquantError(
            f"there is no build folder {folder}; make one with: hwquant compile net.hwq -o {folder}"
        )
    again = "compile the network again"
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise HwquantError(
            f"{folder} is no build folder: cannot read {MANIFEST} ({error.strerror}); {again}"
        ) from error
    try:
        manifest = json.loads(content)
        seal = manifest.pop("self")
        intact = content == _sealed(manifest) and isinstance(seal, str)
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact or manifest["format"] != FORMAT:
        raise HwquantError(f"{folder / MANIFEST} is damaged, or of no build; {again}")
    if manifest["version"] > VERSION:
        newer = f"{folder} has format version {manifest['version']}, this hwquant reads up to {VERSION}"
        raise HwquantError(f"{newer}; update hwquant")
    digests = manifest["sha256"]
    # Hidden: a file that another command is writing at this moment.
    found = {item.name for item in folder.iterdir() if not item.name.startswith(".")} - {MANIFEST, *ADDED}
    for name in sorted(found - set(FILES)):
        raise HwquantError(f"{folder / name} does not belong to the build; move it away")
    for name in FILES:
        if name not in found:
            raise HwquantError(f"{folder / name} is missing; {again}")
        if _digest(folder / name) != digests[name]:
            raise HwquantError(f"{folder / name} is damaged (its checksum is wrong); {again}")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder``, which takes its place at the end."""
    new = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    old = new.with_name(f"{new.name}.old")
    try:
        try:
            new.mkdir()
            yield new
            if folder.is_dir() and _same(new, folder):
                return
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        way = "free some space" if error.errno == errno.ENOSPC else "choose a folder that can be written to"
        raise HwquantError(f"cannot write {folder}: {error.strerror or error}; {way}") from error


def _same(one: Path, other: Path) -> bool:
    names = {item.name for item in one.iterdir()}
    return names == {item.name for item in other.iterdir()} - ADDED and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise HwquantError(f"cannot read {path}: {error.strerror or error}") from error


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def _sealed(manifest: dict[str, Any]) -> bytes:
    """The one way to write a manifest, with its own SHA-256 at the end: any other bytes are damaged."""
    return _json({**manifest, "self": hashlib.sha256(_json(manifest)).hexdigest()})
