"""``hwquant estimate --target``: what a build takes of a device."""

import pytest

from hwquant.boards import tools
from hwquant.boards.contents import Contents
from hwquant.boards.device import DEVICES
from hwquant.boards.needs import needs
from hwquant.boards.resources import estimate_resources, model_errors
from hwquant.build import load_build
from hwquant.cli.estimate import targets


@pytest.fixture(scope="module")
def build(hwquant, network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "build"
    assert hwquant("compile", network, "--array", "4x4", "-o", folder).status == 0
    return folder


@pytest.fixture
def no_synthesis(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("an estimate needs no synthesis")

    monkeypatch.setattr(tools, "synthesize", refuse)


@pytest.mark.parametrize("target", ["ecp5-85k", "ice40-up5k", "gw1n-9", "gw2a-18", "xc7a35t", "xc7a100t"])
def test_the_estimate_is_the_models_and_says_how_far_off_it_may_be(hwquant, build, no_synthesis, target):
    found = hwquant("estimate", build, "--target", target, "--json").json["target"]
    device, program = DEVICES[target], load_build(build).program
    contents = Contents.of_program(program)
    for name, link in (("core", False), ("board", True)):
        model = estimate_resources(program.config, device, link=link, contents=contents)
        assert found[name] == {kind: getattr(model, kind) for kind in device.resources}
    assert found["available"] == dict(device.resources)
    assert found["model_error"] == model_errors(device.family)
    assert set(found["model_error"]) >= {"lut", "ff", "dsp", "ram"}
    assert found["fits"] == all(need.excess <= 1 for need in needs(program.config, device, contents))
    if found["fits"]:
        assert all(found["board"][kind] <= count for kind, count in found["available"].items())
    assert found["board"]["lut"] > found["core"]["lut"]


def test_the_table_has_every_resource_and_the_verdict(hwquant, build, no_synthesis):
    text = hwquant("estimate", build, "--target", "ecp5-25k").stdout
    assert "one inference" in text, "the exact cycles are still there"
    for label in ("LUT", "flip-flop", "DSP block", "block RAM", "at most"):
        assert label in text
    assert "it fits lfe5u-25f, by this estimate" in text


def test_what_does_not_fit_is_said_with_the_number(hwquant, network, tmp_path, no_synthesis):
    folder = tmp_path / "large"
    assert hwquant("compile", network, "--array", "16x16", "-o", folder).status == 0
    outcome = hwquant("estimate", folder, "--target", "ice40-up5k", "--json").json["target"]
    assert not outcome["fits"]
    needed = f"{outcome['board']['lut']:,} LUT of 5,280"
    assert needed in outcome["shortage"]
    text = hwquant("estimate", folder, "--target", "ice40-up5k").stdout
    assert "it does not fit ice40up5k" in text
    assert needed in text.replace("\n", " ")


def test_synthesis_is_compared_with_the_estimate_and_kept(hwquant, build, monkeypatch, tmp_path):
    monkeypatch.setenv("HWQUANT_CACHE", str(tmp_path))
    monkeypatch.setattr("hwquant.boards.synthesis.find_spec", lambda name: True)
    monkeypatch.setattr("hwquant.boards.synthesis.version", lambda name: "1")
    runs = []

    def synthesize(source, device, top):
        runs.append(device.family.name)
        (source.parent / "netlist.json").write_text(
            '{"modules": {"hwquant": {"cells": {"array.pe_0_0.sum": {"type": "LUT4"}}}}}'
        )
        return {"LUT4": 2000, "CCU2C": 100, "TRELLIS_FF": 3000, "MULT18X18D": 16}

    monkeypatch.setattr(tools, "synthesize", synthesize)
    arguments = ("estimate", build, "--target", "ecp5-85k", "--synthesize", "--json")
    found = hwquant(*arguments).json["target"]
    assert found["synthesized"] == {"lut": 2200, "ff": 3000, "dsp": 16, "ram": 0, "cell": 1}
    assert found["difference"]["lut"] == round(found["core"]["lut"] / 2200 - 1, 4)
    assert found["difference"]["ram"] is None, "nothing to divide by"
    assert hwquant(*arguments).json["target"] == found
    assert runs == ["ecp5"], "the second time it came from the cache"
    assert "Yosys, core" in hwquant(*arguments[:-1]).stdout


def test_unknown_targets_are_refused_with_the_known_ones(hwquant, build):
    outcome = hwquant("estimate", build, "--target", "nonesuch", "--json")
    outcome.fails("there is no target 'nonesuch'; there are")
    for target in targets():
        assert target in outcome.stderr
    assert "generic" not in targets()


def test_synthesis_needs_a_target(hwquant, build):
    hwquant("estimate", build, "--synthesize").fails("--synthesize needs a target")


def test_the_memorys_timing_may_be_said_anew(hwquant, network, build, tmp_path):
    folder = tmp_path / "outside"
    options = ("--array", "4x4", "--external", "axi16", "--weight-depth", 256)
    assert hwquant("compile", network, *options, "-o", folder).status == 0
    compiled = hwquant("estimate", folder, "--json").json
    slow = hwquant("estimate", folder, "--memory-timing", "latency=900,gap=8", "--json").json
    assert slow["cycles"] > compiled["cycles"] > compiled["external"]["least_cycles"]
    assert slow["external"]["least_cycles"] == slow["cycles"]
    assert slow["external"]["memory"]["timing"]["outstanding"] == 4, "as it was compiled for"
    hwquant("estimate", folder, "--memory-timing", "speed=3").fails(
        "takes values by name, such as latency=30"
    )
    hwquant("estimate", folder, "--memory-timing", "3").fails("takes values by name")
    hwquant("estimate", folder, "--memory-timing", "gap=9").fails("gap of a memory must be 0..8, not 9")
    hwquant("estimate", build, "--memory-timing", "gap=1").fails("this one has all inside")


def test_what_twice_the_width_or_depth_would_bring_is_compiled(hwquant, network, build, tmp_path):
    folder = tmp_path / "outside"
    options = ("--array", "4x4", "--external", "axi16", "--weight-depth", 64, "--activation-depth", 128)
    assert hwquant("compile", network, *options, "-o", folder).status == 0
    estimated = hwquant("estimate", folder, "--doubled", "--json").json
    doubled = estimated["external"]["doubled"]
    assert list(doubled) == [
        "a port of 32 bits",
        "an activation memory of 256 words",
        "a weight memory of 128 words",
    ]
    assert doubled["a port of 32 bits"] < estimated["cycles"]
    assert load_build(folder).report.cycles == estimated["cycles"], "the build is as it was"
    assert "a port of 32 bits: " in hwquant("estimate", folder, "--doubled").stdout
    hwquant("estimate", build, "--doubled").fails("this one has all inside")
