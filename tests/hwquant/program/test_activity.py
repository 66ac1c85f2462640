"""Products and bytes, counted another way."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hwquant.program.activity import BYTE_PJ, PRODUCT_PJ, activity
from hwquant.program.compilation import lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.memories import memory_bits
from hwquant.qgraph import Layer


@pytest.mark.parametrize("array", [(4, 4), (8, 8), (16, 4), (4, 16)])
def test_products_are_pixels_of_the_tiles_that_are_executed(array, digits_qgraph):
    program = compile_network(digits_qgraph, array)
    layers = lowered_network(digits_qgraph)
    pixels = [math.prod(layer.pixels) * math.prod(layer.window) for layer in layers]
    expected = sum(
        (info.tiles - info.tiles_skipped) * count for info, count in zip(program.layers, pixels, strict=True)
    )
    found = activity(program)
    assert found.products == expected * math.prod(array)
    assert found.products >= program.useful_macs
    assert found.product_bits == 8 * program.config.operand_bits


def test_the_weights_of_one_block_are_read_once(digits_qgraph):
    """All that is read, memory by memory, where every layer is one block of pixels."""
    program = compile_network(digits_qgraph, (8, 8))
    config, found = program.config, activity(program)
    executed = sum(info.tiles - info.tiles_skipped for info in program.layers)
    assert executed == sum(info.jobs for info in program.layers)  # one block
    bits = memory_bits(config)
    pixels = found.products // 64
    outputs = sum(
        math.prod(layer.pixels) * math.prod(layer.window) for layer in lowered_network(digits_qgraph)
    )
    blocks = [-(-len(layer.bias) // 8) for layer in lowered_network(digits_qgraph)]
    first = sum(
        count * math.prod(layer.pixels) * math.prod(layer.window)
        for count, layer in zip(blocks, lowered_network(digits_qgraph), strict=True)
    )
    assert outputs <= first
    expected = (
        bits["weight"]
        + bits["parameter"]
        + bits["program"]
        + pixels * config.word_bits
        + (pixels - first) * config.columns * config.accumulator_bits
        + sum(item.words for item in program.outputs) * config.word_bits
    )
    assert found.bytes_read == expected / 8
    assert found.energy_nj == pytest.approx(
        (found.products * found.product_bits * PRODUCT_PJ + found.bytes_read * BYTE_PJ) / 1000
    )


def test_a_tile_of_zeros_costs_nothing(digits_qgraph):
    last = next(node for node in reversed(digits_qgraph.nodes) if isinstance(node, Layer))
    (term,) = last.terms
    codes = np.array(term.codes)
    zero = -int(np.ravel(term.offset)[0])
    codes[:8, :8] = zero
    pruned = replace(last, terms=(replace(term, codes=codes),))
    nodes = tuple(pruned if node is last else node for node in digits_qgraph.nodes)
    before = activity(compile_network(digits_qgraph, (8, 8)))
    after = activity(compile_network(replace(digits_qgraph, nodes=nodes), (8, 8)))
    assert after.products == before.products - codes.shape[2] * codes.shape[3] * 64
    assert after.bytes_read < before.bytes_read
