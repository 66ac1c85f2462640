"""Options of commands from a file."""

import json

import click
import pytest
from click.testing import CliRunner

from hwquant.cli import COMMANDS, main
from hwquant.cli.config import config_option
from hwquant.cli.options import options_of
from hwquant.cli.outputs import was_given
from hwquant.errors import Damaged, HwquantError
from hwquant.pruning.options import PruneOptions
from hwquant.quantize.options import QuantizeOptions
from hwquant.search.options import SearchOptions


@pytest.fixture
def read(tmp_path):
    """What a command of these classes gets from a file and a command line."""

    def call(text, *arguments, kind=QuantizeOptions, name="quantize"):
        found = {}

        @click.command(name)
        @options_of(kind, "options")
        @config_option
        @click.pass_context
        def command(context, options):
            found.update(options=options, given={item for item in context.params if was_given(context, item)})

        file = tmp_path / "options.toml"
        file.write_text(text)
        result = CliRunner().invoke(command, ["--config", str(file), *arguments], catch_exceptions=False)
        return found if result.exit_code == 0 else result.output

    return call


def test_a_command_takes_its_own_table(read):
    text = """
    [quantize]
    bits = { "*" = 4, fc = 8 }
    per-channel = true
    bias-correction = false
    calibration = "percentile"
    percentile = 99.5

    [prune]
    passes = 3
    """
    found = read(text)
    assert found["options"] == QuantizeOptions(
        bits={"*": 4, "fc": 8},
        per_channel=True,
        bias_correction=False,
        calibration_method="percentile",
        percentile=99.5,
    )
    assert found["given"] == {"bits", "per_channel", "bias_correction", "calibration_method", "percentile"}
    assert read("[prune]\npasses = 3") == {"options": QuantizeOptions(), "given": set()}


def test_the_command_line_goes_before_the_file(read):
    text = "[quantize]\nbits = 4\nper-channel = true\nsymmetric = true"
    assert read(text, "--bits", "3")["options"] == QuantizeOptions(bits=3, per_channel=True, symmetric=True)


def test_values_are_written_as_in_toml_or_as_on_the_command_line(read):
    lists = read("[search]\nbits = [2, 4]", kind=SearchOptions, name="search")
    assert lists == read('[search]\nbits = "2,4"', kind=SearchOptions, name="search")
    assert lists["options"].bits == (2, 4)
    text = '[prune]\narray = "4x6"\nfilters = { conv1 = 1, "*" = "C" }\nthreshold-factor = { conv1 = 0.5 }'
    assert read(text, kind=PruneOptions, name="prune")["options"] == PruneOptions(
        (4, 6), filters={"conv1": 1, "*": None}, threshold_factor={"conv1": 0.5}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits = 4", "'bits' at its top"),
        ("[quantise]\nbits = 4", "'quantise' at its top"),
        ("quantize = 3", "'quantize' at its top"),
        ("[quantize]\nbit = 4", "the option 'bit', which it does not have; it has activation-bits, "),
        ("[quantize]\nconfig = 'a'", "the option 'config'"),
        ("[quantize]\nbits = true", "'bits' of quantize as True, not a value as on the command line"),
        ("[quantize]\nbits = [4]", "'bits' of quantize as"),
        ("[quantize]\nbits = { fc = { a = 1 } }", "'bits' of quantize as"),
        ("[quantize]\nbits = 2026-11-26", "'bits' of quantize as"),
        ("[quantize]\nper-channel = 1", "'per-channel' of quantize as 1, not true or false"),
        ("[quantize]\npercentile = { a = 99 }", "'percentile' of quantize as"),
    ],
)
def test_what_no_command_has_is_refused(read, text, message):
    with pytest.raises(HwquantError, match=r"options\.toml") as error:
        read(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[quantize]\nbits = 9", "9 is not in the range"),
        ("[quantize]\nbits = 4.5", "'4.5' is not a valid integer"),
        ("[quantize]\nbits = { fc = 'x' }", "'x' is not a valid integer"),
        ("[quantize]\nanchor = 'middle'", "'middle' is not one of"),
    ],
)
def test_a_value_is_checked_as_on_the_command_line(read, text, message):
    assert message in read(text)


@pytest.mark.parametrize(
    "content", [b"[quantize", b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000]
)
def test_what_is_no_toml_is_refused(tmp_path, content):
    file = tmp_path / "options.toml"
    file.write_bytes(content)
    with pytest.raises(Damaged, match=r"options\.toml"):
        CliRunner().invoke(
            main, ["boards", "--config", str(file)], catch_exceptions=False, standalone_mode=False
        )


def test_every_command_has_the_option(tmp_path):
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert "--config" in {flag for item in command.params for flag in item.opts}, name
    file = tmp_path / "options.toml"
    file.write_text("[boards]\njson = true")
    result = CliRunner().invoke(
        main, ["boards", "--config", str(file)], catch_exceptions=False, standalone_mode=False
    )
    assert json.loads(result.output)
