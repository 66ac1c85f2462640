"""The page in a real browser: every row is there, drawings have a size, nothing overflows, no error, no request."""

import dataclasses
import html
import json
import re
import shutil
import subprocess

import pytest

from hwquant.board_report import write_board_report
from hwquant.build import load_build
from hwquant.page import Accuracy, Record, save_record, write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

WIDTHS = (1280, 390)
WATCH = """<script>
window.problems = [];
addEventListener("error", (event) => problems.push(event.message || "a resource failed"), true);
console.error = console.warn = (...words) => problems.push(words.join(" "));
</script>"""
PROBE = """
function probe(frame) {
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const size = (item) => item.getBoundingClientRect();
  const names = () => all("#layers tbody tr").map((row) => row.dataset.layer);
  const sorted = () => all("#layers tbody tr").map((row) => Number(row.cells[8].dataset.key));
  const head = all("#layers th button")[8];
  const result = {
    width: root.clientWidth, needed: root.scrollWidth, height: root.scrollHeight,
    bars: all(".pass[data-layer]").map((row) => row.dataset.layer), rows: names(),
    tensors: all("[data-tensor]").map((item) => item.dataset.tensor),
    drawings: all("svg").length,
    empty: all("svg, svg rect.wait, svg .span rect").filter(
      (item) => !(size(item).width > 0 && size(item).height > 0)).length,
    outside: all("svg .span rect").filter((item) => size(item).right > size(item.closest(".map")).right + 1
      || size(item).bottom > size(item.closest(".map")).bottom + 1).length,
    requests: view.performance.getEntriesByType("resource").map((entry) => entry.name),
    background: view.getComputedStyle(page.body).backgroundColor, text: view.getComputedStyle(page.body).color,
  };
  head.click(); result.falling = sorted();
  head.click(); result.rising = sorted();
  head.click(); result.again = names();
  const shape = page.querySelector(".span g"), tip = page.getElementById("tip");
  shape.dispatchEvent(new view.PointerEvent("pointermove", { bubbles: true, clientX: 9, clientY: 9 }));
  result.tip = [view.getComputedStyle(tip).visibility, tip.textContent];
  result.problems = view.problems;
  return result;
}
addEventListener("load", () => {
  const results = [...document.querySelectorAll("iframe")].map(probe);
  document.getElementById("results").textContent = JSON.stringify(results);
});
"""


def measure(page, folder, *options):
    """What :data:`PROBE` finds in the page at each of WIDTHS; what Chromium logged."""
    content = html.escape(page.read_text().replace("<head>", f"<head>{WATCH}", 1), quote=True)
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{content}"></iframe>' for width in WIDTHS)
    style = "<style>iframe{border:0;display:block}</style>"
    outer = folder / "outer.html"
    outer.write_text(
        f'<!DOCTYPE html><meta charset="utf-8">{style}{frames}<pre id="results"></pre><script>{PROBE}</script>'
    )
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--disable-dev-shm-usage", "--disable-background-networking", "--window-size=1400,1000"),
        *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", *options),
        *("--dump-dom", outer.as_uri()),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r'<pre id="results">(.*?)</pre>', run.stdout, re.DOTALL)
    assert run.returncode == 0, run.stderr
    assert found, run.stdout
    assert found[1], f"the page did not load:\n{run.stderr}"
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


@pytest.fixture(scope="module", params=["digits_build", "mixed_build"])
def shown(request, tmp_path_factory, board_report):
    """(build, results at each width, lines of the console) of a page with everything on it."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(request.getfixturevalue(request.param).folder, folder / "build")
    build = load_build(folder / "build")
    record = Record(accuracy=Accuracy("digits.npz", 360, 0.975, 0.98, "digits.onnx"))
    save_record(build.folder, record.after("compile", "hwquant compile net.hwq --array 8x8 -o build"))
    place = build.folder / "boards" / board_report.board
    place.mkdir(parents=True)
    write_board_report(place, dataclasses.asdict(board_report))
    return build, *measure(write_page(build), folder)


def test_every_layer_has_its_row_and_its_bar(shown):
    build, results, _ = shown
    names = [layer.name for layer in build.report.layers]
    for result in results:
        assert result["rows"] == names
        assert result["bars"] == names


def test_drawings_have_a_size_and_stay_inside(shown):
    build, results, _ = shown
    tensors = {item.name for item in build.program.inputs} | set(build.program.tensors)
    for result in results:
        assert result["drawings"] >= 2 * len(build.report.layers) + len(tensors)
        assert result["empty"] == 0
        assert result["outside"] == 0
        assert sorted(result["tensors"]) == sorted(tensors)


def test_nothing_on_the_page_is_wider_than_the_window(shown):
    _, results, _ = shown
    for width, result in zip(WIDTHS, results, strict=True):
        assert result["width"] == width
        assert result["needed"] == width
        assert result["height"] > 900


def test_the_page_makes_no_errors_and_no_requests(shown):
    _, results, console = shown
    assert console == []
    for result in results:
        assert result["problems"] == []
        assert result["requests"] == []


def test_a_heading_sorts_and_gives_the_order_back(shown):
    build, results, _ = shown
    cycles = [layer.cycles for layer in build.report.layers]
    for result in results:
        assert result["falling"] == sorted(cycles, reverse=True)
        assert result["rising"] == sorted(cycles)
        assert result["again"] == [layer.name for layer in build.report.layers]


def test_a_drawing_explains_itself_under_the_pointer(shown):
    _, results, _ = shown
    for result in results:
        visibility, text = result["tip"]
        assert visibility == "visible"
        assert re.match(
            r"\S.*: \S.* words\naddresses \S+ to \S+\ncycles .*\nwritten by the host, read by \S+", text
        )


def test_the_page_is_dark_where_the_reader_prefers_that(shown, tmp_path):
    build, light, _ = shown

    def brightness(colour):
        return sum(int(value) for value in re.findall(r"\d+", colour)[:3])

    dark, console = measure(build.folder / "report.html", tmp_path, "--blink-settings=preferredColorScheme=0")
    assert console == []
    assert brightness(light[0]["background"]) > 600 > 200 > brightness(light[0]["text"])
    assert brightness(dark[0]["background"]) < 200 < 600 < brightness(dark[0]["text"])
