"""The command line: one module a command, each with its options.

Exit status: 0 if what was asked is true, 1 if it is not (a simulation differs from the golden model, a network does
not fit a board), 2 for an error, 130 after Ctrl-C. With ``--json`` a command prints one JSON object on stdout, for an
error ``{"error": ...}``, and everything else goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from hwquant import __version__
from hwquant.errors import HwquantError

COMMANDS = (
    "quantize",
    "progressive",
    "prune",
    "search",
    "evaluate",
    "compile",
    "simulate",
    "boards",
    "fit",
    "build",
    "program",
    "run",
    "estimate",
    "report",
    "inspect",
    "truncate",
    "export",
    "core",
    "demo",
)
ERROR, INTERRUPTED = 2, 130


class Commands(click.Group):
    """Imports a command when it is used, and turns every expected error into one line and a status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(f"hwquant.cli.{cmd_name}"), cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keeps the arguments as they were typed: reports name the command that made them."""
        ctx.obj = tuple(args)
        return super().parse_args(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; exits unless ``standalone_mode`` is False."""
        arguments = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(arguments, prog_name, complete_var, False, **extra)
        try:
            status = super().main(arguments, prog_name, complete_var, False, **extra)
        except HwquantError as error:
            status = _fail(str(error), arguments)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "hwquant"
            status = _fail(f"{error.format_message()} (try: {command} --help)", arguments)
        except click.ClickException as error:
            status = _fail(error.format_message(), arguments)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            status = INTERRUPTED
        except BrokenPipeError:
            # The reader has gone, as in `hwquant inspect ... | head`: Python must not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        sys.exit(status or 0)


def _fail(message: str, arguments: Sequence[str]) -> int:
    line = " ".join(message.split())
    click.echo(f"error: {line}", err=True)
    if "--json" in arguments:
        click.echo(json.dumps({"error": line}))
    return ERROR


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hwquant")
def main() -> None:
    """A trained neural network goes in, verified Verilog comes out."""
