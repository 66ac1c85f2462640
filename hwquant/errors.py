"""The one exception that the user sees."""


class HwquantError(Exception):
    """Bad input, or a request that cannot be met.

    The message is one sentence or two: the culprit first, then the way out. The command line prints it
    without a traceback and exits with status 2.
    """


def require(package: str, extra: str, purpose: str) -> HwquantError:
    """The error for an optional package that is absent: names the extra that brings it."""
    return HwquantError(
        f"{purpose} needs the package {package!r}; install it with: pip install 'hwquant[{extra}]'"
    )
