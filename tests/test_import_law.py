"""Imports point downward: kernel <- libraries <- stages <- surfaces, and never from stage to stage."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "endonym"
KERNEL = {"types", "errors", "config", "plugins", "project", "worker", "jobs", "launch", "store"}
LIBRARIES = {"data", "models", "retrieve"}
SURFACES = {"cli", "web", "__init__", "__main__"}
STAGES = {path.parent.name for path in PACKAGE.glob("*/run.py")}
KERNEL_MAY_USE = {"endonym.data.dataset"}
"""`store` and `jobs` hash files with the function that datasets use."""
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    """`endonym.data.dataset` -> `data`; the package itself is a surface."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports, at the top or inside functions, type-checking imports left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} uses a relative import"
            module = node.module or ""
            found |= {
                name for a in node.names if (PACKAGE.parent / (name := f"{module}.{a.name}").replace(".", "/")).exists()
            }
            found |= {
                name
                for a in node.names
                if (PACKAGE.parent / f"{(name := f'{module}.{a.name}').replace('.', '/')}.py").exists()
            }
            found.add(module)
    return {name for name in found if name.split(".")[0] == "endonym"}


def forbidden(own: str, used: set[str]) -> set[str]:
    """What the part `own` uses against the law."""
    if own in SURFACES:
        return set()
    allowed = KERNEL if own in KERNEL else KERNEL | LIBRARIES | (set() if own in LIBRARIES else {own})
    excused = KERNEL_MAY_USE if own in KERNEL else set()
    return {name for name in used - {"endonym"} - excused if part_of(name) not in allowed}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert not forbidden(own, imports(path))


def test_every_part_has_its_layer():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert parts == KERNEL | LIBRARIES | STAGES | SURFACES


def test_the_law_sees_a_breach(tmp_path):
    breach = tmp_path / "breach.py"
    breach.write_text("def f():\n    from endonym.evaluate import items\n    import endonym.data.dataset\n")
    used = imports(breach)
    assert forbidden("compose", used) == {"endonym.evaluate", "endonym.evaluate.items"}
    assert forbidden("models", used) == {"endonym.evaluate", "endonym.evaluate.items"}
    assert "endonym.models.load" in forbidden("jobs", {"endonym.models.load", "endonym.store.db"})
    assert not forbidden("cli", used)
