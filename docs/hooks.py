"""What MkDocs asks of this site while it builds it: the parts of pages that are made from the code.

A page says ``<!-- generated: NAME -->`` where the text of :data:`GENERATED` of that name goes, so that what the code
defines is defined there alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
ROLE = re.compile(r":(?:func|class|mod|data|meth|attr|exc):(?=<code>)")
"""What docstrings put before a name in backticks, once it has been rendered."""
ROLE_TEXT = re.compile(r":(?:func|class|mod|data|meth|attr|exc):`~?([^`]+)`")
"""The same with the name, in plain text."""
FOLDERS = {"hwquant.sim": "sim", "hwquant.boards": "boards", "hwquant.rtl_templates": "rtl_templates"}
"""Packages that are installed under other names than their folders have."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated parts into a page; an unknown name is a KeyError, which stops the build."""
    return MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Take from a page what only Sphinx would understand in docstrings."""
    return ROLE.sub("", html).replace("::</p>", ":</p>")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a Markdown table; bars in cells are quoted."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def python() -> str:
    """Every public name of hwquant, with its docstring, where it is defined."""
    import hwquant

    parts = []
    for name in hwquant.__all__:
        value = getattr(hwquant, name)
        place = value.__module__
        for package, folder in FOLDERS.items():
            place = re.sub(rf"^{re.escape(package)}(?=\.|$)", folder, place)
        parts.append(f"## `hwquant.{name}` {{ #{name} }}\n\n::: {place}.{value.__qualname__}\n")
    return "\n".join(parts)


def meanings() -> dict[str, str]:
    """What each instruction does, from the table in the docstring of the instruction set."""
    from hwquant.program import isa

    (body,) = re.findall(r"^={3,} +={3,}\n(.*?)^={3,} +={3,}$", isa.__doc__ or "", re.DOTALL | re.MULTILINE)
    found = re.findall(r"^([A-Z]+) +(.*(?:\n +.*)*)$", body, re.MULTILINE)
    return {name: ROLE_TEXT.sub(r"`\1`", " ".join(text.split()).replace("``", "`")) for name, text in found}


def instructions() -> str:
    """The instructions, and the fields that they have in a small accelerator with external memory."""
    from hwquant.program.config import ArrayConfig
    from hwquant.program.isa import Opcode, fields

    layout = fields(
        ArrayConfig(rows=8, columns=8, external_bits=64, external_address_bits=20, half_depth=1024)
    )
    texts = meanings()
    rows = [
        (
            f"`{code.name}`",
            int(code),
            texts[code.name],
            ", ".join(f"{field.name} {field.width}" for field in layout.get(code, ())) or "none",
        )
        for code in Opcode
    ]
    return table(("instruction", "opcode", "what it does", "fields and their bits"), rows)


def registers() -> str:
    """The registers of an accelerator, field by field."""
    from hwquant.program.registers import MemoryRegister, Register

    rows = [
        (
            f"`{register.name}`",
            int(register),
            f"{field.high}..{field.low}" if field.width > 1 else field.low,
            field.name,
            "read, write" if field.writable else "read",
            field.meaning,
        )
        for register in (*Register, *MemoryRegister)
        for field in register.fields
    ]
    return table(("register", "number", "bits", "field", "access", "meaning"), rows)


def boards() -> str:
    """The boards that come along."""
    from hwquant.boards.board import board_names, load_board

    rows = [
        (
            f"`{name}`",
            board.title,
            f"`{board.device.name}`" if board.device else "any",
            ", ".join(sorted(board.links)),
            "yes" if board.memory else "no",
        )
        for name, board in ((name, load_board(name)) for name in board_names())
    ]
    return table(("board", "what it is", "device", "links", "memory"), rows)


def proofs() -> str:
    """What is claimed of the components, and how it is proven."""
    from hwquant.prove.claims import CLAIMS

    rows = [
        (claim.name, claim.statement, claim.method.value, "yes" if claim.method.unbounded else "no")
        for claim in CLAIMS
    ]
    return table(("claim", "what is true for all inputs", "proven by", "in all cycles"), rows)


GENERATED: dict[str, Callable[[], str]] = {
    "python": python,
    "instructions": instructions,
    "registers": registers,
    "boards": boards,
    "proofs": proofs,
}
"""Texts by the name that a page gives."""
