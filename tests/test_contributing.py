"""What the instructions for contributors and their tools name is there."""

import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
NAMES = sorted(
    {name for name in re.findall(r"`([\w.][\w./-]*)`", TEXT) if re.search(r"/|\.(py|md|toml|yaml)$", name)}
)
"""Paths in backticks."""
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
STEPS = WORKFLOW["jobs"]["test"]["steps"]


def test_it_is_about_a_page():
    assert len(TEXT.splitlines()) <= 100
    assert len(NAMES) > 30


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_it_names_exists(name):
    assert (ROOT / name).exists()


def test_every_target_and_test_in_its_commands_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for path in re.findall(r"pytest.* (tests/[\w./]+)", TEXT):
        assert (ROOT / path).exists()


def test_the_workflow_runs_what_there_is():
    assert {"push", "pull_request", "schedule"} <= set(WORKFLOW[True])  # YAML takes "on" for a truth value
    command = STEPS[-1]["run"]
    assert ".ci/run" in command
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make nightly" in command


def test_the_workflow_begins_with_the_oldest_python_that_is_supported():
    (oldest,) = re.findall(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text())
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"][0] == oldest


def test_the_workflow_installs_what_the_script_does():
    (theirs,) = re.findall(r"for tool in (.*); do", (ROOT / ".ci/run").read_text())
    (ours,) = (
        found for step in STEPS for found in re.findall(r"for package in (.*); do", step.get("run", ""))
    )
    assert set(theirs.split()) - set(ours.split()) == {"chromium"}  # Chrome is there


def test_the_hooks_run_ruff_as_make_does():
    hooks = [
        hook
        for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repository["hooks"]
    ]
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        if "entry" in hook:
            program, command, *_ = hook["entry"].split()
            assert f"$(BIN)/{Path(program).name} {command}" in makefile
    assert {"ruff-check", "ruff-format", "check-yaml"} <= {hook["id"] for hook in hooks}
