"""The product works from a wheel, in a fresh environment, outside the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from hwquant import __version__

ROOT = Path(__file__).parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
IGNORED = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "demo-*", "sim_build")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """An sdist of a copy of the checkout, as building leaves traces in the folder, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=IGNORED)
    command = [sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return sorted((folder / "dist").iterdir())


@pytest.fixture(scope="module")
def wheel(distributions):
    """The wheel."""
    (path,) = (path for path in distributions if path.suffix == ".whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter with the wheel installed; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    interpreter = folder / "bin" / "python"
    install = ["-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, *install], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # Nested .pth files are not read, so this environment's own, editable hwquant stays away.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


def test_an_index_takes_them(distributions):
    assert [path.name for path in distributions] == [
        f"hwquant-{__version__}-py3-none-any.whl",
        f"hwquant-{__version__}.tar.gz",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *distributions], capture_output=True
    )
    assert run.returncode == 0, run.stdout


def test_the_changelog_has_the_version():
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", CHANGELOG.read_text(), re.M)


def test_the_wheel_has_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    places = {
        "hwquant": "hwquant",
        **{name: f"hwquant/{name}" for name in ("rtl_templates", "sim", "boards")},
    }
    for folder, place in places.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{place}/{path.relative_to(ROOT / folder).as_posix()}" in names
    assert not [name for name in names if name.split("/")[0] not in ("hwquant", wheel_metadata(wheel))]


def test_the_wheel_has_the_version_of_the_code(wheel, python):
    assert wheel.name.split("-")[1] == __version__
    code = "import hwquant; from importlib.metadata import version; print(hwquant.__version__, version('hwquant'))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-c", code]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=wheel.parent, env=environment
    )
    assert run.stdout.split() == [__version__, __version__]


def wheel_metadata(wheel):
    """Name of the folder with the metadata."""
    return "-".join(wheel.name.split("-")[:2]) + ".dist-info"


def test_the_demo_runs_from_the_wheel(python, tmp_path):
    environment = {**os.environ, "HWQUANT_CACHE": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    where = [
        python,
        "-c",
        "import hwquant.sim, hwquant.rtl_templates as rtl; print(hwquant.__file__, rtl.__file__)",
    ]
    for path in subprocess.run(
        where, capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.split():
        assert Path(path).is_relative_to(python.parent.parent)
    command = [python.parent / "hwquant", "demo", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["simulation"]["mismatches"] == 0
    assert result["simulation"]["samples_with_layers"] >= 20
    assert (tmp_path / "demo" / "build" / "hwquant.v").is_file()
