"""LiteRT in a process of its own: a damaged file can end it.

Each line of the input is a file; the answer is "read", or "refused: " and why.
"""

import sys


def main() -> None:
    """Answer until the input ends."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    for line in sys.stdin:
        try:
            interpreter = Interpreter(
                line.rstrip("\n"),
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            print("refused:", *str(error).split(), flush=True)
        else:
            print("read", flush=True)


if __name__ == "__main__":
    main()
