"""Odd weights, of mid-rise grids: what is stored of them, and that the hardware multiplies with what there is."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net, images

from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program import storage
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.sizing import Requirements
from hwquant.random_networks import Features, random_qgraph
from hwquant.sim.check import verify

PLUS_MINUS_1 = {"bits": 1, "step": 2, "offset": 1}
KINDS = ("none", "edge", "sum")


def verified(qgraph, program, simulator="amaranth"):
    """The program, which gives the golden model's integers in the predicted cycles, layer by layer."""
    result = verify(program, qgraph, images(qgraph, 2), simulator=simulator, watch=2)
    assert result.first is None, str(result.first)
    return program


def terms(qgraph, array, **options):
    """The terms that are executed, layer by layer."""
    compilation = Compilation(qgraph, lowered_network(qgraph), Requirements(array, **options))
    return [item.layer.terms for item in compilation.mapped]


def weights(term):
    return {int(value) for value in np.unique(term.weight)}


def test_plus_and_minus_one_are_a_stored_bit_and_need_no_multiplier():
    net = Net(x=(8, 5, 5))
    first = net.conv("x", 8, (3, 3), **PLUS_MINUS_1)
    net.pool(first, (2, 2))
    net.conv("pool1", 6, anchor="max", **PLUS_MINUS_1 | {"offset": -1})
    program = verified(net.build(), compile_network(net.build(), (4, 4)))
    config = program.config
    assert (config.weight_bits, config.odd_weights, config.ternary, config.offset) == (1, "all", True, "none")
    assert (config.operand_bits, config.carried_bits) == (2, 1)
    tiles = sum(layer.tiles for layer in program.layers)
    assert config.weight_packing * len(program.weights) <= tiles * 4 + 4 * config.weight_packing


@pytest.mark.parametrize(("bits", "offset"), [(2, "edge"), (2, "sum"), (7, "edge"), (8, "sum")])
def test_wider_grids_on_both_sides_of_zero_need_no_offset_either(bits, offset):
    net = Net(seed=bits, x=(4, 4, 4))
    net.conv("x", 5, (2, 2), bits=bits, step=2, offset=1)
    config = verified(net.build(), compile_network(net.build(), (4, 4), offset=offset)).config
    assert (config.weight_bits, config.operand_bits, config.offset) == (bits, bits + 1, "none")
    assert (config.odd_weights, config.ternary) == ("all", False)


@pytest.mark.parametrize("anchor", ["min", "max"])
@pytest.mark.parametrize("offset", ["edge", "sum"])
@pytest.mark.parametrize("own", [5, [5, -3, 1, 31, -1]])
def test_offsets_are_added_before_or_after_the_1_is_appended(anchor, offset, own):
    net = Net(x=(4, 4, 4))
    net.conv("x", 5, (2, 2), bits=2, step=2, offset=own, anchor=anchor)
    program = verified(net.build(), compile_network(net.build(), (4, 4), offset=offset))
    config = program.config
    assert (config.odd_weights, config.offset, config.channel_offsets) == ("all", offset, own != 5)


def test_lanes_without_a_channel_are_left_out_by_a_weight_of_zero():
    """Ten channels on four rows: eight with stored bits, and the other two stored as they are, zero among them."""
    net = Net(x=(4, 4, 4))
    first = net.conv("x", 10, **PLUS_MINUS_1)
    net.conv(first, 3, (2, 2), **PLUS_MINUS_1)
    qgraph = net.build()
    _, (full, rest) = terms(qgraph, (4, 4))
    assert (full.step, full.weight.shape[1], rest.step, rest.weight.shape[1]) == (2, 8, 1, 2)
    assert weights(full) == weights(rest) == {-1, 1}
    program = verified(qgraph, compile_network(qgraph, (4, 4)))
    assert (program.config.odd_weights, program.config.ternary) == ("some", True)
    whole = replace(net.nodes[1].terms[0], step=1, bits=2, codes=net.nodes[1].terms[0].weight.astype(np.int8))
    plain = replace(
        qgraph, nodes=(net.nodes[0], replace(net.nodes[1], terms=(replace(whole, offset=np.zeros(1, int)),)))
    )
    assert [layer.tiles for layer in compile_network(plain, (4, 4)).layers] == [
        layer.tiles for layer in program.layers
    ]


def test_the_networks_input_holds_zero_where_it_has_no_channel():
    net = Net(x=(3, 5, 5))
    net.conv("x", 4, (3, 3), padding=(1, 1, 1, 1), **PLUS_MINUS_1)
    assert [term.step for (term,) in terms(net.build(), (4, 4))] == [2]
    assert verified(net.build(), compile_network(net.build(), (4, 4))).config.odd_weights == "all"


@pytest.mark.parametrize(
    ("groups", "bits", "array"), [(2, 1, (6, 4)), (6, 8, (6, 4)), (2, 8, (9, 6)), (6, 1, (9, 6))]
)
def test_grouped_and_depthwise_weights_are_stored_with_zero_among_them(groups, bits, array):
    """Zeros lie between them in a tile; of 8 bits, they are several terms whose sum they are."""
    net = Net(seed=bits, x=(6, 3, 3))
    first = net.conv("x", 6, (1, 1), bits=bits, step=2, offset=3)
    net.conv(first, 6, (3, 3), groups=groups, bits=bits, step=2, offset=-1, padding=(1, 1, 1, 1))
    qgraph = net.build()
    _, found = terms(qgraph, array)
    whole = net.nodes[1].terms[0].weight
    assert [term.step for term in found] == [1] * -(-np.abs(whole).max() // 127)
    assert (len(found) > 1) == (bits == 8)
    assert np.array_equal(sum(term.weight for term in found), whole)
    verified(qgraph, compile_network(qgraph, array))


def test_shifted_and_residual_terms_are_stored_as_they_are():
    net = Net(x=(4, 4, 4))
    first = net.conv("x", 4, **PLUS_MINUS_1)
    net.layer(
        net.term(first, 4, (3, 3), padding=(1, 1, 1, 1), **PLUS_MINUS_1),
        net.term(first, 4, shift=3, **PLUS_MINUS_1),
        net.term(first, 4, codes=np.eye(4)[:, :, None, None], bits=2, shift=5),
    )
    qgraph = net.build()
    assert [term.step for term in terms(qgraph, (4, 4))[1]] == [2, 1, 1]
    assert verified(qgraph, compile_network(qgraph, (4, 4))).config.odd_weights == "some"


def test_weights_of_one_sign_and_far_from_zero_are_divided_or_refused():
    net = Net(x=(4, 3, 3))
    first = net.conv("x", 5, bits=2, step=2, offset=1)
    net.conv(first, 4, bits=2, step=2, offset=1001)
    assert len(terms(net.build(), (4, 4))[1]) == 1 + 8
    verified(net.build(), compile_network(net.build(), (4, 4)))
    net = Net(x=(4, 3, 3))
    first = net.conv("x", 5, bits=2, step=2, offset=1)
    net.conv(first, 4, bits=2, step=2, offset=10_001)
    with pytest.raises(Unsupported, match="layer 'layer1': weights that read 'layer0' are as large as"):
        compile_network(net.build(), (4, 4))


@pytest.mark.parametrize(("channels", "step"), [(5, 1), (8, 2)])
def test_odd_weights_fill_no_lanes_that_a_layer_without_zero_cannot_leave_out(channels, step):
    net = Net(x=(4, 3, 3))
    first = net.conv("x", channels, **PLUS_MINUS_1)
    net.conv(first, 4, bits=4, offset=300)
    qgraph = net.build()
    assert [term.step for term in terms(qgraph, (4, 4))[0]] == [step]
    verified(qgraph, compile_network(qgraph, (4, 4)))


def ternary_network(**first):
    net = Net(x=(4, 4, 4))
    name = net.conv("x", 4, (2, 2), **PLUS_MINUS_1 | first)
    net.pool(name, (2, 2), (1, 1))
    net.conv("pool1", 4, codes=np.random.default_rng(0).integers(-1, 2, (4, 4, 1, 1)), bits=2)
    return net.build()


def test_weights_of_at_most_1_need_no_multiplier_whatever_they_are_stored_as():
    qgraph = ternary_network()
    config = verified(qgraph, compile_network(qgraph, (4, 4))).config
    assert (config.odd_weights, config.ternary, config.operand_bits) == ("some", True, 2)
    assert not compile_network(ternary_network(bits=2), (4, 4)).config.ternary
    assert not compile_network(ternary_network(offset=3), (4, 4)).config.ternary
    ones = Net(x=(4, 4, 4))  # 0 and 1, stored as -1 and 0
    ones.conv("x", 4, (2, 2), bits=1, offset=1)
    config = verified(ones.build(), compile_network(ones.build(), (4, 4))).config
    assert (config.odd_weights, config.ternary, config.offset) == ("none", True, "edge")


@pytest.mark.parametrize("offset", [101, -255])
def test_lanes_that_no_stored_bit_leaves_out_widen_nothing(offset):
    """Idle columns would need a weight of zero; of odd ones that is far from what a bit stores, beside a sum column."""
    net = Net(x=(4, 3, 3))
    net.conv("x", 3, bits=1, step=2, offset=offset)
    qgraph = net.build()
    config = verified(qgraph, compile_network(qgraph, (4, 4), offset="sum")).config
    assert (config.weight_bits, config.operand_bits, config.ternary) == (1, 2, True)


# Hardware that exists


def roomy(config, **changes):
    sizes = {"activation_depth": 512, "weight_depth": 512, "parameter_depth": 64, "program_depth": 128}
    return replace(config, accumulator_bits=24, coordinate_bits=8, **sizes | changes)


def test_hardware_without_odd_weights_stores_them_as_they_are():
    qgraph = ternary_network()
    wide = roomy(ArrayConfig(4, 4, offset="none"))
    program = verified(qgraph, compile_network(qgraph, (4, 4), config=wide))
    assert program.config == wide
    narrow = replace(wide, weight_bits=1)
    with pytest.raises(DoesNotFit, match="the network needs weight_bits 2, the hardware has 1"):
        compile_network(qgraph, (4, 4), config=narrow)


@pytest.mark.parametrize("offset", ["edge", "sum"])
def test_hardware_with_odd_weights_executes_networks_without(offset):
    net = Net(x=(4, 4, 4))
    net.conv("x", 5, (2, 2), bits=4, offset=-3)
    config = roomy(ArrayConfig(4, 4, weight_bits=4, odd_weights="some", adjusted_bits=6, offset=offset))
    verified(net.build(), compile_network(net.build(), (4, 4), config=config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"odd_weights": "all", "adjusted_bits": 3},
            "needs weights that are not odd, the hardware has no others",
        ),
        ({"odd_weights": "some", "adjusted_bits": 2, "ternary": True}, "needs weights beyond -1, 0 and 1"),
        (
            {"odd_weights": "some", "adjusted_bits": 2},
            "the network needs adjusted_bits 4, the hardware has 2",
        ),
    ],
)
def test_hardware_that_lacks_weights_is_refused(changes, message):
    net = Net(x=(4, 4, 4))
    first = net.conv("x", 4, **PLUS_MINUS_1)
    net.conv(first, 4, bits=4)
    config = roomy(ArrayConfig(4, 4, weight_bits=4, offset="none", **changes))
    with pytest.raises(HwquantError, match=message):
        compile_network(net.build(), (4, 4), config=config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"odd_weights": "few"}, "odd_weights must be one of none, some, all, not 'few'"),
        ({"odd_weights": "all", "adjusted_bits": 1}, "odd weights have at least 2 bits"),
        ({"ternary": 1, "adjusted_bits": 2}, "ternary must be true or false, not 1"),
        ({"ternary": True}, "ternary weights have 2 bits, not 9"),
        (
            {"ternary": True, "weight_bits": 2, "offset": "sum", "channel_offsets": True},
            "channel offsets in a sum column are weights",
        ),
    ],
)
def test_configurations_that_contradict_themselves_are_refused(fields, message):
    with pytest.raises(HwquantError, match=message):
        ArrayConfig(4, 4, **fields)


# Files


def test_a_file_says_of_odd_weights_only_where_there_are_some(tmp_path):
    qgraph = ternary_network()
    ordinary = Net(x=(4, 4, 4))
    ordinary.conv("x", 4)
    for name, network, has in (("a", qgraph, {"odd_weights", "ternary"}), ("b", ordinary.build(), set())):
        program, path = compile_network(network, (4, 4)), tmp_path / f"{name}.hwp"
        storage.save(program, path)
        loaded = storage.load(path)
        assert loaded.config == program.config
        assert loaded.checksum == program.checksum
        known = {"odd_weights", "ternary"} & program.config.to_json().keys()
        assert known == has
    keys = {
        ArrayConfig(4, 4, weight_bits=2, adjusted_bits=2, odd_weights=odd, ternary=ternary).key
        for odd in ("none", "some", "all")
        for ternary in (False, True)
    }
    assert len(keys) == 6


# Random networks


def random_network(seed):
    rng = np.random.default_rng(seed)
    features = Features(
        layers=(1, 2),
        size=(3, 6),
        steps=(2,) if seed % 2 else (1, 2),
        weight_bits=(1, 8) if seed % 3 else (1, 1),
        offsets=bool(seed % 4),
        multiplier=seed % 5 == 0,
    )
    return random_qgraph(rng, features), [(4, 4), (3, 5), (6, 3), (2, 4), (9, 4)][seed % 5]


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_give_the_golden_models_integers(seed):
    qgraph, array = random_network(seed)
    program = compile_network(qgraph, array, offset=["auto", "edge", "sum"][seed % 3])
    verified(qgraph, program)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 160))
@pytest.mark.parametrize("offset", ["edge", "sum"])
def test_many_random_networks_give_the_golden_models_integers(seed, offset):
    qgraph, array = random_network(seed)
    verified(qgraph, compile_network(qgraph, array, offset=offset), "cxxrtl")


@pytest.mark.parametrize(
    "simulator",
    ["verilator", *nightly(("icarus", "cxxrtl"))],
)
def test_every_simulator_agrees(simulator):
    qgraph = ternary_network(offset=[1, -1, 3, 1])
    verified(qgraph, compile_network(qgraph, (4, 4)), simulator)
