"""The exceptions that a user sees, and that a program can tell apart."""

from __future__ import annotations

from typing import ClassVar


class HwquantError(Exception):
    """Bad input, or a request that cannot be met.

    The message is one sentence or two: the culprit first, then the way out. The command line prints it
    without a traceback and exits with status 2. A caller that goes on after an error catches one of the
    subclasses, never this class, which may say anything.

    Attributes
    ----------
    kind : str
        What went wrong, in a word for programs; ``--json`` prints it beside the message.
    """

    kind: ClassVar[str] = "invalid"


class Unsupported(HwquantError):
    """A network, or a part of it, that is valid and that hwquant cannot do.

    Parameters
    ----------
    message : str
        One sentence or two that name the culprit, and say what to use in its place.
    where : str, default ""
        The node, layer or file; empty where there is none.
    operator : str, default ""
        The operator's name, as the file has it; empty where there is none.
    """

    kind = "unsupported"

    def __init__(self, message: str, *, where: str = "", operator: str = "") -> None:
        super().__init__(message)
        self.where, self.operator = where, operator


class DoesNotFit(HwquantError):
    """A network that needs more of something than an array, a memory or a board has.

    Parameters
    ----------
    message : str
        One sentence or two that name what is short, and say what would help.
    resource : str
        What is short, such as ``"weight memory"`` or ``"accumulator bits"``.
    needed : float, optional
        How much is needed, in the resource's unit (words, bits, cells); None where it cannot be counted.
    available : float, optional
        How much there is, in the resource's unit; None where it cannot be counted.
    remedy : str, default ""
        What would help, as in the message; empty where nothing does.
    """

    kind = "does_not_fit"

    def __init__(
        self,
        message: str,
        *,
        resource: str,
        needed: float | None = None,
        available: float | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.resource, self.needed, self.available, self.remedy = resource, needed, available, remedy

    def __reduce__(self) -> tuple[object, ...]:
        fields = (str(self), self.resource, self.needed, self.available, self.remedy)
        return _does_not_fit, fields


def _does_not_fit(
    message: str, resource: str, needed: float | None, available: float | None, remedy: str
) -> DoesNotFit:
    """Rebuild an error that came from another process."""
    return DoesNotFit(message, resource=resource, needed=needed, available=available, remedy=remedy)


class Damaged(HwquantError):
    """A file or folder whose contents are not what was written, or not of the kind that it says.

    Parameters
    ----------
    message : str
        One sentence or two that name the file, and say how to get a good one.
    path : str, default ""
        The file or folder; empty where there is none.
    """

    kind = "damaged"

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class Busy(HwquantError):
    """A file or folder that another process is writing at this moment; the same may work later."""

    kind = "busy"


class ToolStopped(HwquantError):
    """A program that could not do what it was asked; the message has its first error, and where its log is."""

    kind = "tool_stopped"


class MemoryFault(HwquantError):
    """A board whose external memory has answered with an error: what it has computed is wrong."""

    kind = "memory_fault"


class MissingPackage(HwquantError):
    """An optional package, or a program, that is not installed.

    Parameters
    ----------
    message : str
        One sentence or two that name the package, and say how to install it.
    package : str
        Name of the package.
    extra : str, default ""
        The extra of hwquant that brings the package; empty where none does.
    """

    kind = "missing_package"

    def __init__(self, message: str, *, package: str, extra: str = "") -> None:
        super().__init__(message)
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[object, ...]:
        return _missing_package, (str(self), self.package, self.extra)


def _missing_package(message: str, package: str, extra: str) -> MissingPackage:
    """Rebuild an error that came from another process."""
    return MissingPackage(message, package=package, extra=extra)


def check_type(argument: str, value: object, *wanted: type, hint: str = "") -> None:
    """Raise unless an argument of a public function is of one of the wanted types.

    Parameters
    ----------
    argument : str
        Name of the argument.
    value : object
        Its value.
    *wanted : type
        Types that it may have.
    hint : str, default ""
        Where a value of the right type comes from, for the message.

    Raises
    ------
    TypeError
        The value is of none of the types.
    """
    if not isinstance(value, wanted):
        names = " or ".join(item.__name__ for item in wanted)
        raise TypeError(
            f"{argument} must be of type {names}, not {type(value).__name__}{hint and f'; {hint}'}"
        )


def require(package: str, extra: str, purpose: str) -> MissingPackage:
    """Make the error for an optional package that is absent; its message names the extra that brings the package.

    Parameters
    ----------
    package : str
        Name of the package.
    extra : str
        The extra of hwquant that brings it.
    purpose : str
        What needs the package; the message begins so.
    """
    return MissingPackage(
        f"{purpose} needs the package {package!r}; install it with: pip install 'hwquant[{extra}]'",
        package=package,
        extra=extra,
    )


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
