"""How a text is written in the languages of the tools, so that it stays the text that it is.

A board's fields are checked while its file is read (:mod:`hwquant.boards.fields`); what is written here would do no
harm without that.
"""

from __future__ import annotations

import json
import re

from hwquant.errors import HwquantError

_PLAIN = re.compile(r"[A-Za-z0-9_./:-]+", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", re.ASCII)


def tcl(*words: str) -> str:
    """A Tcl command of exactly these words, as Vivado reads it in scripts and constraints."""
    return " ".join(map(tcl_word, words))


def tcl_word(text: str) -> str:
    """A word of a Tcl command, in quotes and escaped where Tcl would act on a character of it.

    Raises
    ------
    HwquantError
        A character is half of a surrogate pair, or beyond the Basic Multilingual Plane, which Tcl 8 lacks.
    """
    if _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(map(_tcl_character, text)) + '"'


def _tcl_character(character: str) -> str:
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character if character.isalnum() or character == " " else "\\" + character
    if code > 0xFFFF or 0xD800 <= code < 0xE000:
        raise HwquantError(f"a Tcl script cannot hold the character U+{code:04X}; write something else")
    return f"\\u{code:04x}"


def tcl_comment(text: str) -> str:
    """A Tcl comment with a text in quotes, so that it neither ends the line nor joins the next to it."""
    return f"# {json.dumps(text)}"


def word(text: str, language: str) -> str:
    """A word of a language that has no escapes: LPF, PCF, CST, or an option's value on a command line.

    Raises
    ------
    HwquantError
        The text has characters that the language may take for its own, or begins as an option does.
    """
    if not _WORD.fullmatch(text):
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise HwquantError(
            f"{shown!a} cannot be written in {language}; use letters, digits, '_', '.', '/', '+', '-'"
        )
    return text


def lpf(text: str) -> str:
    """A name or value in Lattice's preference files, in quotes that nextpnr takes off, without escapes."""
    return f'"{word(text, "LPF")}"'


def megahertz(hertz: int) -> str:
    """A frequency as exact text in MHz: at most six decimals, and never an exponent."""
    whole, rest = divmod(hertz, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".")
