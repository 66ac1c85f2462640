"""Tables of measured figures say what the records say."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = {"DS-CNN": "ds-cnn", "ResNet8": "resnet8", "VWW": "vww"}


def table(page: str, heading: str) -> list[list[str]]:
    """Cells of the rows of the first table below a heading."""
    section = (ROOT / "docs" / page).read_text().split(f"## {heading}\n", 1)[1]
    lines = section[section.index("\n|") + 1 :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_boards_are_those_that_were_routed():
    record = json.loads((ROOT / "benchmarks/results/boards.json").read_text())["results"]
    rows = table("results.md", "Boards")
    written = {}
    for network, board, array, lut, dsp, _, reached, clock, milliseconds, core, _ in rows:
        name = f"{NAMES.get(network, network)}@{board.lower().replace(' ', '-')}"
        written[name] = [array, lut, dsp, reached, clock, milliseconds, core]
    expected = {
        name: [
            row["array"],
            f"{row['used']['lut']:,}",
            str(row["used"]["dsp"]),
            f"{row['fmax MHz']:.1f}",
            f"{row['clock MHz']:.1f}",
            f"{row['ms']:.3f}",
            f"{row.get('frames a second of the core', row['frames a second']):,.0f}",
        ]
        for name, row in record.items()
    }
    assert written == expected


def test_the_errors_of_the_resource_model_are_those_where_it_was_not_fitted():
    record = json.loads((ROOT / "benchmarks/results/resource_model.json").read_text())["results"]["held out"]
    families = ("ecp5", "ice40", "gowin", "xilinx7")
    errors = [[record[family][resource] for family in families] for resource in ("lut", "ff")]
    expected = [[f"{item['median']:.1%} / {item['worst']:.1%}" for item in row] for row in errors]
    written = [
        [cell.replace(" %", "%") for cell in row[1:]] for row in table("results.md", "The resource model")
    ]
    assert written == expected


def test_commands_name_no_folder_of_the_machine_that_ran_them():
    for path in (ROOT / "benchmarks/results").glob("*.json"):
        command = json.loads(path.read_text())["command"]
        assert not [word for word in command.split() if word.startswith(("/", "~"))], path.name
