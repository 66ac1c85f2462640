"""The ports of a module as people read them: one a line, as the component declares them, with what it says of them."""

import inspect
import re
from dataclasses import dataclass

from amaranth.hdl import Value
from amaranth.lib.wiring import Component, Flow

from hwquant.errors import HwquantError

_MEMBER = re.compile(r"^(\w[\w*]*) : .*\n((?:^ +\S.*\n?)+)", re.MULTILINE)
_CLOCK = {"clk": "Clock of everything.", "rst": "Reset, active high, synchronous to the clock."}
"""The ports that Amaranth adds to a component in the clock domain of whatever is around it."""


@dataclass(frozen=True)
class Port:
    """A port of a Verilog module.

    Attributes
    ----------
    name : str
        Its name.
    bits : int
        Its width.
    output : bool
        Whether it is an output.
    meaning : str
        What it is for, in a sentence or two.
    """

    name: str
    bits: int
    output: bool
    meaning: str

    @property
    def comment(self) -> str:
        """Direction, width and meaning."""
        way, unit = "out" if self.output else "in", "bit" if self.bits == 1 else "bits"
        return f"{way}, {self.bits} {unit}: {self.meaning}"


def port_list(component: Component) -> list[Port]:
    """List a component's ports in the order in which it declares them, clock and reset first.

    Parameters
    ----------
    component : Component
        The component, whose docstring describes its members.

    Raises
    ------
    HwquantError
        The docstring says nothing of a member.
    """
    text = _members(component)
    clock = [] if "aclk" in text else [Port(name, 1, False, meaning) for name, meaning in _CLOCK.items()]
    ports = []
    for path, member, value in component.signature.flatten(component):
        if path[0] not in text:
            raise HwquantError(f"the docstring of {type(component).__name__} does not describe {path[0]!r}")
        meaning = text[path[0]] if len(path) == 1 else f"`{'.'.join(map(str, path[1:]))}` of: {text[path[0]]}"
        name = "__".join(map(str, path))
        ports.append(Port(name, len(Value.cast(value)), member.flow is Flow.Out, meaning))
    return [*clock, *ports]


def _members(component: Component) -> dict[str, str]:
    """What the docstring says of each member; a name that ends with ``*`` stands for all that begin so."""
    documentation = inspect.getdoc(type(component)) or ""
    section = documentation.partition("\nMembers\n")[2]
    found = {name: " ".join(text.split()) for name, text in _MEMBER.findall(section)}
    plain = {name: _plain(text) for name, text in found.items()}
    members = component.signature.members
    for pattern in [name for name in plain if name.endswith("*")]:
        meaning = plain.pop(pattern)
        plain |= {name: meaning for name in members if name.startswith(pattern[:-1]) and name not in plain}
    return plain


def _plain(text: str) -> str:
    """A description without markup, references, and the conditions on which there is such a member."""
    text = re.sub(r"(;|\.) (see :|only where|Only where)[^;]*$", ".", text)
    return re.sub(r":\w+:`~?([^`]+)`|``(.+?)``", r"\1\2", text)


def with_port_list(verilog: str, name: str, ports: list[Port]) -> str:
    """Write out the head of a module with a line for each port.

    Parameters
    ----------
    verilog : str
        Text with the module in it.
    name : str
        Name of the module.
    ports : list of Port
        All its ports, in the order in which they are to be.

    Returns
    -------
    str
        The text; nothing but the head is changed.

    Raises
    ------
    HwquantError
        The module has other ports.
    """
    head = re.search(rf"^module {name}\(([^)]*)\);", verilog, re.MULTILINE)
    found = set(re.findall(r"\w+", head[1])) if head else set()
    if head is None or found != {port.name for port in ports}:
        raise HwquantError(
            f"the module {name} has other ports than its component: {', '.join(sorted(found))}"
        )
    lines = [f"  {port.name}{',' if port is not ports[-1] else ''}  // {port.comment}" for port in ports]
    text = "\n".join([f"module {name}(", *lines, ");"])
    return verilog[: head.start()] + text + verilog[head.end() :]
