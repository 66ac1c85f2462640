"""What the documentation says can be done, done; its site builds, and leads nowhere that is not there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from amaranth.lib.wiring import Out

import hwquant

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES]
BLOCK = re.compile(r"^```(\w*)(?: title=\"([\w.-]+)\")?\n(.*?)^```", re.DOTALL | re.MULTILINE)
NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocs_click")


def commands(text: str) -> list[str]:
    """The lines of code that begin with hwquant."""
    lines = [line for _, _, body in BLOCK.findall(text) for line in body.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("hwquant ")]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_exists_with_these_options(page, tmp_path, monkeypatch):
    from hwquant.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "front.json").write_text('{"picked": {"bits": {"fc": 4}}}')
    for line in commands(page.read_text()):
        _, name, *arguments = shlex.split(line, comments=True)
        command = main.get_command(None, name)
        assert command is not None, line
        command.make_context(name, arguments)  # an unknown or missing option raises


def test_there_are_commands():
    assert sum(len(commands(page.read_text())) for page in PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_that_a_page_names_exists(page):
    for path in re.findall(
        r"`((?:hwquant|rtl_templates|sim|boards|benchmarks|tests)/[\w/.-]*)`", page.read_text()
    ):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_python_in_a_page_is_true(page):
    for language, title, code in BLOCK.findall(page.read_text()):
        if language == "python" and not title:
            exec(compile(code, page.name, "exec"), {})


def test_the_board_file_of_the_example_is_read(tmp_path):
    from hwquant.boards.board import load_board

    ((_, title, body),) = (
        block for block in BLOCK.findall((ROOT / "docs/guide/extending.md").read_text()) if block[0] == "toml"
    )
    (tmp_path / title).write_text(body)
    board = load_board(tmp_path / title)
    assert (board.device.name, board.clock_hz) == ("lfe5u-25f", 25_000_000)


def titled(page: str) -> dict[str, str]:
    """The blocks of a page that have a title, by it."""
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    return {title: body for _, title, body in blocks if title}


@pytest.mark.nightly
def test_the_controller_of_the_guide_has_a_port_for_a_core(tmp_path):
    from hwquant.rtl_templates.axi_memory import memory_members

    pytest.importorskip("litedram")
    (tmp_path / "arty.yml").write_text(titled("guide/external-memory.md")["arty.yml"])
    tool = Path(sys.executable).with_name("litedram_gen")
    command = [tool, "arty.yml", "--output-dir", "controller", "--no-compile"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "controller/gateware/litedram_core.v").read_text()
    ports = re.findall(
        r"^ +(input|output) +wire +(?:\[(\d+):0\] +)?user_port_axi_0_(\w+)", text, re.MULTILINE
    )
    found = {name: (way, int(high or 0) + 1) for way, high, name in ports}
    unused = ("lock", "cache", "prot", "qos")  # which LiteDRAM does without
    members = memory_members(128).items()
    ours = {
        name.removeprefix("m_axi_"): ("input" if member.flow is Out else "output", member.shape)
        for name, member in members
        if not name.endswith(unused)
    }
    address = found["araddr"][1]
    assert address == found["awaddr"][1] == 28, "256 MiB, of the core's 32 bits"
    sizes = {"awaddr": address, "araddr": address, "awsize": 4, "arsize": 4}
    assert found == {name: (way, sizes.get(name, bits)) for name, (way, bits) in ours.items()}


def followed(text: str, folder: Path, measured: Callable[[str], str]) -> str:
    """What the commands of a text print, in a folder with its scripts.

    Each line that the text shows must be among it, without what is ``measured``.
    """
    pytest.importorskip("sklearn", reason="the data are scikit-learn's")
    blocks = BLOCK.findall(text)
    for language, title, body in blocks:
        if title and language == "python":
            (folder / title).write_text(body)
    code = "".join(body for language, _, body in blocks if language == "sh")
    # The scripts beside this interpreter, whatever else is called so.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(["bash", "-ec", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    printed = {measured(line) for line in run.stdout.splitlines()}
    shown = [line for _, title, body in blocks if title == "output" for line in body.splitlines()]
    assert shown
    assert [line for line in shown if measured(line) not in printed] == [], run.stdout
    return run.stdout


@pytest.mark.nightly
def test_the_tutorial_leads_to_a_board(tmp_path):
    text, board, _ = (ROOT / "docs/tutorial.md").read_text().partition("## On a board")
    assert board
    assert "hwquant fit" in text
    assert text.count('title="output"') >= 5
    printed = followed(text, tmp_path, measured)
    assert "20 samples, 0 mismatches" in printed
    accuracies = [float(number) for number in re.findall(r"correct, accuracy ([\d.]+)%", printed)]
    assert len(accuracies) == 2
    assert min(accuracies) > 96


@pytest.mark.nightly
def test_the_guide_finds_a_network_that_is_faster_than_one_in_the_boards_memory(tmp_path):
    def masked(line: str) -> str:
        """Without numbers, and without what a table's width makes of titles."""
        return "" if "…" in line else re.sub(r"[\d,.x%+ -]*\d[\d,.x%+ -]*", " # ", line).strip()

    printed = followed((ROOT / "docs/guide/external-memory.md").read_text(), tmp_path, masked)
    assert float(re.search(r"([\d.]+) x the best 8-bit dense build", printed).group(1)) > 10
    eight, picked = (
        row.split() for row in re.findall(r"^ dense .*(?:8-bit|picked) *$", printed, re.MULTILINE)[::-1]
    )
    moved = -3  # before the energy, and the name of the row
    assert (int(picked[moved]), int(eight[moved].replace(",", "")) > 204_682) == (0, True), "all weights"


def measured(line: str) -> str:
    """A line of output without what another machine measures, or another training gives."""
    return " ".join(re.sub(r"\d+ of 360|\d[\d,]*\.\d+|-?\d+ (?=dB)", "#", line).split())


class Page(HTMLParser):
    """The places in a page, and what it links to."""

    def __init__(self, text: str):
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note what a tag names, and what it refers to."""
        for key, value in attributes:
            if key == "id":
                self.places.add(value)
            elif key in ("href", "src") and value is not None:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's HTML pages, by path."""
    if not all(find_spec(name) for name in NEEDED):
        pytest.skip("the site needs the extra docs: pip install 'hwquant[docs]'")
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    pages = {path.resolve(): Page(path.read_text()) for path in folder.rglob("*.html")}
    assert len(pages) > len(PAGES)  # the page for those that are not there, too
    return pages


@pytest.mark.nightly
def test_every_link_inside_the_site_leads_somewhere(site):
    wrong = []
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.exists() or (place and target in site and place not in site[target].places):
                wrong.append(f"{path.name}: {link}")
    assert wrong == []


@pytest.mark.nightly
def test_nothing_is_fetched_from_elsewhere(site):
    for path in site:
        assert not re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"https?://", path.read_text())


@pytest.mark.nightly
def test_every_public_name_is_documented(site):
    (python,) = (page for path, page in site.items() if path.parts[-2:] == ("reference", "python.html"))
    assert set(hwquant.__all__) <= python.places


@pytest.mark.nightly
def test_every_command_is_documented(site):
    from hwquant.cli import main

    (reference,) = (page for path, page in site.items() if path.parts[-2:] == ("reference", "commands.html"))
    assert {f"hwquant-{name}" for name in main.list_commands(None)} <= reference.places


@pytest.mark.nightly
def test_what_is_made_from_the_code_is_there(site):
    from hwquant.program.isa import Opcode
    from hwquant.program.registers import Register

    for name, members in (("instructions", Opcode), ("registers", Register)):
        (text,) = (path.read_text() for path in site if path.name == f"{name}.html")
        for member in members:
            assert f"<td><code>{member.name}</code></td>" in text
        assert ":class:" not in text
