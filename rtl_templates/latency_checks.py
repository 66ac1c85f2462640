"""Whether the accelerator's components are as late as others count on."""

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.program.latencies import FEED_LATENCY, MEMORY_LATENCY, PRODUCT_LATENCY
from hwquant.rtl_templates.accumulator import Accumulator
from hwquant.rtl_templates.activations import ActivationFeed, ActivationMemory
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.collector import Collector
from hwquant.rtl_templates.delay import check_latency
from hwquant.rtl_templates.host import HostPort
from hwquant.rtl_templates.products import Products
from hwquant.rtl_templates.weights import WeightLoader


def check_latencies(
    config: ArrayConfig,
    memory: ActivationMemory,
    host: HostPort,
    feed: ActivationFeed,
    weights: WeightLoader,
    array: SystolicArray,
    collector: Collector,
) -> None:
    """Check that the components are as late as the cycle model, the dispatcher and each other count on."""
    at_edge = memory.latency + feed.latency
    at_bottom = at_edge + array.latency
    written = at_bottom + collector.latency
    for what, found, expected in (
        ("reading the activation memory", memory.latency, MEMORY_LATENCY),
        ("reading it as the host does", memory.latency, host.read_latency),
        ("the way of a pixel to the array", at_edge, FEED_LATENCY),
        ("the way of a weight to the array", weights.latency, FEED_LATENCY),
        ("the way of a pixel through the array", at_bottom, config.array_latency),
        ("a product of two activations", Products.latency, PRODUCT_LATENCY),
        ("requantization", collector.requantizers[0].latency, config.requantize_latency),
        ("the way of a pixel back to the memory", written, config.write_latency),
        ("a layer, until the next may begin,", written + memory.write_latency, config.drain_latency),
        ("an accumulator, until it may be visited again,", Accumulator.latency + 1, ACCUMULATE_HAZARD),
    ):
        check_latency(what, found, expected)
