"""Every command with every kind of wrong input: status 2, one line, one object, no traceback."""

import json

import pytest

from hwquant.cli import COMMANDS

ARGUMENTS = {
    "quantize": ["{}", "-c", "{}", "-o", "out.hwq"],
    "progressive": ["{}", "--train", "{}", "-c", "{}", "-o", "out.hwq"],
    "prune": ["{}", "--train", "{}", "-c", "{}", "-o", "out.hwq"],
    "search": ["{}", "-c", "{}", "-d", "{}", "-o", "out.hwq"],
    "optimize": ["{}", "--board", "icebreaker", "--train", "{}", "-c", "{}", "-o", "out.hwq"],
    "evaluate": ["{}", "-d", "{}"],
    "compare": ["{}", "{}", "-d", "{}"],
    "compile": ["{}", "--array", "4x4", "-o", "out"],
    "simulate": ["{}", "-d", "{}"],
    "regress": ["{}"],
    "boards": [],
    "fit": ["{}", "--board", "{}"],
    "build": ["{}", "--board", "{}"],
    "program": ["{}", "--board", "{}"],
    "run": ["{}", "--port", "sim", "-d", "{}"],
    "estimate": ["{}"],
    "report": ["{}", "-d", "{}"],
    "inspect": ["{}"],
    "truncate": ["{}", "-c", "{}", "-o", "out.hwq"],
    "export": ["{}", "-o", "out.onnx"],
    "core": ["{}", "-o", "out"],
    "prove": ["{}"],
    "demo": ["-o", "file"],
}
"""How each is called; {} is an input."""
OUT_OF_RANGE = {
    "quantize": ["--bits", "9"],
    "progressive": ["--fraction", "2"],
    "prune": ["--passes", "0"],
    "search": ["--trials", "-1"],
    "optimize": ["--max-drop", "101"],
    "evaluate": ["-n", "0"],
    "compare": ["-n", "0"],
    "compile": ["--weight-depth", "0"],
    "simulate": ["-n", "-5"],
    "build": ["--clock", "0"],
    "run": ["--baud", "1"],
    "regress": ["--jobs", "0"],
    "report": ["-n", "0"],
    "fit": ["--array", "0x0"],
    "truncate": ["--to", "int3"],
    "core": ["--bus", "pci"],
    "prove": ["--bus", "pci"],
}


def test_the_matrix_has_every_command():
    assert set(ARGUMENTS) == set(COMMANDS)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Wrong files by kind."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "folder").mkdir()
    made = {"missing": folder / "missing", "folder": folder / "folder"}
    for kind, content in (
        ("empty", b""),
        ("garbage", bytes(range(256)) * 9),
        ("zip", b"PK\x03\x04" + bytes(60)),
    ):
        for suffix in (".hwq", ".onnx", ".pt2", ".toml"):
            made[f"{kind}{suffix}"] = folder / f"{kind}{suffix}"
            made[f"{kind}{suffix}"].write_bytes(content)
    return made


KINDS = [
    "missing",
    "folder",
    *(f"{kind}{end}" for kind in ("empty", "garbage", "zip") for end in (".hwq", ".onnx", ".pt2")),
]


@pytest.mark.parametrize("command", [name for name in COMMANDS if "{}" in ARGUMENTS[name]])
def test_wrong_inputs_are_errors(hwquant, command, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        where = inputs[kind]
        board = where.with_suffix(".toml") if where.suffix else where
        given = ARGUMENTS[command]
        filled = [
            item.format(board if index and given[index - 1] == "--board" else where)
            for index, item in enumerate(given)
        ]
        outcome = hwquant(command, *filled, "--json")
        outcome.fails("")
        assert len(outcome.stdout.splitlines()) == 1, kind
        lines = [line for line in outcome.stderr.splitlines() if not line.endswith(" ...")]
        assert len(lines) == 1, (kind, outcome.stderr)
        assert "Traceback" not in outcome.stderr
        assert list(tmp_path.iterdir()) == [], kind


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_options_are_usage_errors(hwquant, command):
    given = [item.format("x") for item in ARGUMENTS[command]]
    outcome = hwquant(command, *given, "--bogus", "--json").fails("No such option", kind="usage")
    assert json.loads(outcome.stdout)["error"]["message"].endswith(f"(try: hwquant {command} --help)")
    hwquant(command, *given, "one", "more", "--json").fails("unexpected extra argument", kind="usage")


@pytest.mark.parametrize("command", OUT_OF_RANGE)
def test_values_out_of_range_are_errors(hwquant, command):
    given = [item.format("x") for item in ARGUMENTS[command]]
    hwquant(command, *given, *OUT_OF_RANGE[command], "--json").fails("")


def test_an_output_that_is_a_file_of_the_user_s_is_kept(hwquant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    hwquant(*["demo", *ARGUMENTS["demo"], "--json"]).fails("file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ["boards"],
        ["inspect", "{network}"],
        ["inspect", "{build}", "--program"],
        ["estimate", "{build}", "--target", "ecp5-85k"],
        ["evaluate", "{network}", "-d", "{data}", "-n", "20"],
        ["export", "{network}", "-o", "{tmp}/net.onnx"],
    ],
    ids=lambda item: item[0],
)
def test_a_true_result_is_status_0_and_one_object(
    hwquant, network, digits_build, demo_folder, tmp_path, arguments
):
    places = {
        "network": network,
        "build": digits_build.folder,
        "data": demo_folder / "digits.npz",
        "tmp": tmp_path,
    }
    outcome = hwquant(*(item.format(**places) for item in arguments), "--json")
    assert outcome.status == 0, outcome.stderr
    assert isinstance(outcome.json, dict)
    assert "error" not in outcome.json
    assert len(outcome.stdout.splitlines()) == 1


def test_a_false_result_is_status_1_and_one_object(hwquant, network):
    outcome = hwquant("fit", network, "--board", "icebreaker", "--array", "32x32", "--json")
    assert (outcome.status, outcome.json["fits"]) == (1, False)
