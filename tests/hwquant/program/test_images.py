"""The contents of the parameter memory: biases that share low zeros."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net
from hwquant_testing.small_networks import images as samples

from hwquant import golden
from hwquant.errors import DoesNotFit
from hwquant.golden.reference import run
from hwquant.program import storage
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.images import LEAST_ZEROS
from hwquant.program.memories import memory_bits
from hwquant.qgraph import Layer
from hwquant.quantize.narrow_bias import narrow_bias
from hwquant.random_networks import Features, random_qgraph
from hwquant.sim.check import verify

SMALL = Features(layers=(1, 2), channels=(3, 7), size=(3, 5), weight_bits=(4, 8), activation_bits=(6, 8))
CASES = {
    "shifts": (SMALL, (4, 4)),
    "multipliers": (replace(SMALL, multiplier=True, pools=(), concat=False), (3, 6)),
    "residual": (replace(SMALL, inputs=2, residual=True), (6, 4)),
}


def network(kind, seed=0):
    """A random network; with multipliers in all of its layers or in none, as the quantizer has it."""
    made = random_qgraph(np.random.default_rng(seed), CASES[kind][0])
    if kind != "multipliers":
        return made
    one = np.ones(1, np.int64)
    nodes = tuple(
        replace(node, multiplier=one) if isinstance(node, Layer) and node.multiplier is None else node
        for node in made.nodes
    )
    return replace(made, nodes=nodes)


def narrowed(qgraph, zeros):
    """The network with all constants rounded to multiples of ``2^zeros``."""
    points = {name: tensor.zero_point for name, tensor in qgraph.tensors.items()}

    def change(layer):
        constant = layer.constant(points)
        wanted = (constant + (1 << (zeros - 1))) >> zeros << zeros
        return replace(layer, bias=layer.bias + wanted - constant)

    nodes = tuple(change(node) if isinstance(node, Layer) else node for node in qgraph.nodes)
    return replace(qgraph, nodes=nodes)


def images(qgraph, count):
    rng = np.random.default_rng(1)
    inputs = [qgraph.tensors[item.name] for item in qgraph.inputs]
    return {item.name: rng.integers(*item.limits, (count, *item.shape), endpoint=True) for item in inputs}


@pytest.mark.parametrize("kind", CASES)
def test_shared_zeros_are_not_stored_and_nothing_else_changes(kind):
    made, array = network(kind), CASES[kind][1]
    narrow = narrowed(made, 6)
    before, program = compile_network(made, array), compile_network(narrow, array)
    config = program.config
    assert before.config.bias_bits == before.config.bias_zeros == 0
    assert config.bias_zeros >= 6
    assert not (program.bias % (1 << config.bias_zeros)).any()
    assert program.words == before.words or config.accumulator_bits != before.config.accumulator_bits
    saved = (
        memory_bits(replace(config, bias_bits=0, bias_zeros=0))["parameter"]
        - memory_bits(config)["parameter"]
    )
    assert saved == config.parameter_depth * (config.accumulator_bits - config.bias_bits)
    assert saved >= config.parameter_depth * 6
    result = verify(program, narrow, images(narrow, 1), simulator="amaranth", watch=1)
    assert result.first is None, str(result.first)
    assert timing(program).cycles == timing(before).cycles == result.cycles


def test_a_few_zeros_come_about_by_chance_and_are_stored():
    made = network("shifts")
    program = compile_network(narrowed(made, LEAST_ZEROS - 1), (4, 4))
    assert program.config.bias_zeros in (0, *range(LEAST_ZEROS, 48))
    assert compile_network(narrowed(made, LEAST_ZEROS), (4, 4)).config.bias_zeros >= LEAST_ZEROS


def test_hardware_for_narrow_biases_takes_these_and_no_others():
    made = network("shifts")
    program = compile_network(narrowed(made, 5), (4, 4))
    zeros = program.config.bias_zeros
    roomy = replace(program.config, accumulator_bits=40, bias_bits=30)
    again = compile_network(narrowed(made, zeros + 1), (4, 4), config=roomy)
    assert again.config == roomy
    with pytest.raises(DoesNotFit, match=rf"low zeros, the hardware leaves out {zeros}"):
        compile_network(made, (4, 4), config=roomy)
    tight = replace(roomy, bias_bits=2)
    with pytest.raises(DoesNotFit, match=r"needs bias_bits \d+, the hardware has 2"):
        compile_network(narrowed(made, zeros + 1), (4, 4), config=tight)
    whole = replace(program.config, accumulator_bits=40, bias_bits=0, bias_zeros=0)
    assert compile_network(made, (4, 4), config=whole).config == whole


def test_the_golden_model_knows_nothing_of_it():
    made = network("shifts", 2)
    points = {name: tensor.zero_point for name, tensor in made.tensors.items()}
    nodes = tuple(narrow_bias(node, 6, points) if isinstance(node, Layer) else node for node in made.nodes)
    narrow = replace(made, nodes=nodes)
    q = images(narrow, 3)
    for name, values in run(narrow, q).items():
        assert np.array_equal(golden.run(narrow, q, keep=[name])[name], values)


def of_shifts(first, second, **options):
    """Layers of these shifts, whose channels do not fill the columns."""
    net = Net(x=(3, 5, 5))
    net.conv("x", 5, (3, 3), shift=first, offset=5, **options)
    net.conv("layer0", 3, (2, 2), shift=second, offset=-3)
    return net.build()


@pytest.mark.parametrize(
    ("first", "second", "least", "bits"), [(7, 9, 7, 2), (9, 9, 9, 1), (8, 0, 0, 4), (6, 13, 6, 3)]
)
def test_the_least_shift_is_left_out_and_nothing_else_changes(first, second, least, bits):
    made = of_shifts(first, second)
    program = compile_network(made, (4, 4))
    config = program.config
    assert (config.least_shift, config.shift_bits) == (least, bits)
    field = [word >> config.stored_bias_bits & (1 << bits) - 1 for word in program.parameter_image]
    assert (np.array(field) + least).tolist() == program.shift.tolist()
    whole = replace(config, least_shift=0, shift_bits=4, accumulator_bits=config.accumulator_bits + 1)
    before = compile_network(made, (4, 4), config=whole)
    assert program.words == before.words
    assert timing(program) == timing(before)
    result = verify(program, made, samples(made, 2), simulator="icarus", watch=2)
    assert (result.samples, result.mismatches) == (2, 0), result.first


@pytest.mark.parametrize("second", [9, 0])
def test_a_file_says_which_shift_is_left_out(second, tmp_path):
    program = compile_network(of_shifts(7, second), (4, 4))
    storage.save(program, tmp_path / "net.hwp")
    again = storage.load(tmp_path / "net.hwp")
    assert (again.config, again.parameter_image) == (program.config, program.parameter_image)
    assert ("least_shift" in again.config.to_json()) == (second > 0)


def test_with_multipliers_the_least_shift_is_one_less():
    made = of_shifts(12, 9, multiplier=[1, 2, 77, 400, 3267])
    program = compile_network(made, (4, 4))
    assert program.config.least_shift == 8
    assert program.shift.min() == 8
    result = verify(program, made, samples(made, 2), simulator="icarus", watch=2)
    assert (result.samples, result.mismatches) == (2, 0), result.first


def test_hardware_has_no_shift_below_its_least_one():
    config = compile_network(of_shifts(7, 9), (4, 4)).config
    assert compile_network(of_shifts(8, 8), (4, 4), config=config).config == config
    with pytest.raises(DoesNotFit, match="needs a shift of 6, the hardware has none below 7"):
        compile_network(of_shifts(6, 9), (4, 4), config=config)
    with pytest.raises(DoesNotFit, match="needs shift_bits 3, the hardware has 2"):
        compile_network(of_shifts(7, 11), (4, 4), config=config)
