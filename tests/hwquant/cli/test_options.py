"""The options of commands are those that classes declare."""

import click
import pytest
from click.testing import CliRunner

from hwquant.cli.options import options_of, quantizer_options
from hwquant.cli.progressive import progressive
from hwquant.cli.prune import prune
from hwquant.cli.quantize import quantize
from hwquant.cli.search import search
from hwquant.cli.truncate import truncate
from hwquant.errors import HwquantError
from hwquant.options import declared
from hwquant.pruning.options import PruneOptions, RetrainOptions
from hwquant.quantize.options import QuantizeOptions
from hwquant.search.options import Constraints, SearchOptions
from hwquant.training.options import ProgressiveOptions, TrainOptions, TuneOptions


@pytest.mark.parametrize(
    ("command", "classes"),
    [
        (quantize, [QuantizeOptions]),
        (progressive, [QuantizeOptions, ProgressiveOptions, TuneOptions, TrainOptions]),
        (prune, [QuantizeOptions, PruneOptions, RetrainOptions]),
        (search, [SearchOptions, Constraints]),
        (truncate, [TrainOptions]),
    ],
)
def test_a_command_has_every_option_of_its_classes_with_their_defaults(command, classes):
    context = click.Context(command, resilient_parsing=True)
    options = {parameter.name: parameter for parameter in command.params}
    for kind in classes:
        for item in declared(kind):
            option = options[item.name]
            assert item.flag in option.opts
            assert option.help.startswith(item.option.help)
            default, spelling = option.get_default(context), item.option.spelling
            if spelling is not None:
                assert spelling.parse(default) == item.default
            elif item.default is not None:
                assert default == item.default


def test_the_search_decides_the_bits_of_weights_and_takes_every_other_option_of_the_quantizer():
    flags = {flag for parameter in search.params for flag in parameter.opts}
    # Candidates are quantized from one observation of the network, with its channels as they are.
    assert {item.flag for item in declared(QuantizeOptions)} - flags == {"--equalization"}
    (bits,) = (parameter for parameter in search.params if parameter.name == "bits")
    assert bits.help.startswith("What the bits")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--percentile", "99"], "--percentile is for --calibration percentile"),
        (["--symmetric", "--rounding", "truncate"], "--rounding is for integer offsets, which --symmetric"),
        (["--symmetric", "--literal-range"], "symmetric weights have no literal range"),
    ],
)
def test_options_of_the_quantizer_that_contradict_each_other_are_one_error(arguments, message):
    with pytest.raises(HwquantError, match=message):
        run(quantizer_options("options"), *arguments)


def run(options, *arguments):
    """What a command with these options gets."""
    found = {}

    @click.command()
    @options
    def command(**given):
        found.update(given)

    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    return found if result.exit_code == 0 else result.output


def test_the_command_gets_an_object():
    options = options_of(QuantizeOptions, "quantizer", only=("bits", "bias_correction", "anchor"))
    given = run(options, "--bits", "3", "--no-bias-correction", "--anchor", "max")
    assert given == {"quantizer": QuantizeOptions(bits=3, bias_correction=False, anchor="max")}
    assert run(options) == {"quantizer": QuantizeOptions()}
    assert "No such option" in run(options, "--symmetric")


def test_values_are_written_as_their_class_says():
    options = options_of(PruneOptions, "pruning", only=("array", "filters", "group_size"))
    given = run(options, "--array", "4x6", "--filters", "c", "--group-size", "3")
    assert given == {"pruning": PruneOptions((4, 6), group_size=3)}
    assert run(options, "--filters", "2")["pruning"].filters == 2
    assert "Invalid value for '--filters': 'x' is neither a number nor C" in run(options, "--filters", "x")
    assert "1073741825 is not in the range" in run(options, "--group-size", "1073741825")
    assert "No such option" in run(options, "--reorder")


def test_values_may_be_given_by_name_where_the_class_takes_them():
    options = options_of(QuantizeOptions, "quantizer", only=("bits", "anchor"))
    assert run(options, "--bits", "4,fc=8") == {"quantizer": QuantizeOptions(bits={"*": 4, "fc": 8})}
    assert "9 is not in the range 1<=x<=8" in run(options, "--bits", "fc=9")
    command = click.command()(options(lambda quantizer: None))
    assert "An integer from 1 to 8, or by name: conv1=3,fc=4" in command.params[0].help
