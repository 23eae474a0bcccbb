"""The folder is the registry: list plugins by reading files, describe them, load one.

A plugin is a module with a docstring, a pydantic `Config`, optional `REQUIRES` (module -> extra) and the one
function of its kind. It is found, in this order, in the package's own folder of that kind, in the project's
`plugins/<kind>/`, and under the entry point group `endonym.<kind>`. Listing never imports a plugin.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from endonym.errors import MissingError, UsageError, did_you_mean

PACKAGE = Path(__file__).parent

KINDS: dict[str, tuple[str, str]] = {
    # kind: (folder inside the package, the one function a plugin of this kind has)
    "reader": ("ingest/readers", "read"),
    "filter": ("clean/filters", "sift"),
    "part": ("clean/parts", "fit"),
    "aligner": ("align/aligners", "align"),
    "grouper": ("split/groupers", "group"),
    "augmenter": ("augment/augmenters", "grow"),
    "scorer": ("score/scorers", "score"),
    "task": ("compose/tasks", "compose"),
    "action": ("tokenizer/actions", "run"),
    "recipe": ("train/recipes", "train"),
    "tracker": ("train/trackers", "track"),
    "metric": ("evaluate/metrics", "score"),
    "baseline": ("evaluate/baselines", "prepare"),
    "probe": ("diagnose/probes", "probe"),
    "grader": ("grade/graders", "grade"),
    "index": ("retrieve/indexes", "build"),
    "format": ("export/formats", "export"),
    "backend": ("serve/backends", "load"),
    "launcher": ("launch", "launch"),
}


@dataclass(frozen=True)
class Plugin:
    """What is known of a plugin without importing it."""

    kind: str
    name: str
    path: Path
    origin: str
    """`endonym`, `project`, or the distribution that brought it."""
    help: str
    """First sentence of its docstring."""
    module: str


def available(kind: str, project: Path | None = None) -> dict[str, Plugin]:
    """Return the plugins of `kind` by name, sorted. A project's own plugin replaces one of the same name."""
    if kind not in KINDS:
        raise UsageError(f"there is no plugin kind '{kind}'", did_you_mean(kind, KINDS))
    folder = KINDS[kind][0]
    found = _scan(kind, PACKAGE / folder, "endonym", "endonym." + folder.replace("/", "."))
    found.update(_entry_points(kind))
    if project is not None:
        found.update(_scan(kind, Path(project) / "plugins" / kind, "project", ""))
    return dict(sorted(found.items()))


def load(kind: str, name: str, project: Path | None = None) -> ModuleType:
    """Import the plugin `name` of `kind`, checking what it requires and that it has the function of its kind.

    Raises UsageError for an unknown name, MissingError when an optional dependency is not installed.
    """
    found = available(kind, project)
    if name not in found:
        raise UsageError(f"there is no {kind} '{name}'", did_you_mean(name, found))
    plugin = found[name]
    for module, extra in requires(plugin.path).items():
        if importlib.util.find_spec(module) is None:
            raise MissingError(
                f"{kind} '{name}' needs the Python module '{module}'",
                f"Install it with: pip install 'endonym[{extra}]'",
            )
    loaded = importlib.import_module(plugin.module) if plugin.module else _load_file(plugin)
    function = KINDS[kind][1]
    for attribute in ("Config", function):
        if not hasattr(loaded, attribute):
            raise UsageError(
                f"{kind} '{name}' ({plugin.path}) has no '{attribute}'",
                f"A {kind} is a module with a docstring, a `Config` and a function `{function}`; see docs/add-a-plugin.md.",
            )
    return loaded


def requires(path: Path) -> dict[str, str]:
    """Read `REQUIRES = {"module": "extra"}` from a plugin's source without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "REQUIRES" for target in targets):
                return dict(ast.literal_eval(node.value))
    return {}


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, read as text so that help stays fast."""
    text = path.read_text(encoding="utf-8").lstrip()
    quote = text[:3]
    if quote not in ('"""', "'''"):
        return ""
    body = text[3:].split(quote, 1)[0].strip().split("\n\n", 1)[0]
    return " ".join(body.split())


def _scan(kind: str, folder: Path, origin: str, package: str) -> dict[str, Plugin]:
    found = {}
    if folder.is_dir():
        for path in sorted(folder.glob("*.py")):
            if path.stem.startswith("_"):
                continue
            module = f"{package}.{path.stem}" if package else ""
            found[path.stem] = Plugin(kind, path.stem, path, origin, first_sentence(path), module)
    return found


def _entry_points(kind: str) -> dict[str, Plugin]:
    from importlib.metadata import entry_points

    found = {}
    for point in entry_points(group=f"endonym.{kind}"):
        spec = importlib.util.find_spec(point.module)
        if spec is not None and spec.origin:
            path = Path(spec.origin)
            origin = point.dist.name if point.dist else "entry point"
            found[point.name] = Plugin(kind, point.name, path, origin, first_sentence(path), point.module)
    return found


def _load_file(plugin: Plugin) -> ModuleType:
    name = f"endonym_project_{plugin.kind}_{plugin.name}"
    cached = sys.modules.get(name)
    if cached is not None and getattr(cached, "__file__", None) == str(plugin.path):
        return cached
    spec = importlib.util.spec_from_file_location(name, plugin.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
