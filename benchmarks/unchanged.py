"""Digests of what hwquant makes of many networks, to show that a change of its structure changed nothing.

    python benchmarks/unchanged.py make BEFORE.json        in a checkout of the commit before
    python benchmarks/unchanged.py make AFTER.json         in one of the commit after, with its hwquant installed
    python benchmarks/unchanged.py compare BEFORE.json AFTER.json

A case is a network, an array and options. Of each: the SHA-256 of the ``.hwq`` file, of the compiled program, of the
report, of the Verilog, and of the netlist. The last does not see names: it is the flattened circuit, a colour for each
cell from its type, its parameters and its neighbours' colours, again and again; so a change that groups wires into
signatures, which renames the ports between components, changes the Verilog and not the netlist.

``--only random`` (or ``float``, ``trained``) makes a part, ``--every N`` each Nth case, ``--without-verilog`` leaves
out what takes long. The files of a network of HWQUANT_DATA are used where the variable is set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from unchanged_boards import board_cases

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))

import hwquant

Case = tuple[str, Callable[[], dict[str, str]]]

ARRAYS = ((4, 4), (8, 8), (9, 4), (4, 9), (12, 6), (2, 2), (16, 16), (8, 16), (3, 32), (7, 5))
CHOICES: tuple[dict[str, Any], ...] = (
    {},
    {"offset": "edge"},
    {"offset": "sum"},
    {"limits": {"accumulator_depth": 16}},
    {"operand_bits": 8},
    {"operand_bits": 18},
)
QUANTIZERS: tuple[dict[str, Any], ...] = (
    {},
    {"per_channel": True},
    {"bits": 4, "anchor": "max"},
    {"bits": 2, "activation_bits": 4, "rounding": "truncate"},
    {"symmetric": True, "scales": "power_of_two"},
    {"scales": "multiplier", "literal_range": True, "calibration_method": "minmax"},
    {"bits": 3, "per_channel": True, "error_compensation": True, "bias_correction": False},
)


def digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def written(save: Callable[[Any, Path], None], value: Any, suffix: str) -> str:
    """The digest of the file that a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        save(value, path)
        return digest(path.read_bytes())


def artefacts(
    qgraph: Any, array: tuple[int, int], options: Mapping[str, Any], verilog: bool
) -> dict[str, str]:
    """Digests of all that is made of an integer network; a refusal is a result like any other."""
    from hwquant.program import storage
    from hwquant.report import make_report
    from hwquant.rtl_templates.build import accelerator
    from hwquant.rtl_templates.verilog import to_verilog

    found = {"hwq": written(hwquant.save_network, qgraph, ".hwq")}
    try:
        program = hwquant.compile_network(qgraph, array, **options)
    except hwquant.HwquantError as error:
        return found | {"program": digest(str(error))}
    found["program"] = written(storage.save, program, ".hwp")
    found["report"] = digest(json.dumps(make_report(program).to_json()))
    if verilog:
        text = to_verilog(accelerator(program))
        found["verilog"] = digest(text)
        found["netlist"] = netlist(text)
    return found


def netlist(verilog: str, top: str = "hwquant") -> str:
    """A digest of the circuit that does not see the names of anything but the ports of the top module."""
    from pyosys import libyosys

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "x.v", Path(folder) / "x.json"
        source.write_text(verilog)
        design = libyosys.Design()
        for command in (
            f"read_verilog {source}",
            f"hierarchy -top {top}",
            "proc",
            "flatten",
            "memory_collect",
            "opt_clean",
            f"write_json {result}",
        ):
            libyosys.run_pass(f"tee -q -o /dev/null {command}", design)
        return circuit(json.loads(result.read_text())["modules"][top])


def circuit(module: dict[str, Any], rounds: int = 24) -> str:
    """Weisfeiler and Lehman's colours of a flat netlist's cells, as one digest."""
    names: dict[Any, str] = {}
    for name, port in module["ports"].items():
        for index, bit in enumerate(port["bits"]):
            names.setdefault(bit, "")
            names[bit] += f"{name}[{index}]{port['direction']};"
    cells = list(module["cells"].values())
    pins: dict[Any, list[tuple[int, str]]] = {}
    for number, cell in enumerate(cells):
        for port, bits in cell["connections"].items():
            for index, bit in enumerate(bits):
                pins.setdefault(bit, []).append((number, f"{port}[{index}]"))
    ignored = ("src", "MEMID")
    colours = [
        digest(
            json.dumps(
                [c["type"], {k: v for k, v in c["parameters"].items() if k not in ignored}], sort_keys=True
            )
        )
        for c in cells
    ]
    for _ in range(rounds):
        wires = {
            bit: digest(names.get(bit, "") + "".join(sorted(colours[cell] + pin for cell, pin in ends)))
            if not isinstance(bit, str)
            else bit
            for bit, ends in pins.items()
        }
        colours = [
            digest(
                colour
                + "".join(
                    f"{port}:{','.join(wires[bit] for bit in bits)};"
                    for port, bits in sorted(cell["connections"].items())
                )
            )
            for colour, cell in zip(colours, cells, strict=True)
        ]
    return digest("".join(sorted(colours)))


def random_cases(verilog: bool) -> Iterator[Case]:
    """Seeded random integer networks on ten arrays; every third one compiled for hardware that exists."""
    from hwquant.random_networks import Features, random_qgraph

    families = (
        Features(),
        Features(channels=(1, 20), kernels=(1, 2, 3, 4, 7), size=(1, 12), channel_shifts=True),
        Features(layers=(2, 5), size=(1, 6), weight_bits=(1, 4)),
        Features(channels=(9, 40), size=(1, 5), kernels=(1, 3), layers=(1, 2)),
        Features(inputs=2, outputs=3, pool_chains=True),
        Features(offsets=False, per_channel=False, weight_bits=(1, 3)),
        Features(multiplier=True, channels=(3, 12)),
    )
    for seed in range(84):
        array, options = ARRAYS[seed % len(ARRAYS)], CHOICES[seed % len(CHOICES)]

        def make(seed: int = seed, array: Any = array, options: Any = options) -> dict[str, str]:
            rng = np.random.default_rng(seed)
            share = float(rng.choice([0.0, 0.3, 0.6, 0.9]))
            features = dataclasses.replace(families[seed % 7], zero_blocks=share, block=array)
            return artefacts(random_qgraph(rng, features), array, options, verilog and seed % 4 == 0)

        yield f"random {seed} {array[0]}x{array[1]} {json.dumps(options)}", make


def float_networks() -> dict[str, Callable[[], Any]]:
    """Random ONNX networks, the demo network, and those of HWQUANT_DATA."""
    from hwquant_testing.onnx_networks import generate

    import hwquant.demo

    paths = sorted(Path(hwquant.demo.__file__).parent.glob("*.onnx"))
    found: dict[str, Callable[[], Any]] = {}
    data = os.environ.get("HWQUANT_DATA")
    if data:
        import mlperf_networks

        for name in mlperf_networks.NAMES:
            found[f"mlperf {name}"] = lambda name=name: hwquant.from_onnx(mlperf_networks.model(name))
        paths += sorted(Path(data).rglob("*.onnx")) + sorted((Path(data).parent / "zoo").glob("*.onnx"))
    for path in paths:
        found[path.stem] = lambda path=path: hwquant.load_model(path)
    for seed in range(12):
        found[f"onnx {seed}"] = lambda seed=seed: hwquant.from_onnx(generate(seed))
    return found


def float_cases(verilog: bool) -> Iterator[Case]:
    """Float networks through the importer and the quantizer, calibrated with seeded noise, on two arrays each."""
    for name, load in float_networks().items():
        for number, options in enumerate(QUANTIZERS):

            def make(load: Any = load, number: int = number, options: Any = options) -> dict[str, str]:
                try:
                    graph = load()
                    if sum(int(np.prod(item.shape)) for item in graph.inputs) > 10_000 and number > 1:
                        return {"skipped": "large"}
                    rng = np.random.default_rng(number)
                    data = {
                        item.name: rng.normal(0.0, 1.0, (12, *item.shape)).astype(np.float32)
                        for item in graph.inputs
                    }
                    qgraph = hwquant.quantize_network(graph, data, **options)
                except hwquant.HwquantError as error:
                    return {"hwq": digest(re.sub(r"/\S*/", "", str(error)))}
                array = ARRAYS[number % len(ARRAYS)]
                return {
                    "settings": digest(json.dumps(qgraph.options, sort_keys=True)),
                    **artefacts(qgraph, array, {}, verilog and number == 0 and name_is_small(qgraph)),
                }

            yield f"float {name} {json.dumps(options)}", make


def trained_cases(verilog: bool) -> Iterator[Case]:
    """Seeded training on one thread: progressive, all at once, binary and pruned networks, and one half frozen."""
    import torch
    from hwquant_testing.float_networks import build

    import hwquant.demo
    from hwquant.pruning import PruneOptions, prune
    from hwquant.quantize import QuantizeOptions, observe_network, quantize
    from hwquant.training import (
        ProgressiveOptions,
        QuantizedNetwork,
        Training,
        TrainOptions,
        finetune_all_at_once,
        progressive,
    )
    from hwquant.truncation import truncate

    torch.set_num_threads(1)
    folder = Path(hwquant.demo.__file__).parent
    calibration = np.load(folder / "calibration.npz")["x"]
    images, labels = np.load(folder / "digits.npz").values()
    x, y = images[:200], labels[:200].astype(np.int64)
    short = TrainOptions(epochs=2, lr=0.005, batch_size=16)
    training = Training((x, y), short)

    def digits() -> Any:
        return hwquant.load_model(folder / "digits.onnx")

    def made(qgraph: Any) -> dict[str, str]:
        return {
            "hwq": written(hwquant.save_network, qgraph, ".hwq"),
            "settings": digest(json.dumps(qgraph.options, sort_keys=True)),
        }

    for options in (*QUANTIZERS[:5], {"bits": 3, "scales": "multiplier", "anchor": "max"}):

        def gradual(options: Any = options) -> dict[str, str]:
            chosen = QuantizeOptions(**options)
            stages = ProgressiveOptions(rounds=3, subnetworks=2)
            return made(progressive(digits(), training, calibration, chosen, stages))

        def at_once(options: Any = options) -> dict[str, str]:
            return made(finetune_all_at_once(digits(), training, calibration, QuantizeOptions(**options)))

        yield f"progressive {json.dumps(options)}", gradual
        yield f"all at once {json.dumps(options)}", at_once
    noise = np.random.default_rng(2).normal(0.2, 1, (64, 3, 8, 8)).astype(np.float32)
    for number, kind in enumerate(("chain", "residual", "projection", "concat", "depthwise", "clips")):

        def half(kind: str = kind, number: int = number) -> dict[str, str]:
            chosen = QuantizeOptions(**QUANTIZERS[number if number < 5 else 6])
            network = QuantizedNetwork(observe_network(build(kind, 1), noise), chosen)
            network.quantize_tensors(network.plan.tensors[:2])
            network.decide_grids(layer.name for layer in network.plan.layers)
            network.freeze(network.convolutions[:2], 0.5)
            for node in network.convolutions[2:]:
                network.freeze(node, 0.5)
            network.clamp_weights()
            state = network.state_dict()
            extra = {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
            tensors = [(name, value.numpy()) for name, value in state.items() if name not in extra]
            return {
                "state": digest(b"".join(name.encode() + value.tobytes() for name, value in tensors)),
                "extra": digest(repr(extra)),
                "outputs": digest(network(torch.from_numpy(noise[:4])).detach().numpy().tobytes()),
            }

        def trained(kind: str = kind, number: int = number) -> dict[str, str]:
            chosen = QuantizeOptions(**QUANTIZERS[number if number < 5 else 6])
            classes = np.random.default_rng(3).integers(0, 5, 64)
            return made(progressive(build(kind, 1), Training((noise, classes), short), noise, chosen))

        yield f"half frozen {kind}", half
        yield f"trained {kind}", trained

    def pruned() -> dict[str, str]:
        chosen = PruneOptions(array=(4, 4), max_drop=10, max_sensitivity=60, step=0.3, passes=1)
        held = images[200:], labels[200:].astype(np.int64)
        return made(quantize(prune(digits(), training, held, chosen).graph, calibration))

    def binary() -> dict[str, str]:
        result = truncate(digits(), calibration, "binary", training=training)
        return made(result.qgraph)

    yield "pruned", pruned
    yield "binary", binary


def name_is_small(qgraph: Any) -> bool:
    return (
        sum(term.weight.size for node in qgraph.nodes if hasattr(node, "terms") for term in node.terms)
        < 50_000
    )


GROUPS: dict[str, Callable[[bool], Iterator[Case]]] = {
    "random": random_cases,
    "float": float_cases,
    "trained": trained_cases,
    "boards": board_cases,
}


@click.group()
def main() -> None:
    """Digests of what hwquant makes, before and after a change."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice(list(GROUPS)), help="One group of cases.")
@click.option("--every", default=1, help="Each Nth case.")
@click.option("--without-verilog", is_flag=True, help="Neither Verilog nor netlists, which take longest.")
def make(out: Path, only: str | None, every: int, without_verilog: bool) -> None:
    """Writes the digests of all cases to OUT."""
    found = {}
    for group in [only] if only else GROUPS:
        for name, case in list(GROUPS[group](not without_verilog))[::every]:
            found[name] = case()
            print(name, " ".join(found[name]), flush=True)
    out.write_text(json.dumps(found, indent=1) + "\n")


@main.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
def compare(before: Path, after: Path) -> None:
    """Says what differs; exit status 1 if anything does. A case or a digest of one side alone is not compared."""
    one, other = json.loads(before.read_text()), json.loads(after.read_text())
    differing: dict[str, list[str]] = {}
    compared: dict[str, int] = {}
    for name in one.keys() & other.keys():
        for kind in one[name].keys() & other[name].keys():
            compared[kind] = compared.get(kind, 0) + 1
            if one[name][kind] != other[name][kind]:
                differing.setdefault(kind, []).append(name)
    for kind, count in sorted(compared.items()):
        print(f"{kind}: {count} compared, {len(differing.get(kind, []))} differ")
        for name in sorted(differing.get(kind, []))[:10]:
            print(f"    {name}")
    sys.exit(1 if differing or not compared else 0)


if __name__ == "__main__":
    main()
