"""What the README says can be done, done: its Python, its commands, its figures."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def blocks(language):
    return [body for name, body in BLOCKS if name == language]


@pytest.fixture
def folder(demo_folder, tmp_path):
    """What the demo leaves: the network and its data."""
    for name in ("digits.onnx", "digits.npz", "calibration.npz"):
        shutil.copy(demo_folder / name, tmp_path)
    return tmp_path


def test_there_is_python_and_shell():
    assert len(blocks("python")) == 1
    assert len(blocks("sh")) == 1


def test_the_python_code_runs_and_is_about_ten_lines(folder):
    (code,) = blocks("python")
    assert len(ast.parse(code).body) <= 14
    (folder / "readme.py").write_text(code)
    run = subprocess.run([sys.executable, "readme.py"], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    accuracy = re.search(r"accuracy ([\d.]+)", run.stdout)
    assert accuracy
    assert float(accuracy[1]) >= 0.97
    assert "build/hwquant.v" in run.stdout


def test_the_commands_run_one_after_the_other(folder):
    (code,) = blocks("sh")
    lines = [line for line in code.splitlines() if line]
    assert all(line.startswith("hwquant ") for line in lines)
    assert len(lines) == 8
    # The script beside this interpreter, whatever else is called hwquant.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(["bash", "-ec", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "20 samples, 0 mismatches" in run.stdout


def test_the_other_commands_exist_with_these_options(tmp_path, monkeypatch):
    import shlex

    from hwquant.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "front.json").write_text('{"picked": {"bits": {"fc": 4}}}')
    lines = [line for body in blocks("") for line in body.splitlines() if line.startswith("hwquant ")]
    assert len(lines) >= 10
    for line in lines:
        _, name, *arguments = shlex.split(line, comments=True)
        command = main.get_command(None, name)
        assert command is not None, line
        command.make_context(name, arguments)  # an unknown or missing option raises


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert {"demo", "test"} <= set(re.findall(r"^make (\w+)", TEXT, re.MULTILINE))


def test_the_figures_of_the_demo_are_what_it_gives(digits_build, digits_graph, digits_qgraph, digits_samples):
    from hwquant import floating, golden

    report = digits_build.report
    weights = sum(term.codes.size for node in digits_qgraph.nodes for term in getattr(node, "terms", ()))
    biases = sum(node.bias.size for node in digits_qgraph.nodes if hasattr(node, "bias"))
    real = digits_samples.accuracy(floating.predict(digits_graph, digits_samples.x)[0])
    integer = digits_samples.accuracy(golden.predict(digits_qgraph, digits_samples.x)[0])
    results = TEXT.partition("<!-- RESULTS")[2].partition("<!-- END OF RESULTS -->")[0]
    for figure in (
        f"{weights + biases:,} weights",
        f"{report.macs:,} multiply-accumulates",
        f"| {real * 100:.2f} % / {integer * 100:.2f} % |",
        f"| cycles an inference, predicted and simulated | {report.cycles:,} |",
        f"| utilization of the 64 multipliers | {report.utilization * 100:.1f} % |",
    ):
        assert figure in results


def test_every_link_to_a_file_of_the_repository_leads_somewhere():
    for document in ("README.md", "ARCHITECTURE.md"):
        text = (ROOT / document).read_text()
        for path in re.findall(r"`((?:hwquant|rtl_templates|sim|boards|tests)/[\w/.]*)`", text):
            assert (ROOT / path).exists(), f"{document}: {path}"


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_and_picture_is_there(document):
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text())
    inside = [link.partition("#")[0] for link in links if not link.startswith(("http", "#"))]
    assert [link for link in inside if not (ROOT / link).exists()] == []
    assert inside or document != "README.md"


def test_every_public_name_exists_and_is_documented():
    import hwquant

    for name in hwquant.__all__:
        assert getattr(hwquant, name).__doc__
        assert name in hwquant.__doc__ or name == "HwquantError"
    assert set(hwquant.__all__) == set(hwquant._PUBLIC)
    assert set(hwquant.__all__) <= set(dir(hwquant))
    with pytest.raises(AttributeError, match="has no attribute 'magic'"):
        _ = hwquant.magic
