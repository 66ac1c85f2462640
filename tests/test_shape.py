"""The shape of the code: no file is longer than a reader can hold."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES = 400
FOLDERS = ("hwquant", "rtl_templates", "sim", "boards", "benchmarks", "tests")


def sources() -> list[Path]:
    """Every Python file of the project."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_no_file_is_long():
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in sources()}
    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > LINES} == {}
