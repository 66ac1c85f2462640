"""``hwquant regress``: many configurations against the golden model."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.options import path_option
from hwquant.cli.outcome import note, say
from hwquant.cli.outputs import ANY, check_ignored, check_outputs
from hwquant.errors import HwquantError

if TYPE_CHECKING:
    from hwquant.regress import Outcome

BAD = 1
JOURNAL, COVERAGE = "outcomes.jsonl", "coverage.json"


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.toml")
@path_option(
    "-o",
    "--output",
    metavar="OUT/",
    help="Folder for the outcomes as they come, junit.xml, regress.json, report.html and coverage.json.",
)
@path_option(
    "--coverage", metavar="COVERAGE.json", help="Add the coverage to that of earlier runs in this file."
)
@click.option("--only", multiple=True, metavar="NAME", help="This configuration alone. Repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; one a core if not given.")
@click.option("--scheduler", metavar="ADDRESS", help="Evaluate on a Dask cluster, such as tcp://host:8786.")
@click.option("--resume", is_flag=True, help="Go on with what an interrupted run left in OUT/.")
@json_option
@click.pass_context
def regress(
    context: click.Context,
    file: Path,
    output: Path | None,
    coverage: Path | None,
    only: tuple[str, ...],
    jobs: int | None,
    scheduler: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Verify the configurations of FILE.toml by simulation.

    A line for each as it comes; exit 1 if one differs from the golden model, crashes or hangs, or if none passes:
    what the compiler refuses is counted, and verifies nothing.
    """
    from hwquant.files import make_folder, write_together
    from hwquant.regress import regress as evaluate_all
    from hwquant.regress.campaign import load_campaign
    from hwquant.regress.reports import accumulate, check_coverage, junit, page, summary, total

    if scheduler is not None:
        check_ignored(
            context, "jobs", reason="means nothing with --scheduler, whose workers evaluate; leave it out"
        )
    if output is None:
        check_ignored(context, "resume", reason="means nothing without -o; give the folder as well")
    campaign = load_campaign(file)
    cases = [case for case in campaign.cases() if not only or case.name in only]
    missing = set(only) - {case.name for case in cases}
    if missing:
        raise HwquantError(f"{file} has no configuration {min(missing)!r}; a run without --only names them")
    check_outputs({"--coverage": (coverage, ANY)}, [file])
    for path in (coverage, None if output is None else output / COVERAGE):
        if path is not None and path.exists():
            check_coverage(path)
    if output is not None:
        make_folder(output)

    def watch(name: str, outcome: Outcome) -> None:
        line = f"{outcome.status} {name}" + (f": {outcome.message}" if outcome.message else "")
        lines = [line, *([f"  {_repeat(file, name)}"] if outcome.bad else [])]
        for item in lines:
            if as_json:
                note(item)
            else:
                say(f"{item}\n")

    try:
        outcomes = evaluate_all(
            cases,
            timeout=campaign.timeout,
            jobs=jobs,
            scheduler=scheduler,
            journal=None if output is None else output / JOURNAL,
            resume=resume,
            watch=watch,
        )
    except KeyboardInterrupt:
        if output is not None:
            note(f"what was evaluated is in {output / JOURNAL}: go on with --resume")
        raise
    digests = {case.name: case.digest for case in cases}
    repeats = {name: _repeat(file, name) for name, item in outcomes.items() if item.bad}
    content, written = {**summary(outcomes), "repeat": repeats}, []
    if output is not None:
        accumulate(output / COVERAGE, digests, outcomes)
        written.append(output / COVERAGE)
    hits = total(outcomes)
    if coverage is not None:
        hits = accumulate(coverage, digests, outcomes)
        written.append(coverage)
    if output is not None:
        reports = {
            "junit.xml": junit(file.stem, outcomes),
            "regress.json": (json.dumps(content, indent=1) + "\n").encode(),
            "report.html": page(file.stem, outcomes, repeats, hits),
        }
        written += write_together(output, reports)
    counts = ", ".join(f"{count} {status}" for status, count in content["statuses"].items())
    emit(
        as_json,
        content,
        f"{len(outcomes)} configurations: {counts}; {sum(map(bool, hits.values()))} of {len(hits)} bins of the "
        "coverage were hit",
        *(f"wrote {path}" for path in written),
    )
    if repeats or not content["statuses"].get("passed"):
        context.exit(BAD)


def _repeat(file: Path, name: str) -> str:
    """The command that evaluates one configuration alone."""
    return shlex.join(["hwquant", "regress", str(file.resolve()), "--only", name])
