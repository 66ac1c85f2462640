"""Optional packages: loaded where they are needed, in the versions that work."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from types import ModuleType

from hwquant.errors import MissingPackage, require


def load_package(module: str, package: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Name of the module, such as ``"serial"``.
    package : str
        Name of the package that brings it, as it is installed, such as ``"pyserial"``.
    extra : str
        The extra of hwquant that brings the package.
    purpose : str
        What needs the package, for the message.

    Raises
    ------
    MissingPackage
        The package is not installed, not in a version that works, or cannot be imported.
    """
    try:
        loaded = import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            raise require(package, extra, purpose) from error
        check_version(package, extra, purpose)
        raise _broken(package, extra, purpose, error) from error
    except (OSError, AttributeError) as error:  # a library that is not there, or of another version
        check_version(package, extra, purpose)
        raise _broken(package, extra, purpose, error) from error
    check_version(package, extra, purpose)
    return loaded


def check_version(package: str, extra: str, purpose: str) -> None:
    """Raise where a package is installed in a version that hwquant does not work with.

    Parameters
    ----------
    package : str
        Name of the package, as it is installed.
    extra : str
        The extra of hwquant that brings the package.
    purpose : str
        What needs the package; the message begins so.

    Raises
    ------
    MissingPackage
        The version does not work.
    """
    try:
        found, needed = version(package), [item for item in requires("hwquant") or () if _is(item, package)]
    except PackageNotFoundError:  # a folder on the path, without metadata
        return
    for bound in re.findall(r"(>=|<)([\d.]+)", needed[0].partition(";")[0] if needed else ""):
        enough = _release(found) >= _release(bound[1])
        if enough != (bound[0] == ">="):
            raise MissingPackage(
                f"{purpose} needs {package}{bound[0]}{bound[1]}, and {found} is installed; install it with: "
                f"pip install 'hwquant[{extra}]'",
                package=package,
                extra=extra,
            )


def _broken(package: str, extra: str, purpose: str, error: Exception) -> MissingPackage:
    reason = " ".join(str(error).split())
    return MissingPackage(
        f"{purpose} needs the package {package!r}, which is installed but cannot be imported ({reason}); install it "
        f"again with: pip install --force-reinstall 'hwquant[{extra}]'",
        package=package,
        extra=extra,
    )


def _is(requirement: str, package: str) -> bool:
    name = re.match(r"[\w.-]+", requirement)
    return name is not None and _normal(name[0]) == _normal(package)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version such as ``2.6.0+cpu``; zeros at the end do not count."""
    numbers = [int(item) for item in re.findall(r"\d+", (re.match(r"[\d.]+", text) or [""])[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
