"""What a user installs: the wheel works in any folder, and no file of the repository knows one machine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"analysis", "importers", "sample_data", "store", "tui"}
LOCK_FILES = ["requirements.lock", "requirements-dev.lock"]
OLDER = "requirements-duckdb14.lock"
"""An older DuckDB alone, to open releases with."""

# Put together from parts, so that this file does not name what it looks for.
MACHINE_PATHS = [b"/work" + b"/", b"/root" + b"/", b"/opt" + b"/", b"/tmp" + b"/dev"]
PACKAGE_INDEXES = [b"pypi" + b".org", b"python" + b"hosted.org"]


@pytest.fixture(scope="session")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=repository,
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("dosetrail-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `dosetrail` command of a new environment that holds the wheel and sees the locked dependencies."""
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            wheel,
        ],
        check=True,
    )
    # A .pth of another environment's folder is not read through this one: the editable install stays unseen.
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "dosetrail"


def _run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DOSETRAIL"))}
    return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folder_with_namesakes(tmp_path: Path) -> Path:
    """A user's folder whose files are named like our packages and leave a mark when they are imported."""
    mark = "import pathlib\npathlib.Path(__file__).with_name('IMPORTED').touch()\n"
    folder = tmp_path / "my work"
    (folder / "analysis").mkdir(parents=True)
    (folder / "analysis" / "__init__.py").write_text(mark)
    for name in ("store.py", "tui.py", "importers.py", "sample_data.py", "polars.py"):
        (folder / name).write_text(mark)
    return folder


def test_wheel_holds_code_sample_data_and_licences(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == PACKAGES
    shipped = {
        file.relative_to(repository).as_posix()
        for file in (repository / "sample_data").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert shipped <= names
    assert {"sample_data/autoinjector/LICENSE", "sample_data/cdisc_pilot/NOTICE"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_demo_of_the_installed_wheel_ignores_namesakes(installed: Path, folder_with_namesakes: Path) -> None:
    demo = _run([installed, "demo", "trial"], folder_with_namesakes)
    assert demo.returncode == 0, demo.stderr
    assert "677/684" in demo.stdout
    summary = _run([installed, "summary", "--study", "trial"], folder_with_namesakes)
    assert summary.returncode == 0, summary.stderr
    assert not list(folder_with_namesakes.rglob("IMPORTED"))


def test_second_demo_changes_nothing(installed: Path, tmp_path: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {file: (file.lstat().st_mtime_ns, file.lstat().st_size) for file in tmp_path.rglob("*")}

    assert _run([installed, "demo", "trial"], tmp_path).returncode == 0
    before = state()
    again = _run([installed, "demo", "trial"], tmp_path)
    assert again.returncode == 0, again.stderr
    assert "677/684" in again.stdout
    assert state() == before


def _declared(repository: Path) -> set[str]:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return {re.split(r"[^A-Za-z0-9_-]", dependency)[0].lower() for dependency in project["dependencies"]}


def _imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_every_imported_package_is_declared_and_locked(repository: Path) -> None:
    modules = [module for package in PACKAGES for module in (repository / package).rglob("*.py")]
    imported = set().union(*map(_imported, modules)) - set(sys.stdlib_module_names) - PACKAGES
    assert {"duckdb", "polars", "textual"} <= imported
    assert imported <= _declared(repository)
    for name in LOCK_FILES:
        pinned = set(re.findall(r"^([a-z0-9-]+)==", (repository / name).read_text(), re.MULTILINE))
        assert _declared(repository) <= pinned, f"{name} is older than pyproject.toml: make lock"


@pytest.mark.parametrize("name", [*LOCK_FILES, OLDER])
def test_lock_pins_by_hash_and_names_no_source(name: str, repository: Path) -> None:
    text = (repository / name).read_text()
    assert not re.search(r"://|file:|@ |^-", text, re.MULTILINE)
    pins = text.replace("\\\n", " ").strip().splitlines()
    assert len(pins) > (0 if name == OLDER else 20)
    for pin in pins:
        assert re.match(r"[a-z0-9-]+==[^ ]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*$", pin), pin


def test_both_locks_pin_the_same_versions(repository: Path) -> None:
    program, tools = (
        dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (repository / name).read_text(), re.MULTILINE))
        for name in LOCK_FILES
    )
    common = program.keys() & tools.keys()
    assert {"duckdb", "polars", "textual"} <= common
    assert {name: program[name] for name in common} == {name: tools[name] for name in common}


def test_no_file_names_a_machine_path_or_a_package_index(repository: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("the repository's list of files is known only in a git checkout")
    files = [repository / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    assert repository / "pyproject.toml" in files
    found = {
        f"{file.relative_to(repository)}: {word.decode()}"
        for file in files
        if file.is_file()
        for word in MACHINE_PATHS + PACKAGE_INDEXES
        if word in file.read_bytes()
    }
    assert found == set()
