"""Who imports whom, and what a command must not wait for."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "landslide"

ALLOWED = {
    "errors": set(),
    "terminal": set(),
    "config": {"errors"},
    "losses": {"config", "errors"},
    "metrics": {"config", "errors"},
    "data": {"config", "errors"},
    "models": {"config", "errors"},
    "tracking": {"config", "errors", "data", "models", "losses", "metrics"},
    "report": {"config", "errors", "metrics", "tracking", "terminal"},
    "training": {"config", "errors", "data", "models", "losses", "metrics", "tracking", "report", "terminal"},
    "sweep": {"config", "errors", "data", "models", "losses", "metrics", "tracking", "report", "terminal", "training"},
    "cli": {
        *("config", "errors", "data", "models", "losses", "metrics", "tracking", "report", "terminal"),
        *("training", "sweep"),
    },
}
"""What each part may import of the others; the package itself (its version) may be imported by all."""

HEAVY = ("torch", "mlflow", "pandas", "matplotlib", "numpy", "pytorch_lightning", "scipy", "PIL")
LIGHT = [
    "landslide",
    "landslide.errors",
    "landslide.config",
    "landslide.terminal",
    *(f"landslide.cli.{path.stem}" for path in sorted((PACKAGE / "cli").glob("*.py")) if path.stem != "__init__"),
    "hydra_plugins.landslide_sweeper",
    "train",
]


def part_of(path: Path) -> str:
    """``data`` of ``landslide/data/tiles.py``, ``config`` of ``landslide/config.py``."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(source: str) -> Iterator[str]:
    """Parts of this package that a module imports anywhere in it, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            part = rest.partition(".")[0]
            if first == "landslide" and part in ALLOWED:
                yield part


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_the_reader_of_imports_sees_every_way_of_importing() -> None:
    source = """
import landslide.data.tiles
from landslide import config
from landslide.models.weights import OTHER_WAYS
from landslide import __version__
def inside():
    from landslide.sweep import space
"""
    assert sorted(imported_parts(source)) == ["config", "data", "models", "sweep"]


def test_every_part_of_the_package_has_its_place_in_the_order() -> None:
    assert {part_of(path) for path in MODULES} <= set(ALLOWED)
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_stands_before_it(path: Path) -> None:
    part = part_of(path)
    others = {name for name in imported_parts(path.read_text()) if name != part}
    assert others <= ALLOWED[part]


def test_the_order_has_no_circle_and_nobody_imports_the_command_line() -> None:
    # Given, when: take away what needs nothing more, again and again
    left = dict(ALLOWED)
    while free := [part for part, needs in left.items() if not needs & set(left)]:
        for part in free:
            del left[part]
    # Then
    assert not left
    assert not any("cli" in needs for needs in ALLOWED.values())
    assert not {"training", "sweep"} & (ALLOWED["report"] | ALLOWED["tracking"])


def test_no_module_is_named_after_nothing() -> None:
    names = {path.stem for folder in (PACKAGE, ROOT / "hydra_plugins") for path in folder.rglob("*")}
    assert not names & {"utils", "util", "common", "helpers", "helper", "misc"}


def test_hydra_finds_plugins_only_in_a_folder_without_init() -> None:
    assert not (ROOT / "hydra_plugins" / "__init__.py").exists()
    assert (ROOT / "hydra_plugins" / "landslide_sweeper" / "__init__.py").exists()


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_imports_nothing_heavy(module: str) -> None:
    # Given: a fresh interpreter
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    # When
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    # Then
    loaded = set(json.loads(done.stdout))
    assert module in loaded
    assert not loaded & set(HEAVY)


def test_help_is_there_without_anything_heavy() -> None:
    code = (
        "import sys\nfrom landslide.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(set(sys.modules) & set({HEAVY!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "landslide" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
