"""The page as text: complete, safe, self-contained, the same every time."""

import re
import shutil

import pytest

from hwquant.build import PAGE, load_build
from hwquant.page import Accuracy, Record, load_record, save_record, write_page
from hwquant.page.page import amount, render, short, span, ticks


@pytest.fixture
def build(digits_build, tmp_path):
    shutil.copytree(digits_build.folder, tmp_path / "build")
    return load_build(tmp_path / "build")


def test_the_page_is_written_whole_and_the_same_every_time(build):
    path = write_page(build)
    assert path == build.folder / PAGE
    content = path.read_bytes()
    assert content == write_page(load_build(build.folder)).read_bytes()
    assert content.decode().rstrip().endswith("</html>")


def test_the_page_has_the_numbers_of_the_report(digits_build):
    text = render(digits_build, Record())
    report = digits_build.report
    for layer in report.layers:
        assert text.count(f'data-layer="{layer.name}"') == 2, "a bar and a row"
        assert f"{layer.cycles:,}" in text
        assert f"{layer.macs:,}" in text
    for name, bits in report.memory_bits.items():
        assert (f'aria-label="{name} {bits} bits"' in text) == bool(bits), name
    assert f"{report.frame_cycles:,}" in text
    assert f"{report.checksum:08x}" in text
    assert text.count("data-tensor=") == 4


def test_names_that_are_markup_stay_names(mixed_build):
    text = render(mixed_build, Record())
    assert "<b>last" not in text
    assert "&lt;b&gt;last&amp;" in text


def test_the_page_loads_nothing_from_elsewhere(digits_build, mixed_build):
    for build in (digits_build, mixed_build):
        text = render(build, Record())
        assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?\s*(https?:)?//""", text)
        assert not re.search(r"@import|<iframe|<object|<embed|fetch\(|XMLHttpRequest", text)
        assert re.findall(r'href="([^"]*)"', text) == ["data:,"]


def test_accuracy_is_shown_once_it_is_known(build):
    assert "Not measured" in write_page(build).read_text()
    save_record(build.folder, Record(accuracy=Accuracy("digits.npz", 360, 0.975, 0.98, "digits.onnx")))
    text = write_page(build).read_text()
    assert "Not measured" not in text
    assert "97.50 %" in text
    assert "98.00 %" in text
    assert "-0.50 points" in text
    save_record(build.folder, Record(accuracy=Accuracy("digits.npz", 360, 0.975)))
    assert "points" not in write_page(build).read_text()


def test_what_was_done_to_the_network_is_told(digits_build):
    assert "<b>quantize</b> weights 8 bits, activations 8 bits; signal over noise" in render(
        digits_build, Record()
    )


def test_commands_are_shown_with_their_versions(build):
    record = load_record(build.folder).after("compile", "hwquant compile 'my net.hwq' --array 8x8")
    text = render(build, record)
    assert "hwquant compile &#39;my net.hwq&#39; --array 8x8" in text
    assert f"amaranth {record.commands['compile'].versions['amaranth']}" in text
    assert "by a program that called hwquant" in render(build, Record())


def test_tiles_that_are_skipped_are_counted_and_explained(mixed_build, digits_build):
    skipped = sum(layer.tiles_skipped for layer in mixed_build.report.layers)
    assert skipped
    assert "Tiles of zeros are skipped" in render(mixed_build, Record())
    assert "Tiles of zeros are skipped" not in render(digits_build, Record())


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (5, [0, 1, 2, 3, 4, 5]),
        (100, [0, 20, 40, 60, 80, 100]),
        (1934, [0, 500, 1000, 1500]),
        (124_089, [0, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000]),
    ],
)
def test_an_axis_has_round_numbers(end, expected):
    assert ticks(end) == expected


def test_numbers_as_people_write_them():
    assert [short(value) for value in (999, 80896, 12_522_112, 5e12)] == [
        "999",
        "80.9 k",
        "12.5 M",
        "5e+03 G",
    ]
    assert [amount(value) for value in (1000, 5440, 79_360, 1 << 21)] == [
        "1,000 B",
        "5.3 KiB",
        "77.5 KiB",
        "2.0 MiB",
    ]
    assert (span((3, 3)), span((-1, 4))) == ("3", "-1 … 4")
