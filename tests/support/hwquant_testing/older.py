"""Programs as they were before layers overlapped."""

from dataclasses import replace

from hwquant.program.compiler import compile_network


def without_overlap(qgraph, array, **options):
    """Compile a network for the array that it needs, but that begins no layer before the one before it is written."""
    config = replace(compile_network(qgraph, array, **options).config, overlap=False)
    return compile_network(qgraph, array, config=config)
