"""The command line: one module a command, each with its options.

Exit status: 0 if what was asked is true, 1 if it is not (a simulation differs from the golden model, a network does
not fit a board), 2 for an error, 130 after Ctrl-C and 143 after SIGTERM. With ``--json`` a command prints one JSON
object on stdout, whatever happens, and everything else goes to stderr. For an error that is::

    {"error": {"kind": KIND, "message": TEXT, ...}}

with the error's own fields, where it has some: "where" and "operator" of what is unsupported; "resource", "needed",
"available" and "remedy" of what does not fit; "path" of what is damaged; "package" and "extra" of what is missing;
"exception" of what nobody foresaw. The kinds (``hwquant.cli.outcome.KINDS``): invalid, unsupported, does_not_fit,
damaged, busy, missing_package, tool_stopped, memory_fault, usage, interrupted, internal. For ``--help`` and
``--version`` it is ``{"text": TEXT}``.
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

COMMANDS = {
    "quantize": "Quantize MODEL to integers, calibrated on CALIB.npz.",
    "progressive": "Quantize MODEL part by part, with fine-tuning in between.",
    "prune": "Prune MODEL in groups, retrain it, and quantize it.",
    "search": "Search the bits of each layer of MODEL: accuracy and costs.",
    "optimize": "Find the best network for a board: array, bits and pruning.",
    "evaluate": "Accuracy of MODEL on DATA.npz, in float or in integers.",
    "compare": "Compare NET.hwq with the quantized MODEL that it was made of.",
    "compile": "Compile NET.hwq for one or several arrays, or for a board.",
    "simulate": "Simulate BUILD and compare it with the golden model.",
    "regress": "Verify the configurations of FILE.toml by simulation.",
    "boards": "List the boards that builds can be made for.",
    "fit": "Whether NET.hwq fits a board, on which array, and how fast.",
    "build": "Make the bitstream of BUILD for a board.",
    "program": "Load the bitstream of `hwquant build` into a board.",
    "run": "Run BUILD on a board and compare it with the golden model.",
    "estimate": "Cycles, utilization and memories of BUILD, layer by layer.",
    "report": "Write BUILD/report.html again, from what BUILD holds.",
    "inspect": "What is in a model, an integer network or a build.",
    "truncate": "Truncate MODEL's parameters, and report what it costs.",
    "export": "Write NET.hwq as an ONNX model of standard operators.",
    "core": "Write BUILD's accelerator as a core with a bus.",
    "prove": "Prove what is claimed of the components of BUILD's core.",
    "demo": "Quantize, compile and simulate a small network.",
}
"""What each command does: the first sentence of its help, here so that the list of commands loads none of them."""

COMPLETION = "_HWQUANT_COMPLETE"
"""Environment variable of a shell that asks how a command line may go on."""


class Commands(click.Group):
    """The group of all commands; an error of any becomes one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(f"hwquant.cli.{cmd_name}"), cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments as they were typed, as reports name the command that made them."""
        ctx.obj = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an exit that is none of ours is an error."""
        try:
            return super().invoke(ctx)
        except SystemExit as error:  # of a library, or of the user's Python: no status of ours
            raise RuntimeError(f"something that it uses called exit({error.code!r})") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the first sentence of each, whole."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, and exit unless ``standalone_mode`` is False."""
        arguments = list(sys.argv[1:] if args is None else args)
        if not standalone_mode or COMPLETION in os.environ:
            return super().main(arguments, prog_name, complete_var, standalone_mode, **extra)

        def command() -> None:
            if any("\0" in item for item in arguments):
                raise click.UsageError("an argument holds a NUL character, which no name can have")
            with self.make_context("hwquant", arguments, **extra) as context:
                self.invoke(context)

        sys.exit(outcome.run(command, lambda: outcome.asked(self, arguments)))


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
