import pytest

from hwquant.errors import HwquantError
from hwquant.names import path_name


@pytest.mark.parametrize("name", ["ulx3s-85f", "arty_a7", "net.hwq", "1", "a..b", "x" * 64])
def test_a_name_that_matches_comes_back(name):
    assert path_name(name, "a board") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "/etc",
        "a\\b",
        "-rf",
        "a b",
        "a\n",
        "\u202eb",
        "é",
        "x" * 65,
        "a\0",
        "a\x1b[0m",
    ],
)
def test_a_name_that_does_not_match_is_refused_and_shown_without_what_a_terminal_interprets(name):
    with pytest.raises(HwquantError, match="a board cannot have the name") as caught:
        path_name(name, "a board")
    assert str(caught.value).isprintable()
