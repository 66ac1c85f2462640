"""``python -m hwquant.cli``: the command line without its script."""

from hwquant.cli import main

if __name__ == "__main__":
    main(prog_name="hwquant")
