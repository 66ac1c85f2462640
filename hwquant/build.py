"""The build folder: everything that leaves the compiler, whole or not at all, and checked when it is read.

==============  ====================================================================
net.hwq         the integer network
program.hwp     the compiled program
hwquant.v       the accelerator in Verilog-2005, the program in its memories
external.bin    what external memory holds, from where the accelerator's part of it begins; only where there is any
report.json     cycles, utilization and memories
manifest.json   SHA-256 of each of these files, and of the manifest itself
boards/         what was built for boards, a folder each
report.html     all of this as a page for people
record.json     for that page: the commands that were run, and the accuracy where it was measured
==============  ====================================================================

The last three go when another network is compiled into the folder. A report in ``boards/`` has the checksums of
what is beside it, and it and the record have their own.

A folder of any version up to `VERSION` is read; its Verilog stays as it was written. A newer one is refused, and so
is one whose network or program is of a newer version.

A build folder may be a symbolic link that the user made: what it points to is the build. Links in it are neither
followed nor replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hwquant import hwq
from hwquant.board_report import REPORT, check_replaceable
from hwquant.errors import Busy, Damaged, HwquantError, check_type
from hwquant.files import (
    alone,
    check_name,
    digest,
    json_bytes,
    keeping,
    parse_json,
    read_bytes,
    read_ordinary,
    recover,
    remove_empty,
    replacing,
    sealed,
    unsealed,
    write_bytes,
)
from hwquant.files.places import SUFFIX, WAIT
from hwquant.program import storage
from hwquant.program.program import Program
from hwquant.qgraph import QGraph
from hwquant.report import Report, make_report

FORMAT = "hwquant build"
VERSION = 2
NETWORK, PROGRAM, VERILOG, MANIFEST = "net.hwq", "program.hwp", "hwquant.v", "manifest.json"
FILES = (NETWORK, PROGRAM, VERILOG, REPORT)
EXTERNAL = "external.bin"
"""A file that is in a build, too, if its program uses external memory: its version is 2, else 1."""
BOARDS, PAGE, RECORD = "boards", "report.html", "record.json"
ADDED = frozenset({BOARDS, PAGE, RECORD})
"""What may be in a build folder besides FILES and the manifest."""
LARGEST_MANIFEST = 1 << 16
"""Most bytes of a manifest, which has some 500."""
AGAIN = "compile the network again"
TOP = "hwquant"
"""Name of the Verilog's top module."""


@dataclass(frozen=True, eq=False)
class Build:
    """A build folder that has been read; every checksum was right.

    Attributes
    ----------
    folder : Path
        The folder.
    qgraph : QGraph
        The integer network.
    program : Program
        The network, compiled.
    manifest : bytes
        Contents of the manifest, which tell this build from another in the same folder.
    """

    folder: Path
    qgraph: QGraph
    program: Program
    manifest: bytes

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
    qgraph : QGraph
        The network that ``program`` was compiled from.
    program : Program
        The compiled network.
    folder : str or os.PathLike
        The folder, whose parent must exist.

    Returns
    -------
    Build
        What has been written, as :func:`load_build` would read it.

    Raises
    ------
    HwquantError
        The folder holds something else, or cannot be written.
    TypeError
        The network is no QGraph, or the program no Program.
    """
    from hwquant.rtl_templates.build import accelerator
    from hwquant.rtl_templates.verilog import to_verilog

    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    check_type("program", program, Program, hint="hwquant.compile_network makes one")
    folder = Path(folder)
    check_target(folder)
    verilog = to_verilog(accelerator(program), TOP)
    real = Path(os.path.realpath(folder))
    with replacing(real, unchanged=lambda new: real.is_dir() and _same(new, real)) as new:
        hwq.save(qgraph, new / NETWORK)
        storage.save(program, new / PROGRAM)
        write_bytes(new / VERILOG, verilog.encode())
        write_bytes(new / REPORT, json_bytes(make_report(program).to_json()))
        outside = program.config.external_bits > 0
        if outside:
            write_bytes(new / EXTERNAL, program.external_image.tobytes())
        digests = {name: digest(new / name) for name in _files(outside)}
        manifest = sealed({"format": FORMAT, "version": 1 + outside, "sha256": digests})
        write_bytes(new / MANIFEST, manifest)
        check_target(folder)  # once more, as nobody else writes now
    return Build(folder, qgraph, program, manifest)


def load_build(folder: str | os.PathLike[str]) -> Build:
    """Read a build folder, and check every byte of it.

    Parameters
    ----------
    folder : str or os.PathLike
        The folder.

    Raises
    ------
    Damaged
        A file has changed or is missing; the message names it.
    HwquantError
        The folder is no build, holds a file that does not belong to it, or is of a newer version.
    """
    folder = Path(folder)
    tidy(folder)
    _check_exists(folder)
    with keeping(folder, wait=WAIT):
        manifest = check_build(folder)
        qgraph, program = hwq.load(folder / NETWORK), storage.load(folder / PROGRAM)
    if not _belong(qgraph, program):
        raise Damaged(f"{folder / PROGRAM} is of another network than {NETWORK}; {AGAIN}", path=str(folder))
    return Build(folder, qgraph, program, manifest)


def _belong(qgraph: QGraph, program: Program) -> bool:
    """Whether a program has the inputs, outputs and tensors of a network; its numbers are compared by simulation."""
    placed = {**program.tensors, **{item.name: item for item in (*program.inputs, *program.outputs)}}
    whole = {name: item for name, item in placed.items() if name not in program.parts}
    nodes = {node.name for node in qgraph.nodes}
    shapes = {}
    for name, tensor in qgraph.tensors.items():
        channels, height, width = tensor.shape
        shapes[name] = (channels, height * program.batch, width)  # samples of a batch lie below each other
    return (
        [item.name for item in program.inputs] == [item.name for item in qgraph.inputs]
        and all(name in shapes and tuple(item.shape) == shapes[name] for name, item in whole.items())
        and all(part.tensor in qgraph.tensors for part in program.parts.values())
        and all(name in nodes for layer in program.layers for name in layer.covers)
    )


@contextmanager
def holding(build: Build) -> Iterator[None]:
    """Hold a build folder against being replaced while something is added to it.

    Raises
    ------
    Busy
        Another command is replacing it, or has replaced it since it was read.
    """
    with keeping(build.folder):
        if _manifest(build.folder) != build.manifest:
            raise Busy(f"another hwquant has replaced {build.folder} meanwhile; repeat this command")
        yield


def tidy(folder: Path) -> None:
    """Undo what commands that died have left in a build folder."""
    recover(folder)
    boards = folder / BOARDS
    if boards.is_dir() and not boards.is_symlink():
        recover(boards)
        if not any(boards.iterdir()):
            with suppress(Busy), alone(folder):
                remove_empty(boards)


def board_reports(folder: Path) -> list[Path]:
    """List the reports of the boards that were built in a build folder, in the order of the boards' names.

    :func:`hwquant.board_report.read_board_report` reads them.
    """
    return sorted((folder / BOARDS).glob(f"*/{REPORT}"))


def installed(*packages: str) -> dict[str, str]:
    """Look up the versions of packages, by name; a checkout that is not installed has none and is left out."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def is_build(folder: Path) -> bool:
    """Tell whether a folder says that it is a build; its contents may still be damaged."""
    try:
        return bool(parse_json(read_ordinary(folder / MANIFEST, LARGEST_MANIFEST))["format"] == FORMAT)
    except (OSError, Damaged, ValueError, KeyError, TypeError):
        return False


def check_outside(folder: Path) -> None:
    """Raise for a folder that is a build, or in one: whatever else is written there makes the build invalid."""
    real = Path(os.path.realpath(folder))
    for place in (real, *real.parents):
        if is_build(place):
            raise HwquantError(
                f"{folder} is in the build {place}, which holds nothing else; choose another folder"
            )


def check_target(folder: Path) -> None:
    """Raise unless a build may be written to ``folder``: it is absent, empty, or a build and nothing else."""
    if not folder.parent.is_dir():
        raise HwquantError(f"cannot write {folder}: the folder {folder.parent} does not exist; make it first")
    check_name(folder)
    check_outside(folder.parent)
    for place in (folder.parent, folder):  # a folder that is replaced is moved, which writes into it
        if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
            raise HwquantError(f"cannot write {folder}: the folder {place} is not writable; choose another")
    if not folder.exists():
        return
    if folder.samefile(Path.cwd()):
        raise HwquantError(
            f"cannot write {folder}: it is the current folder, which cannot be replaced; name another"
        )
    if not folder.is_dir():
        raise HwquantError(f"cannot write {folder}: it is a file; choose another name")
    names = {item.name for item in folder.iterdir() if not item.name.endswith(SUFFIX)}
    others = names - {*FILES, EXTERNAL, MANIFEST, *ADDED}
    others |= {name for name in names - {BOARDS} if (folder / name).is_dir()}
    if others:
        raise HwquantError(
            f"{folder} holds {min(others)!r}, which hwquant did not write; choose another folder"
        )
    if names and not is_build(folder):
        raise HwquantError(f"{folder} is not empty and not a build of hwquant; choose another folder")
    if BOARDS in names:
        check_boards(folder)


def check_boards(folder: Path) -> None:
    """Raise for anything in ``boards/`` that hwquant did not write, links among it."""
    boards = folder / BOARDS
    if boards.is_symlink() or not boards.is_dir():
        raise HwquantError(f"{boards} is no folder that hwquant made; move it away")
    for item in boards.iterdir():
        if not item.name.endswith(SUFFIX):
            check_replaceable(item)


def check_build(folder: Path) -> bytes:
    """Raise unless a folder is a build in which no byte has changed; the message names the file.

    Returns
    -------
    bytes
        Contents of its manifest.

    Raises
    ------
    Damaged
        A file has changed or is missing.
    HwquantError
        The folder is no build, holds a file that does not belong to it, or is of a newer version.
    """
    _check_exists(folder)
    content = _manifest(folder)
    path = folder / MANIFEST
    try:
        manifest = unsealed(content)
        format, version, digests = manifest["format"], manifest["version"], dict(manifest["sha256"])
        if format != FORMAT or type(version) is not int or version < 1:
            raise ValueError("it is of another kind")
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged, or of no build; {AGAIN}", path=str(path)) from error
    if version > VERSION:
        newer = f"{folder} has format version {version}, this hwquant reads up to {VERSION}"
        raise HwquantError(f"{newer}; update hwquant")
    # Hidden: a file that another command is writing at this moment.
    names = {item.name for item in folder.iterdir() if not item.name.startswith(".")} - {MANIFEST, *ADDED}
    files = _files(EXTERNAL in digests)
    for name in sorted(names - set(files)):
        raise HwquantError(f"{folder / name} does not belong to the build; move it away")
    for name in files:
        if name not in names:
            raise Damaged(f"{folder / name} is missing; {AGAIN}", path=str(folder / name))
        if digest(folder / name) != digests.get(name):
            message = f"{folder / name} is damaged (its checksum is wrong); {AGAIN}"
            raise Damaged(message, path=str(folder / name))
    return content


def _files(outside: bool) -> tuple[str, ...]:
    """The files of a build beside its manifest, with or without external memory."""
    return (*FILES, EXTERNAL) if outside else FILES


def _check_exists(folder: Path) -> None:
    if folder.is_file():
        raise HwquantError(
            f"{folder} is a file, and no build folder; make one with: hwquant compile net.hwq --array 8x8 -o build"
        )
    if not folder.is_dir():
        raise HwquantError(
            f"there is no build folder {folder}; make one with: hwquant compile net.hwq --array 8x8 -o {folder}"
        )


def _manifest(folder: Path) -> bytes:
    try:
        return read_ordinary(folder / MANIFEST)
    except OSError as error:
        raise HwquantError(
            f"{folder} is no build folder: cannot read {MANIFEST} ({error.strerror}); {AGAIN}"
        ) from error


def _same(one: Path, other: Path) -> bool:
    names = {item.name for item in one.iterdir()}
    return names == {item.name for item in other.iterdir()} - ADDED and all(
        read_bytes(one / name) == read_bytes(other / name) for name in names
    )
