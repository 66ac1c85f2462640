"""Each component's latency, measured; and what happens where one is not what others count on."""

import gc
import re
from functools import partial

import pytest
from amaranth.hdl import Fragment, signed
from hwquant_testing.clocked import trace

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates import array, collector, core
from hwquant.rtl_templates.accumulator import Accumulator
from hwquant.rtl_templates.activations import ActivationFeed, ActivationMemory
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.collector import Collector
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.delay import Skew
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.pe import ProcessingElement
from hwquant.rtl_templates.requantize import Requantizer
from hwquant.rtl_templates.soft_product import SoftProduct
from hwquant.rtl_templates.streamer import Streamer
from hwquant.rtl_templates.streams import StreamRegister
from hwquant.rtl_templates.taps import LineDelay, TapLines
from hwquant.rtl_templates.ternary_product import TernaryProduct
from hwquant.rtl_templates.weights import WeightLoader

CONFIGS = {
    "edge": ArrayConfig(4, 3),
    "sum": ArrayConfig(3, 4, offset="sum"),
    "sum, channel offsets": ArrayConfig(3, 2, offset="sum", channel_offsets=True),
    "multiplier": ArrayConfig(2, 5, multiplier_bits=9),
    "products": ArrayConfig(2, 3, product_bits=8),
    "depthwise": ArrayConfig(6, 4, tap_lines=2),
    "odd weights": ArrayConfig(4, 3, offset="none", weight_bits=1, adjusted_bits=2, odd_weights="all"),
    "ternary": ArrayConfig(
        4, 3, offset="none", weight_bits=1, adjusted_bits=2, odd_weights="all", ternary=True
    ),
    "ternary, some odd": ArrayConfig(4, 3, adjusted_bits=2, odd_weights="some", ternary=True),
}
AFTER = 40

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.fixture(autouse=True)
def components_that_are_only_asked():
    """They are gone before the test ends, where Amaranth may warn that nobody elaborated them."""
    yield
    gc.collect()


def measured(make, prefix, rest, pulse, output, index=None):
    """Cycles from a pulse at an input to the first one in which an output is not what it is without the pulse.

    ``index`` chooses one of an array's values.
    """
    first = list(prefix)
    plain = trace(make(), [*first, *[rest] * AFTER], [output])
    other = trace(make(), [*first, rest | pulse, *[rest] * (AFTER - 1)], [output])
    changed = [
        cycle
        for cycle, (a, b) in enumerate(zip(plain, other))
        if (a != b if index is None else a[output][index] != b[output][index])
    ]
    assert changed, f"{output} does not depend on {pulse}"
    return changed[0] - len(first)


def element(product=None, stages=2):
    bits = 2 if product is TernaryProduct else 8
    widths = {"activation_bits": 8, "operand_bits": bits, "sum_bits": 16, "next_bits": 17}
    return ProcessingElement(**widths, product=product, stages=stages)


PE_PREFIX = [{"weight": 1, "load": 1}, {"load": 0, "swap": 1}]


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("product", [None, SoftProduct, TernaryProduct])
def test_latency_of_a_processing_element_is_the_measured_one(product, stages):
    quiet = {"x": 0, "swap": 0}
    latency = measured(lambda: element(product, stages), PE_PREFIX, quiet, {"x": 7}, "sum_next")
    assert latency == element(product, stages).latency == 2 + stages
    for pulse, output in (({"x": 7}, "x_next"), ({"sum": 7}, "sum_next"), ({"swap": 1}, "swap_next")):
        rest = dict.fromkeys(pulse, 0)
        assert measured(element, [], rest, pulse, output) == ProcessingElement.step


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("product", [SoftProduct, TernaryProduct])
def test_latency_of_a_product_of_look_up_tables_is_the_measured_one(product, stages):
    rest = {"x": 0, "swap": 0}
    make = partial(product, 8, 2, stages=stages)
    latency = measured(make, [{"weight": 1, "swap": 1}], rest, {"x": 7}, "product")
    assert latency == make().latency == element(stages=stages).product_latency


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_latency_of_the_array_is_the_measured_one(config):
    load = {"weights.weight": [1] * config.columns, "weights.load": -1, "swap": 0, "x": [0] * config.rows}
    fill = [load] * (config.rows + config.columns + 1)
    prefix = [*fill, load | {"weights.load": 0, "swap": 1}, *[load | {"weights.load": 0}] * 12]
    rest, pulse = {"weights.load": 0, "x": [0] * config.rows}, {"x": [9] * config.rows}
    for column in range(config.columns):
        made = SystolicArray(config)
        latency = measured(lambda: SystolicArray(config), prefix, rest, pulse, "sums", column)
        assert latency == made.latency + column


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_latency_of_collector_and_requantizer_is_the_measured_one(config):
    marks = dict.fromkeys(("valid", "first", "last", "pool_first", "pool_last"), 1)
    clamp = {"low": -128, "high": 127, "zero": 0}
    bus = {"bias": 0, "shift": 0} | ({"multiplier": 4} if config.multiplier_bits else {})
    parameters = marks | {"parameters": 1, "start": 1}
    rest = {"pixel": parameters, "clamp": clamp, "parameters.bus": bus, "sums": [0] * config.columns}
    pulse = {"sums": [64] + [0] * (config.columns - 1)}
    latency = measured(lambda: Collector(config), [rest] * 60, rest, pulse, "results.channels")
    assert latency == Collector(config).latency

    rest = {"total": 0, "low": -128, "high": 127} | ({"multiplier": 4} if config.multiplier_bits else {})
    latency = measured(lambda: Requantizer(config), [], rest, {"total": 100}, "value")
    assert latency == Requantizer(config).latency


def test_latency_of_an_accumulator_is_the_measured_one():
    config = CONFIGS["edge"]
    prefix = [{"first": 1, "bias": 50, "write_address": 3, "write_enable": 1}] * 3 + [{"write_enable": 0}]
    rest = {"first": 0, "bias": 0, "read_address": 0, "sum": 0}
    address = measured(lambda: Accumulator(config), prefix, rest, {"read_address": 3}, "total")
    assert address == Accumulator.latency
    total = measured(lambda: Accumulator(config), prefix, rest, {"sum": 5}, "total")
    assert total == Accumulator.sum_latency


def test_latency_of_activation_memory_and_feed_is_the_measured_one():
    config = CONFIGS["edge"]
    write = {"write.address": 3, "write.data": 0x1234, "write.enable": 1, "read.advance": 1}
    rest = {"write.enable": 0, "read.address": 0}
    for pause in (0, 1):  # the first read after a write already sees it
        prefix = [write, *[rest] * (ActivationMemory.write_latency - 1 + pause)]
        latency = measured(lambda: ActivationMemory(config), prefix, rest, {"read.address": 3}, "data")
        assert latency == ActivationMemory.latency

    rest = {"data": 0, "selection.outside": 0, "selection.pad": 5}
    feed = measured(lambda: ActivationFeed(config), [], rest, {"data": 1}, "x")
    assert feed == ActivationFeed.latency
    marks = measured(lambda: ActivationFeed(config), [], rest, {"selection.outside": 1}, "x")
    assert marks == ActivationMemory.latency + ActivationFeed.latency


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_latency_of_weight_loader_and_parameter_reader_is_the_measured_one(config):
    """The weight loader's first address is there in the cycle after a tile is taken."""
    rest, pulse = {"tile.start": 0}, {"tile.start": 1}
    weights = [(1 << (config.columns * config.slot_bits)) - 1] * 16
    latency = measured(lambda: WeightLoader(config, weights), [rest] * 3, rest, pulse, "weights.load")
    assert latency == 1 + WeightLoader.latency

    # The first word is always there, so the second one shows when the first one counts.
    rest, pulse = {"port.start": 0}, {"port.start": 1}
    latency = measured(lambda: ParameterReader(config, [1, 2, 3]), [rest] * 4, rest, pulse, "port.bus")
    assert latency == ParameterReader.latency + 1


@pytest.mark.parametrize("reverse", [False, True])
def test_latency_of_a_skew_is_the_measured_one(reverse):
    latest = 0 if reverse else 4
    latency = measured(
        lambda: Skew(signed(4), 5, reverse=reverse),
        [],
        {f"i{latest}": 0},
        {f"i{latest}": 3},
        f"o{latest}",
    )
    assert latency == Skew(signed(4), 5).latency


def test_latency_of_the_lines_of_a_depthwise_tile_is_the_measured_one():
    config = CONFIGS["depthwise"]
    rest, pulse = {"i": [0] * 4, "delay": LineDelay.latency}, {"i": [7] * 4}
    assert measured(lambda: LineDelay(config), [rest] * 9, rest, pulse, "o") == LineDelay.latency
    assert measured(lambda: TapLines(config), [rest] * 9, rest, pulse, "line1") == TapLines.latency


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_latency_of_the_streamer_is_the_measured_one(config):
    rest = {"tile.start": 0, "tile.job": {"count": 5, "address": 3}}
    for output in ("streaming", "read.address"):
        assert measured(lambda: Streamer(config), [], rest, {"tile.start": 1}, output) == Streamer.latency


def test_latency_of_a_stream_register_is_the_measured_one():
    latency = measured(lambda: StreamRegister(4), [], {"i.valid": 0}, {"i.valid": 1}, "o.valid")
    assert latency == StreamRegister.latency


def late(plain, attribute="latency"):
    """The component, one cycle later than it is, or so it says."""

    class Late(plain):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            setattr(self, attribute, getattr(self, attribute) + 1)

    return Late


@pytest.mark.parametrize(
    ("place", "name", "attribute", "what"),
    [
        (core, "ActivationMemory", "latency", "reading the activation memory takes 3 cycles, and 2"),
        (core, "ActivationMemory", "write_latency", "a layer, until the next may begin,"),
        (core, "ActivationFeed", "latency", "the way of a pixel to the array"),
        (core, "HostPort", "read_latency", "reading it as the host does"),
        (core, "WeightLoader", "latency", "the way of a weight to the array"),
        (core, "SystolicArray", "latency", "the way of a pixel through the array"),
        (core, "Collector", "latency", "the way of a pixel back to the memory"),
        (collector, "Requantizer", "latency", "requantization"),
        (collector, "Skew", "latency", "the way of a pixel back to the memory"),
    ],
)
def test_a_component_that_is_one_cycle_late_is_refused(place, name, attribute, what, monkeypatch):
    monkeypatch.setattr(place, name, late(getattr(place, name), attribute))
    with pytest.raises(HwquantError, match=f"^{re.escape(what)}.* are counted on; change the component"):
        Accelerator(CONFIGS["edge"]).elaborate(None)


@pytest.mark.parametrize("attribute", ["latency", "sum_latency"])
def test_an_accumulator_that_is_one_cycle_late_is_refused(attribute, monkeypatch):
    monkeypatch.setattr(Accumulator, attribute, getattr(Accumulator, attribute) + 1)
    with pytest.raises(HwquantError, match="are counted on"):
        Accelerator(CONFIGS["edge"]).elaborate(None)


def test_a_processing_element_that_is_one_cycle_late_is_refused(monkeypatch):
    monkeypatch.setattr(array.ProcessingElement, "sum_latency", ProcessingElement.sum_latency + 1)
    with pytest.raises(HwquantError, match="the way of a pixel through the array"):
        Accelerator(CONFIGS["edge"]).elaborate(None)


def test_a_product_or_a_line_delay_that_is_one_cycle_late_is_refused(monkeypatch):
    with pytest.raises(HwquantError, match="the product Late takes 4 cycles, and 3 are counted on"):
        Fragment.get(element(late(SoftProduct)), None)
    with pytest.raises(HwquantError, match="a line delay takes 4 cycles, and 3 are counted on"):
        Fragment.get(late(LineDelay)(CONFIGS["depthwise"]), None)
