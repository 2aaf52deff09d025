"""What users install: wheels built from the packages hold every file and run outside the source tree."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = sorted(
    file.parent for file in [*ROOT.glob("core/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]
)
PRODUCTS = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__")


def run(*command, **options):
    """Run a command and return what it printed; its error output is shown if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """One wheel per distribution, built from a copy so that nothing is left in the source tree, offline."""
    place = tmp_path_factory.mktemp("wheels")
    for folder in DISTRIBUTIONS:
        copy = shutil.copytree(folder, place / "source" / folder.name, ignore=PRODUCTS)
        options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", place)
        run(sys.executable, "-m", "pip", "--quiet", "wheel", *options, copy)
    return sorted(place.glob("*.whl"))


def package_files(folder):
    """The files of a distribution's package in the source tree."""
    (package,) = (file.parent for file in folder.glob("*/__init__.py"))
    files = (file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(folder).as_posix() for file in files}


def test_each_wheel_holds_exactly_the_files_of_its_package(wheels):
    assert len(wheels) == len(DISTRIBUTIONS)
    held = set()
    for wheel in wheels:
        held |= {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set().union(*map(package_files, DISTRIBUTIONS))
    assert any(name.endswith("py.typed") for name in expected)
    assert any(name.endswith(".json") for name in expected)
    assert held == expected


def test_each_wheel_carries_the_licence(wheels):
    text = (ROOT / "LICENSE").read_bytes()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
            assert archive.read(name) == text


def test_installed_wheels_run_far_from_the_source_tree(wheels, tmp_path):
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--no-index", "--target", target, *wheels)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    where = run(
        sys.executable, "-c", "import prefalign.cli.main as m; print(m.__file__)", cwd=tmp_path, env=environment
    )
    assert Path(where.strip()).is_relative_to(target)
    listed = run(sys.executable, "-m", "prefalign.cli.main", "plugins", "--json", cwd=tmp_path, env=environment)
    plugins = {plugin["name"]: plugin for plugin in json.loads(listed)}
    assert plugins.keys() >= {"core", "vision_llm"}
    assert {name: plugin["state"] for name, plugin in plugins.items()} == dict.fromkeys(plugins, "ok")
