"""Replacing a file or a folder: what was there, or all of what is new, whenever the process dies.

The new is made in a *staging folder* beside its place, ``.<name>.hwquant``, which the writer keeps locked. Then
the two change places in one system call, and the staging folder goes, with the old in it. A staging folder that
nobody has locked was left by a process that died: whoever comes next removes it. Where the system cannot exchange
two names, a folder is moved to ``old`` in the staging folder first; if it is there and the place is empty, it is
moved back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hwquant.errors import Busy, HwquantError
from hwquant.files.locks import locked

NEW, OLD = "new", "old"
PREFIX, SUFFIX = ".", ".hwquant"
_STAGED = re.compile(rf"(^|/){re.escape(PREFIX)}([^/]+){re.escape(SUFFIX)}/{NEW}(?=/|$)")
READERS = 1.0
"""Seconds to wait for those who read a folder; who adds to it takes longer."""
WAIT = 10.0
"""Seconds to wait for another process that writes the same file: it takes milliseconds."""
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def staging_of(place: Path) -> Path:
    """The staging folder of a place."""
    return place.with_name(f"{PREFIX}{place.name}{SUFFIX}")


def check_name(place: Path) -> None:
    """Raise early where a place's name leaves no room for that of its staging folder; its parent must exist."""
    most = os.pathconf(place.parent, "PC_NAME_MAX") - len(PREFIX + SUFFIX)
    if len(os.fsencode(place.name)) > most:
        raise HwquantError(f"cannot write {place}: its name has more than {most} bytes; choose a shorter one")


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file; what was there stays untouched until all of the new is on the disk.

    A symbolic link of this name is replaced, not followed.

    Raises
    ------
    HwquantError
        The folder is absent or cannot be written to, or a folder or a device has the name.
    """
    update_bytes(path, lambda: data)


def update_bytes(path: str | os.PathLike[str], make: Callable[[], bytes]) -> None:
    """Write a file as :func:`write_bytes` does, with contents that are made while nobody else writes it.

    ``make`` may read the file: what it reads is what the new replaces.
    """
    path = Path(path)
    with explained(path, "choose a folder that exists and is writable"), _staging(path, WAIT) as staging:
        _check_replaceable(path)
        _create(staging / NEW, make())
        _put(staging, path)


def write_together(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder as :func:`write_bytes` does: all are on the disk before the first takes its place.

    The folder is made where it is missing; its parent must exist. Returns the paths of the files.
    """
    made = make_folder(folder)
    paths = [folder / name for name in files]
    try:
        with ExitStack() as stack:
            staged = []
            for path, data in zip(paths, files.values()):
                stack.enter_context(explained(path, "choose a folder that exists and is writable"))
                staged.append(stack.enter_context(_staging(path, WAIT)))
                _check_replaceable(path)
                _create(staged[-1] / NEW, data)
            for staging, path in zip(staged, paths):
                _put(staging, path)
    except BaseException:
        if made:
            remove_empty(folder)
        raise
    return paths


@contextmanager
def replacing(
    folder: Path, *, wait: float = 0.0, unchanged: Callable[[Path], bool] = lambda new: False
) -> Iterator[Path]:
    """Make a temporary folder that takes the place of ``folder`` at the end, unless an exception ends it.

    Parameters
    ----------
    folder : Path
        Place of the new folder; its parent must exist. What is there now is removed: the caller has seen that it may
        be.
    wait : float, default 0.0
        Seconds to wait for another process that writes the same place.
    unchanged : callable, optional
        Whether to leave all as it is; called at the end with the temporary folder.

    Raises
    ------
    Busy
        Another process writes the folder, or adds to it.
    HwquantError
        The folder cannot be written, or is a symbolic link.
    """
    with ExitStack() as stack:
        stack.enter_context(explained(folder, "choose a folder that can be written to"))
        staging = stack.enter_context(_staging(folder, wait))
        if folder.is_symlink():
            raise HwquantError(f"cannot write {folder}: it is a symbolic link; remove it")
        if folder.exists() and not folder.is_dir():
            raise HwquantError(f"cannot write {folder}: it is a file; choose another name")
        if folder.is_dir():
            stack.enter_context(locked(folder, folder, wait=max(wait, READERS), make=False))
        new = staging / NEW
        os.mkdir(new)
        yield new
        if not unchanged(new):
            _sync_tree(new)
            _put(staging, folder)


@contextmanager
def keeping(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Keep a folder from being replaced while it is read or added to; others may do so too.

    Raises
    ------
    Busy
        Another process is replacing the folder.
    HwquantError
        The folder is gone.
    """
    with _locked_by_us(folder, wait=wait, shared=True):
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep everybody else from a folder; raises :class:`Busy` where somebody has it."""
    with _locked_by_us(folder, wait=0.0, shared=False):
        yield


@contextmanager
def _locked_by_us(folder: Path, *, wait: float, shared: bool) -> Iterator[None]:
    """Lock a folder that is there; the user may have made a link to it."""
    real = Path(os.path.realpath(folder))
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(real, folder, wait=wait, make=False, shared=shared))
        except OSError as error:
            raise HwquantError(f"cannot read {folder}: {error.strerror or error}") from error
        yield


def recover(place: Path) -> None:
    """Undo what a process left that died while it wrote a place, or something directly in it.

    Raises
    ------
    Busy
        There is nothing at the place, and another process is about to put something there.
    """
    real = Path(os.path.realpath(place))
    _recover(real)
    if real.is_dir():
        for item in list(real.glob(f"{PREFIX}*{SUFFIX}")):
            with suppress(Busy):  # nobody has asked for what is being written there
                _recover(real / item.name.removeprefix(PREFIX).removesuffix(SUFFIX))


def remove(path: Path) -> None:
    """Remove a file that hwquant made, if it is there, and what a process left that died writing it."""
    with explained(path, "remove it by hand", "remove"):
        path.unlink(missing_ok=True)
        recover(path)


def discard(folder: Path) -> None:
    """Remove a folder that hwquant made: all of it disappears at once."""
    with explained(folder, "remove it by hand"), _staging(folder, 0.0) as staging:
        if folder.is_dir() and not folder.is_symlink():
            os.rename(folder, staging / NEW)


def _recover(place: Path) -> None:
    if not os.path.lexists(staging_of(place)):
        return
    try:
        with _staging(place, 0.0):
            pass
    except (Busy, OSError):
        # It is in use, or in a folder that we only read. What is at the place is whole.
        if not os.path.lexists(place):
            raise


@contextmanager
def _staging(place: Path, wait: float) -> Iterator[Path]:
    """Make the empty staging folder of a place, locked by this process, and remove it at the end."""
    staging = staging_of(place)
    if staging.is_symlink() or (staging.exists() and not staging.is_dir()):
        raise HwquantError(f"{staging} is in the way; move it elsewhere")
    with locked(staging, place, wait=wait, make=True):
        others = sorted(set(os.listdir(staging)) - {NEW, OLD})
        if others:
            raise HwquantError(
                f"{staging / others[0]} is in the way, hwquant did not write it; move it elsewhere"
            )
        try:
            if os.path.lexists(staging / OLD) and not os.path.lexists(place):
                os.rename(staging / OLD, place)
            for name in (NEW, OLD):
                clear(staging / name)
            yield staging
        finally:
            # What cannot be removed now is removed, or complained about, by the next who writes here.
            with suppress(OSError):
                if not os.path.lexists(staging / OLD) or os.path.lexists(place):
                    for name in (NEW, OLD):
                        clear(staging / name)
                    os.rmdir(staging)


def clear(path: Path) -> None:
    """Remove a file or folder; links in it go, what they point to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_replaceable(path: Path) -> None:
    """Raise for what no file may take the place of: a rename would do away with a device as well."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise HwquantError(f"cannot write {path}: it is no ordinary file; name another")


def _create(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(staging: Path, place: Path) -> None:
    """Move the new to its place, and the old into the staging folder; all as it was if this fails."""
    new, old = staging / NEW, staging / OLD
    if not os.path.lexists(place):
        os.rename(new, place)
        undo = [(place, new)]
    elif exchange(new, place):
        undo = []
    elif not place.is_dir():
        os.replace(new, place)
        _sync(place.parent)  # there is no old one any more to go back to
        return
    else:
        os.rename(place, old)
        undo = [(old, place)]
        try:
            os.rename(new, place)
            undo = [(place, new), (old, place)]
        except OSError:
            os.rename(old, place)
            raise
    try:
        _sync(place.parent)
    except OSError:
        for source, target in undo:
            os.rename(source, target)
        if not undo:
            exchange(new, place)
        raise


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders change places in one step; False where the system has no such step."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk; a place's folder may be reached through the user's link."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if not path.is_symlink():
            _sync(path)
    _sync(folder)


def make_folder(folder: Path) -> bool:
    """Make a folder if it is missing, and return whether it was missing; its parent must exist.

    Raises
    ------
    HwquantError
        It cannot be made, or a file has the name.
    """
    with explained(folder, "choose another", "make the folder"):
        try:
            folder.mkdir()
        except FileExistsError:
            if folder.is_dir():
                return False
            raise
        return True


def remove_empty(folder: Path) -> None:
    """Remove a folder that hwquant made, if nothing is in it."""
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def explained(place: Path, way: str, what: str = "write") -> Iterator[None]:
    """Inside, what the system says against writing becomes an error that says the way out."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise HwquantError(
            f"cannot {what} {_shown(place)}: {error.strerror or error}; {'free some space' if full else way}"
        ) from error


def _shown(path: Path) -> str:
    """A path as the user knows it: the place, for what is in its staging folder."""
    return _STAGED.sub(r"\1\2", str(path))
