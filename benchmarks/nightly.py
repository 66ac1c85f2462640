"""What a nightly run has found so far: a line a file of tests, from the JUnit XML files in a folder.

``FILE.xml`` is what passed, ``FILE.xml.part`` what did not, ``FILE.log`` what pytest said.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

OUTCOMES = ("failure", "error", "skipped")


def counts(path: Path) -> tuple[dict[str, int], float]:
    """How many tests of a file had which outcome, and the seconds of all."""
    found = dict.fromkeys(("passed", *OUTCOMES), 0)
    seconds = 0.0
    for case in ElementTree.parse(path).iter("testcase"):
        seconds += float(case.get("time", "0"))
        worst = next((name for name in OUTCOMES if case.find(name) is not None), "passed")
        found[worst] += 1
    return found, seconds


def main(folder: str) -> None:
    """Print the table, the slowest file first."""
    root = Path(folder)
    rows = [
        (counts(path), path.relative_to(root))
        for path in (*root.rglob("*.xml"), *root.rglob("*.xml.part"))
        if path.stat().st_size
    ]
    print(f"{'seconds':>9} {'passed':>7} {'failed':>7} {'skipped':>8}  file")
    for (found, seconds), path in sorted(rows, key=lambda row: -row[0][1]):
        failed = found["failure"] + found["error"]
        print(f"{seconds:9.0f} {found['passed']:7} {failed:7} {found['skipped']:8}  {path}")
    total = {name: sum(row[0][0][name] for row in rows) for name in ("passed", *OUTCOMES)}
    seconds = sum(row[0][1] for row in rows)
    failed = total["failure"] + total["error"]
    print(
        f"{seconds:9.0f} {total['passed']:7} {failed:7} {total['skipped']:8}  {len(rows)} files in {folder}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
