"""Features of the resource model: what a family's synthesis makes of an accelerator's facts.

:mod:`hwquant.rtl_templates.facts` says what there is. Here, what nothing reads and what never changes is left out,
delays become shift registers where a family has such, memories become RAM or logic, and all is summed up by the parts
of the hierarchy that a netlist's names tell apart. What a bit of each costs is a family's coefficient
(:mod:`hwquant.boards.resources`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from hwquant.boards.budget import dsp_budget
from hwquant.boards.contents import DIVISOR, Contents, as_synthesized, kept, used_columns
from hwquant.boards.families.family import Device, Family
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.memories import MemoryResources, memory_resources
from hwquant.boards.pins import LinkKind
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.board import EthernetAccelerator, SerialAccelerator, UsbAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import blocks_of
from hwquant.rtl_templates.facts import KNOWN, Facts, Inside
from hwquant.rtl_templates.jobs import pixel_layout
from hwquant.rtl_templates.requantize import FINE
from hwquant.rtl_templates.sdram import SdramController
from hwquant.rtl_templates.sdram_chips import SDRAMS

PARTS = {
    *("array", "array.pe", "collector", "collector.accumulator", "collector.requantize", "weights", "memory"),
    *("feed", "streamer", "sequencer", "dispatcher", "parameter_reader", "writer", "host", "registers"),
    *("host.packer", "banks", "mover"),
}
"""Parts of the accelerator; what is in none of them is in the part "top", or "link" around the accelerator."""

LINK_PARTS = {
    "link",
    "deframer",
    "framer",
    "receiver",
    "transmitter",
    "port",
    "request",
    "response",
    "leaving",
    "frames",
    "results",
    "loader",
    "controller",
}

SAME = {
    "array": ("swaps", "loads"),
    "array.pe": ("swap", "shadow", "active", "digits", "packed"),
}
"""What several arrays have of weights, which are the same in all: synthesis makes it once."""


@dataclass
class Features:
    """The features of one part of the hierarchy.

    Attributes
    ----------
    lut : dict of str to float
        Bits that become LUTs, by name of the feature.
    ff : dict of str to float
        Bits that become flip-flops, by name of the feature.
    dsp : float
        Number of DSP multipliers.
    ram : float
        Number of block RAMs.
    chains : float
        Number of adders, subtracters, counters and comparisons: carry chains.
    distributed : float
        Number of LUTs of distributed RAM.
    """

    lut: dict[str, float] = field(default_factory=dict)
    ff: dict[str, float] = field(default_factory=dict)
    dsp: float = 0.0
    ram: float = 0.0
    chains: float = 0.0
    distributed: float = 0.0


def part_named(path: str) -> str:
    """The part of the model to which a component belongs by its path, or a cell by its name in a netlist."""
    names = path.removeprefix("board.").removeprefix("accelerator.").split(".")
    names[0] = names[0].rstrip("0123456789")  # of several arrays
    if names[:2] == ["array", "pair"]:  # what two elements multiply with
        return "array.pe"
    for part in (".".join(names[:2]), names[0]):
        if part in PARTS:
            return part
    return "link" if names[0] in LINK_PARTS else "top"


def facts_for(config: ArrayConfig, device: Device, *, link: bool, kind: LinkKind = "uart") -> Facts:
    """The facts of what is synthesized: an accelerator, or a board's top with it and a ``link`` of a kind."""
    budget, loadable = dsp_budget(config, device), weights_in_large_ram(config, device)
    if not link:
        return Accelerator.facts(config, budget, loadable=loadable)
    if kind == "uart":
        facts = SerialAccelerator.facts(config, DIVISOR, device.family.window, budget, loadable=loadable)
    else:
        top = UsbAccelerator if kind == "usb" else EthernetAccelerator
        facts = top.facts(config, device.family.window, budget, loadable=loadable)
    # Which chip of its width it is makes little difference.
    chip = next((chip for chip in SDRAMS.values() if chip.data_bits == config.external_bits), None)
    cells = device.family.sdram
    if chip is None or cells is None:
        return facts
    controller = Inside("controller", SdramController.facts(chip, cells.most_hertz))
    return replace(facts, inside=[*facts.inside, controller])


def features_of(facts: Facts, config: ArrayConfig, family: Family, contents: Contents) -> dict[str, Features]:
    """Sum up the features of an accelerator by part of the hierarchy.

    Parameters
    ----------
    facts : Facts
        Facts of the accelerator; see :func:`facts_for`.
    config : ArrayConfig
        Configuration of the accelerator.
    family : Family
        Family of the device.
    contents : Contents
        What of the read-only memories is hardware.
    """
    parts: dict[str, Features] = {}
    shares = _shares(config, contents)
    for path, count, component in kept(facts, config):
        part = part_named(path)
        # DSP blocks take more or less of what is around the product, so these elements have their own coefficients.
        block = part == "array.pe" and any(item.products for _, _, item in component.walk())
        total, own = parts.setdefault(part, Features()), _of_component(component, family, contents)
        total.dsp += count * own.dsp
        total.ram += count * own.ram
        total.chains += count * own.chains
        total.distributed += count * own.distributed
        for sums, values in ((total.lut, own.lut), (total.ff, own.ff)):
            for name, value in values.items():
                share = shares.get((part, name), shares.get((part, ""), 1.0))
                key = f"block {name}" if block else name
                sums[key] = sums.get(key, 0.0) + count * value * share
    if config.product_bits:
        top = parts.setdefault("top", Features())
        top.lut[KNOWN] = product_luts(config) + top.lut.get("factors", 0.0)
    if "mover" in parts:  # which no fit has seen yet: a LUT for each bit
        parts["mover"].lut = {KNOWN: sum(parts["mover"].lut.values())}
    for name in ("taps", "entries"):  # before the elements: a netlist names them as the one or the other
        parts["array.pe"].lut[name] = parts["array"].lut.get(name, 0.0)
    return parts


def product_luts(config: ArrayConfig) -> float:
    """LUTs around the multipliers of two activations, which no fit has seen yet: one a bit of each choice and adder.

    A zero point is chosen and taken from an activation; its product or the array's sum is chosen, and the marks of
    either. That a factor is kept in front of a block with registers is another one a bit.
    """
    columns = config.arrays * min(config.columns, config.lanes)
    return columns * (2 * config.product_bits + 1 + config.added_bits) + pixel_layout().size


def _of_component(facts: Facts, family: Family, contents: Contents) -> Features:
    """The features of one component without those within it."""
    lut = Counter[str]({**facts.adders, **facts.muxes, **facts.gates})
    ff = Counter[str](facts.registers)
    ff.subtract(facts.redundant)
    dsp = ram = 0.0
    luts = family.shift_registers
    for delay in facts.delays:
        if luts and delay.cycles >= luts.least:
            lut["delays"] += delay.width * -(-delay.cycles // luts.bits)
        else:
            ff["delays"] += delay.width * delay.cycles
    for a_bits, b_bits in facts.products:
        blocks = blocks_of(family.dsp, a_bits, b_bits, family.dsp.least_product)
        dsp += blocks
        lut["split"] += a_bits + b_bits if blocks > 1 else 0
    for shape in facts.memories:
        memory = as_synthesized(shape, contents)
        if memory is not None:
            made = memory_resources(memory, family)
            ram += _add_memory(made, memory.depth, lut, ff)
            if shape.register and made.registered:
                ff[shape.register] -= shape.width * shape.reads
    chains = sum(bits > 0 for bits in facts.adders.values())
    return Features(dict(lut), dict(ff), dsp, ram, chains, lut[KNOWN])


def _add_memory(ram: MemoryResources, depth: int, lut: Counter[str], ff: Counter[str]) -> float:
    """Add the features of a memory of so many words, and return how many block RAMs it takes."""
    lut[KNOWN] += ram.luts
    lut["memory choice"] += ram.chosen_bits
    lut["memory tables"] += ram.table_bits
    lut["memory registers"] += ram.register_bits
    lut["memory emulation"] += ram.emulated_bits
    ff["memory outputs"] += ram.output_bits + ram.address_bits
    ff["memory registers"] += ram.register_bits
    ff["memory emulation"] += ram.emulated_bits
    ff["memory emulation, addresses"] += index_bits(depth) if ram.emulated_bits else 0
    return ram.blocks


def _shares(config: ArrayConfig, contents: Contents) -> dict[tuple[str, str], float]:
    """The share that synthesis keeps, by part and feature; the feature "" stands for all others of a part.

    Bits that are the same in all words of a table are the same in the registers behind it, and shifters need no stage
    for them. Columns beyond the lanes are read by nothing; but products of requantization have the attribute "keep",
    and so has what leads to them.
    """
    fine = min(FINE, config.shift_bits)
    coarse = config.shift_bits - fine
    parameters = contents.parameters / config.parameter_bits
    read = min(config.columns, config.lanes) / config.columns
    summed = used_columns(config) / config.columns
    return {
        **{(part, name): 1 / config.arrays for part, names in SAME.items() for name in names},
        ("sequencer", "word"): contents.program / program_bits(config),
        ("parameter_reader", "bus"): parameters,
        ("collector", "bus"): parameters,
        ("collector", "bias"): summed * parameters,
        ("collector", "multiplier"): summed * parameters,
        ("collector", "shift"): read * parameters,
        ("collector", "maximum"): read,
        ("collector", "columns"): read,
        ("collector.requantize", "coarse"): read * (contents.shift >> FINE).bit_count() / max(1, coarse),
        ("collector.requantize", "fine"): read * (contents.shift & ((1 << FINE) - 1)).bit_count() / fine,
        **{("collector.requantize", name): summed for name in ("product", "multiplied", "split")},
        ("collector.requantize", ""): read,
    }
