"""The options of commands are those that classes declare."""

import click
import pytest
from click.testing import CliRunner

from hwquant.cli.options import LateChoice, options_of
from hwquant.cli.progressive import progressive
from hwquant.cli.prune import prune
from hwquant.cli.quantize import quantize
from hwquant.cli.search import search
from hwquant.cli.truncate import truncate
from hwquant.options import declared
from hwquant.pruning.options import PruneOptions
from hwquant.quantize.options import QuantizeOptions
from hwquant.search.options import Constraints, SearchOptions
from hwquant.training.options import ProgressiveOptions, TrainOptions, TuneOptions


@pytest.mark.parametrize(
    ("command", "classes"),
    [
        (quantize, [QuantizeOptions]),
        (progressive, [ProgressiveOptions, TuneOptions, TrainOptions]),
        (prune, [PruneOptions, TrainOptions]),
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


def test_a_late_choice_is_loaded_when_it_is_used():
    loaded = []

    def load():
        loaded.append(1)
        return ["a", "b"]

    option = click.option("--which", type=LateChoice(load), default="a")
    assert loaded == []
    assert run(option, "--which", "b") == {"which": "b"}
    assert loaded
    assert "'c' is not one of 'a', 'b'" in run(option, "--which", "c")
    assert "[a|b]" in CliRunner().invoke(click.command()(option(lambda which: None)), ["--help"]).output
