"""Readable, deterministic Verilog from an Amaranth component."""

import re
from collections.abc import Iterator, Mapping

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from hwquant.rtl_templates.identifiers import INSIDE
from hwquant.rtl_templates.weight_memory import LOADED
from hwquant.rtl_templates.yosys import run_yosys

SCRIPT = ("proc -nomux -norom", "opt_expr", "opt_clean", "memory_collect")
"""Yosys passes: processes to registers, unused wires away; hierarchy, names and memories stay."""


APART = "no_rw_check"
"""Attribute of memories that never read a word in the cycle that writes it."""
_LINES = re.DOTALL | re.MULTILINE
_CONTENTS = r"(?:^  attribute [^\n]*\n)*^  cell \$meminit_v2 [^\n]*\n{}^  end\n"
"""What fills a memory, in RTLIL, with its attributes; what is between is to be said."""


def to_rtlil(component: Component, name: str = "hwquant", platform: object = None) -> str:
    """Convert a component to RTLIL for synthesis and simulation, each distinct module once.

    Memories that never read a word in the cycle that writes it say so of their read ports: of Amaranth's ports, which
    are clocked already, Yosys does not ask the attribute :data:`APART`.

    Amaranth writes a module for every instance; equal ones (all processing elements of a row, all
    accumulators) are merged, bottom up, and named after their place without its index.

    Parameters
    ----------
    component : Component
        What is converted.
    name : str
        Name of the top module.
    platform : object
        What ``elaborate`` gets.

    Returns
    -------
    str
        The text of all modules.
    """
    return re.sub(r"^module .*?^end\n", _collisions, _converted(component, name, platform), flags=_LINES)


def _converted(component: Component, name: str, platform: object) -> str:
    text = rtlil.convert(component, name=name, platform=platform, emit_src=False)
    modules = ((module, _without_contents(body)) for module, body in _modules(text))
    return "".join(_merge(modules, name).values())


def _collisions(module: re.Match[str]) -> str:
    """Say of a module's read ports that a word which is read and written at once may be anything, where it is so."""
    text = module[0]
    for memory in re.findall(
        rf"^  attribute \\{APART} 1\n(?:  attribute .*\n)*  memory .* \\(\S+)$", text, re.MULTILINE
    ):
        ports = rf'^  cell \$memrd_v2 .*?parameter \\MEMID "\\\\{re.escape(memory)}"\n.*?^  end\n'
        text = re.sub(ports, _any_word, text, flags=_LINES)
    return text


def _any_word(cell: re.Match[str]) -> str:
    return re.sub(r"(COLLISION_X_MASK \d+')(0+)", lambda match: match[1] + "1" * len(match[2]), cell[0])


def to_verilog(
    component: Component, name: str = "hwquant", platform: object = None, *, show_collisions: bool = False
) -> str:
    """Convert a component to Verilog-2005; the same component gives the same text.

    Parameters
    ----------
    component : Component
        What is converted.
    name : str
        Name of the top module.
    platform : object
        What ``elaborate`` gets.
    show_collisions : bool, default False
        Whether a word that is read in the cycle that writes it is X, in memories that are :data:`APART`: so that a
        simulation shows it.

    Returns
    -------
    str
        The text of all modules.

    Raises
    ------
    ToolStopped
        Yosys stopped.
    """
    convert = to_rtlil if show_collisions else _converted
    script = [
        f"read_rtlil <<rtlil\n{convert(component, name, platform)}\nrtlil",
        *SCRIPT,
        "write_verilog",
    ]
    text = run_yosys("\n".join(script))
    # Of the attributes these are for synthesis; see the processing element, and AMD's UG901 for the last one.
    text = re.sub(rf"^ *\(\* (?!keep = |{APART} = ).*? \*\)\n", "", text, flags=re.MULTILINE)
    text = re.sub(
        rf"^( *)\(\* {APART} = .*? \*\)\n",
        rf'\1(* {APART}, rw_addr_collision = "no" *)\n',
        text,
        flags=re.MULTILINE,
    )
    # Yosys' version and the numbers of its auxiliary names must not make two equal designs differ.
    text = re.sub(r"\A(/\*.*?\*/\s*)?", "", text, flags=re.DOTALL)
    text = re.sub(r"\\\$auto\$verilog_backend\S* ", "_initially_", text)
    return re.sub(r"^(module .*?;\n)(.*?^endmodule\n)", _run_once, text, flags=_LINES)


def _run_once(module: re.Match[str]) -> str:
    """Let every ``always @*`` of a module run at time 0, also where none of its inputs ever changes.

    It waits for a signal besides its inputs, which has an event then. Yosys has the signal without that event, and not
    where it assigns a part of a register in one line.
    """
    head, body = module.groups()
    body = re.sub(r"^  reg _initially_ +=\s*0;\n", "", body, flags=re.MULTILINE)
    body = re.sub(
        r"^( *)always @\*\n +(.*;)$",
        r"\1always @* begin\n\1  if (_initially_) begin end\n\1  \2\n\1end",
        body,
        flags=re.MULTILINE,
    )
    event = "  reg _initially_;\n  initial _initially_ <= 0;\n"
    return head + (event if "(_initially_)" in body else "") + body


def without_zeros(text: str) -> str:
    """Leave out, of RTLIL, what fills memories with zeros: for tools whose memories begin so."""
    zeros = r"(?:    (?!connect \\DATA)[^\n]*\n)*    connect \\DATA \d+'0+\n.*?"
    return re.sub(_CONTENTS.format(zeros), "", text, flags=_LINES)


def _without_contents(module: str) -> str:
    """Leave out the initial contents of memories that the host loads.

    Amaranth writes zeros where none are given.
    """
    if f"attribute \\{LOADED} " not in module:
        return module
    return re.sub(_CONTENTS.format(".*?"), "", module, flags=_LINES)


def _modules(text: str) -> Iterator[tuple[str, str]]:
    """Find the modules of a text: the name and the text of each, attributes included."""
    for match in re.finditer(
        r"(?:^attribute [^\n]*\n)*^module \\(\S+)\n.*?^end\n", text, re.DOTALL | re.MULTILINE
    ):
        yield match[1], match[0]


def _merge(modules: Iterator[tuple[str, str]], top: str) -> dict[str, str]:
    """Merge equal modules until nothing changes."""
    texts = dict(modules)
    renamed: dict[str, str] = {}
    while True:
        first: dict[str, str] = {}
        for name, text in texts.items():
            body = text.replace(f"module \\{name}\n", "", 1)
            renamed[name] = first.setdefault(body, name)
        merged = {name: target for name, target in renamed.items() if name in texts and name != target}
        if not merged:
            break
        texts = {name: _rename(text, merged) for name, text in texts.items() if name not in merged}
    return _shorten(texts, top)


def _shorten(texts: dict[str, str], top: str) -> dict[str, str]:
    """Name modules by their role.

    ``top.array.pe_3_0`` becomes ``top__pe_3``, or the full path where two of them collide.
    No name of a core holds two underscores in a row (see :mod:`hwquant.rtl_templates.identifiers`), so modules of two
    cores in one design never have the same name.
    """
    short: dict[str, str] = {}
    for name in texts:
        leaf = name.rsplit(".", 1)[-1]
        leaf = re.sub(r"_0$|0$", "", leaf) or leaf
        short[name] = name if name == top else f"{top}{INSIDE}{leaf}"
    counts: dict[str, int] = {}
    for value in short.values():
        counts[value] = counts.get(value, 0) + 1
    names = {name: value if counts[value] == 1 else _path(name) for name, value in short.items()}
    return {names[name]: _rename(text, names) for name, text in texts.items()}


def _path(name: str) -> str:
    return name.replace(".", INSIDE, 1).replace(".", "_")


def _rename(text: str, names: Mapping[str, str]) -> str:
    """Rename modules, where they are defined and where they are used."""
    pattern = re.compile(r"^(\s*cell |module )\\(\S+)", re.MULTILINE)
    return pattern.sub(lambda match: match[1] + "\\" + names.get(match[2], match[2]), text)
