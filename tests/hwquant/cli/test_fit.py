"""``hwquant fit``, ``hwquant boards``, and an array chosen while compiling."""

import pytest

from hwquant.boards.board import board_names, load_board
from hwquant.link.rate import LinkTime

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")


def test_a_board_gets_an_array_and_the_reason(hwquant, network):
    found = hwquant("fit", network, "--board", "icebreaker", "--json").json
    assert found["fits"] is True
    assert found["board"] == "icebreaker"
    assert {need["resource"] for need in found["chosen"]["needs"]} == {
        "lut",
        "ff",
        "cell",
        "dsp",
        "ram",
        "large_ram",
    }
    assert all(need["fits"] for need in found["chosen"]["needs"])
    assert found["core_frames_per_second"] == found["clock_mhz"] * 1e6 / found["chosen"]["frame_cycles"]
    seconds = LinkTime(**found["chosen"]["link"]).period(found["milliseconds"] / 1e3)
    assert found["frames_per_second"] == pytest.approx(1 / seconds)
    assert found["link_share"] == pytest.approx(1 - found["milliseconds"] / 1e3 / seconds)
    text = hwquant("fit", network, "--board", "icebreaker").stdout
    assert found["reason"] in text
    assert f"at {found['clock_mhz']:.1f} MHz, estimated from" in text
    assert "(what routing reaches is known after hwquant build)" in text


def test_a_given_array_is_judged(hwquant, network):
    found = hwquant("fit", network, "--board", "ulx3s-85f", "--array", "8x8", "--json").json
    compiled = hwquant("fit", network, "--board", "ulx3s-85f", "--array", "8x8")
    assert (found["chosen"]["rows"], found["chosen"]["columns"]) == (8, 8)
    assert found["reason"] == "8x8 fits lfe5u-85f"
    assert compiled.status == 0


def test_a_link_of_a_board_is_judged(hwquant, network):
    """A cable of its own takes LUTs, and carries more frames than the serial line."""
    command = ("fit", network, "--board", "ulx3s-12f", "--array", "4x4", "--link")
    serial, cable = (hwquant(*command, link, "--json").json for link in ("uart", "usb"))
    assert (serial["link"], cable["link"]) == ("uart", "usb")
    luts = [
        next(need["needed"] for need in found["chosen"]["needs"] if need["resource"] == "lut")
        for found in (serial, cable)
    ]
    assert luts[1] - luts[0] == pytest.approx(1698, rel=0.1)
    assert cable["frames_per_second"] > serial["frames_per_second"]
    assert "through the host link (usb)" in hwquant(*command, "usb").stdout
    hwquant("fit", network, "--board", "icebreaker", "--link", "usb").fails(
        "the board icebreaker has no usb link; it has uart"
    )
    rows = hwquant("fit", network, "--array", "4x4", "--link", "usb", "--json").json["boards"]
    assert {row["board"] for row in rows} >= {"ulx3s-12f", "ulx3s-85f", "orangecrab-25f"}
    assert all(row["link"] == "usb" for row in rows)


def test_what_does_not_fit_is_status_one_and_says_what_is_missing(hwquant, network):
    outcome = hwquant("fit", network, "--board", "icebreaker", "--array", "32x32")
    assert outcome.status == 1
    assert "32x32 does not fit ice40up5k: it needs" in outcome.stdout
    assert "too few" in outcome.stdout
    assert "leave out --array" in outcome.stdout
    as_json = hwquant("fit", network, "--board", "icebreaker", "--array", "32x32", "--json")
    assert as_json.status == 1
    assert as_json.json["fits"] is False


def test_without_a_board_there_is_a_row_for_each(hwquant, network):
    outcome = hwquant("fit", network, "--array", "8x8", "--json")
    boards = outcome.json["boards"]
    assert [item["board"] for item in boards] == [name for name in board_names() if name != "generic"]
    assert {item["chosen"]["cycles"] for item in boards} == {boards[0]["chosen"]["cycles"]}
    assert {item["board"]: item["fits"] for item in boards}["ulx3s-85f"]
    text = hwquant("fit", network, "--array", "8x8").stdout
    assert all(item["board"] in text for item in boards)


def test_what_cannot_be_asked_is_refused(hwquant, network, demo_folder):
    hwquant("fit", network, "--board", "none").fails("there is no board 'none'")
    hwquant("fit", network, "--board", "generic").fails("has no device that a network could fit")
    hwquant("fit", network, "--array", "3x500").fails("array 3x500")
    hwquant("fit", demo_folder / "digits.onnx", "--board", "icebreaker").fails("digits.onnx")


def test_compiling_for_a_board_takes_the_array_that_fit_chooses(hwquant, network, tmp_path):
    chosen = hwquant("fit", network, "--board", "icebreaker", "--json").json["chosen"]
    outcome = hwquant("compile", network, "--board", "icebreaker", "-o", tmp_path / "build", "--json")
    assert (outcome.json["rows"], outcome.json["columns"]) == (chosen["rows"], chosen["columns"])
    assert outcome.json["cycles"] == chosen["cycles"]


def test_compiling_needs_an_array_or_a_board_that_is_large_enough(hwquant, network, tmp_path):
    hwquant("compile", network, "-o", tmp_path / "build").fails("give --array RxC, or --board BOARD")
    small = tmp_path / "small.toml"
    pins = "".join(f'[pins.{pin}]\nlocation = "{n}"\n' for n, pin in enumerate(("rx", "tx"), 2))
    small.write_text(
        'title="x"\ndevice="gw1n-9"\n' + pins + '[pins.clock]\nlocation = "35"\nhertz = 12_000_000\n'
    )
    hwquant("compile", network, "--board", "generic", "-o", tmp_path / "build").fails("has no device")
    assert hwquant("compile", network, "--board", small, "-o", tmp_path / "build").status == 0


def test_the_list_of_boards_says_how_large_an_array_may_be(hwquant):
    boards = hwquant("boards", "--json").json["boards"]
    assert [item["name"] for item in boards] == board_names()
    largest = {item["name"]: item["largest_array"] for item in boards}
    assert largest["generic"] is None

    def area(name):
        rows, columns = largest[name].split("x")
        return int(rows) * int(columns)

    assert area("ulx3s-85f") > area("ulx3s-45f") > area("ulx3s-25f") > area("icebreaker") > 0
    assert largest["ulx3s-25f"] == largest["ulx3s-12f"], "the same device, but for its name"
    assert load_board("ulx3s-85f").device.name in hwquant("boards").stdout
