"""The command line: one module a command, each with its options.

Exit status: 0 if what was asked is true, 1 if it is not (a simulation differs from the golden model, a network does
not fit a board), 2 for an error, 130 after Ctrl-C and 143 after SIGTERM. With ``--json`` a command prints one JSON
object on stdout, whatever happens, and everything else goes to stderr. For an error that is::

    {"error": {"kind": KIND, "message": TEXT, ...}}

with the error's own fields, where it has some: "where" and "operator" of what is unsupported; "resource", "needed",
"available" and "remedy" of what does not fit; "path" of what is damaged; "package" and "extra" of what is missing;
"exception" of what nobody foresaw. The kinds (``hwquant.cli.outcome.KINDS``): invalid, unsupported, does_not_fit,
damaged, busy, missing_package, tool_stopped, usage, interrupted, internal. For ``--help`` and ``--version`` it is
``{"text": TEXT}``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from hwquant import __version__
from hwquant.cli import outcome

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


COMPLETION = "_HWQUANT_COMPLETE"
"""Set by a shell that asks how a command line may go on."""


class Commands(click.Group):
    """Imports a command when it is used, and turns every error into one line and a status."""

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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SystemExit as error:  # of a library, or of the user's Python: no status of ours
            raise RuntimeError(f"something that it uses called exit({error.code!r})") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands with the first sentence of each, whole."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(limit=1000)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

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
        if not standalone_mode or COMPLETION in os.environ:
            return super().main(arguments, prog_name, complete_var, standalone_mode, **extra)

        def command() -> None:
            if any("\0" in item for item in arguments):
                raise click.UsageError("an argument holds a NUL character, which no name can have")
            with self.make_context("hwquant", arguments, **extra) as context:
                self.invoke(context)

        sys.exit(outcome.run(command, outcome.asked(self, arguments)))


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True
)
@click.version_option(__version__, prog_name="hwquant")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Print the traceback of an error (HWQUANT_DEBUG=1 does too).",
)
@click.pass_context
def main(context: click.Context) -> None:
    """A trained neural network goes in, verified Verilog comes out."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
