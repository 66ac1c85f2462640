"""What a nightly run has found so far: a line a file of tests, from the JUnit XML files in a folder.

``FILE.xml`` is what passed, ``FILE.xml.part`` what did not, ``FILE.log`` what pytest said.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
"""What a test case has inside, and what it is counted as."""


def counts(path: Path) -> Counter[str]:
    """How many tests of a file passed, failed or were skipped, and the seconds of all."""
    found = Counter[str]()
    for case in ElementTree.parse(path).iter("testcase"):
        found["seconds"] += float(case.get("time", "0"))  # type: ignore[assignment]
        found[next((OUTCOMES[name] for name in OUTCOMES if case.find(name) is not None), "passed")] += 1
    return found


def main(folder: str) -> None:
    """Print the table, the slowest file first."""
    root = Path(folder)
    rows = {
        str(path.relative_to(root)): counts(path)
        for path in (*root.rglob("*.xml"), *root.rglob("*.xml.part"))
        if path.stat().st_size
    }
    print(f"{'seconds':>9} {'passed':>7} {'failed':>7} {'skipped':>8}  file")
    slowest = sorted(rows.items(), key=lambda row: -row[1]["seconds"])
    for name, found in (*slowest, (f"{len(rows)} files in {folder}", sum(rows.values(), Counter()))):
        print(f"{found['seconds']:9.0f} {found['passed']:7} {found['failed']:7} {found['skipped']:8}  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
