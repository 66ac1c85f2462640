"""``python -m hwquant.cli``: the command line without its script."""

from hwquant.cli import main

main(prog_name="hwquant")
