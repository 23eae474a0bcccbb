"""What a verb is made of, read from its folder: plugin kind, inputs, product, settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from endonym import plugins
from endonym.config import Layer, raise_problems, validate
from endonym.errors import UsageError, did_you_mean

ORDER = (
    "ingest",
    "clean",
    "align",
    "split",
    "augment",
    "compose",
    "score",
    "tokenizer",
    "train",
    "evaluate",
    "diagnose",
    "grade",
    "compare",
    "export",
    "teach",
    "serve",
)


@lru_cache
def verbs() -> tuple[str, ...]:
    """The stages there are, in the order a plan runs them."""
    return tuple(verb for verb in ORDER if (plugins.PACKAGE / verb / "run.py").is_file())


def sentence(verb: str) -> str:
    """First sentence of the stage's module, without importing it."""
    return plugins.first_sentence(plugins.PACKAGE / verb / "run.py")


@dataclass(frozen=True)
class Stage:
    """A verb: its module and what the module declares."""

    verb: str
    module: ModuleType

    @property
    def kind(self) -> str:
        return str(getattr(self.module, "KIND", ""))

    @property
    def choice(self) -> str:
        """`one`, `many` or `none`."""
        return str(getattr(self.module, "CHOICE", "none"))

    @property
    def inputs(self) -> Mapping[str, str]:
        return dict(getattr(self.module, "INPUTS", {}))

    @property
    def produces(self) -> str:
        return str(self.module.PRODUCES)

    @property
    def defaults(self) -> list[str]:
        default = getattr(self.module, "DEFAULT", [])
        return [default] if isinstance(default, str) else list(default)


def load_stage(verb: str) -> Stage:
    """Import the stage `verb`; raises UsageError for an unknown one."""
    if verb not in verbs():
        raise UsageError(f"there is no verb '{verb}'", did_you_mean(verb, verbs()))
    return Stage(verb, importlib.import_module(f"endonym.{verb}.run"))


@dataclass(frozen=True)
class Resolved:
    """Validated settings of one job."""

    stage: Stage
    config: Any
    plugins: Mapping[str, tuple[ModuleType, Any]]
    """Name -> (module, its validated Config), in the order they run."""

    @property
    def inputs(self) -> dict[str, str]:
        """What the stage takes, and what its plugin takes beside that (`INPUTS` of the plugin)."""
        taken = dict(self.stage.inputs)
        for module, _ in self.plugins.values():
            taken.update(getattr(module, "INPUTS", {}))
        return taken

    @property
    def produces(self) -> str:
        """The kind of artifact: the plugin's own `PRODUCES` where it has one, else the stage's."""
        own = [str(module.PRODUCES) for module, _ in self.plugins.values() if hasattr(module, "PRODUCES")]
        return own[0] if own and self.stage.choice == "one" else self.stage.produces

    def as_json(self) -> dict[str, Any]:
        """`{"stage": {...}, "plugins": {name: {...}}}`, stable enough to hash."""
        return {
            "stage": self.config.model_dump(mode="json"),
            "plugins": {name: cfg.model_dump(mode="json") for name, (_, cfg) in self.plugins.items()},
        }


def resolve(stage: Stage, plugin: str, layers: Sequence[Layer], project: Path) -> Resolved:
    """Merge the layers of settings for `stage` and the plugins it will use; raises ConfigError with all problems."""
    names = _chosen(stage, plugin, layers)
    modules = {name: plugins.load(stage.kind, name, project) for name in names}
    known = set(plugins.available(stage.kind, project)) if stage.kind else set()
    stage_fields = set(stage.module.Config.model_fields)
    problems: list[str] = []
    for_stage: list[Layer] = []
    for_plugin: dict[str, list[Layer]] = {name: [] for name in names}
    for layer in layers:
        own: dict[str, Any] = {}
        flat: dict[str, Any] = {}
        for raw_key, value in layer.values.items():
            key = raw_key.replace("-", "_")
            if key in known and isinstance(value, Mapping):
                if key in for_plugin:
                    for_plugin[key].append(Layer(layer.label, value, layer.path))
                elif layer.path is None:
                    problems.append(
                        f"{layer.label}: '{raw_key}' is not among the {stage.kind}s used: {', '.join(names)}"
                    )
            elif stage.choice == "many" and key == "plugins":
                continue
            elif stage.choice == "one" and layer.path is None and key not in stage_fields:
                flat[raw_key] = value
            else:
                own[raw_key] = value
        for_stage.append(Layer(layer.label, own, layer.path))
        if flat:
            for_plugin[names[0]].append(Layer(layer.label, flat))
    config = validate(stage.module.Config, for_stage, stage.verb, problems)
    checked = {
        name: (module, validate(module.Config, for_plugin[name], f"{stage.verb}.{name}", problems))
        for name, module in modules.items()
    }
    raise_problems(problems)
    return Resolved(stage, config, checked)


def _chosen(stage: Stage, plugin: str, layers: Sequence[Layer]) -> list[str]:
    """Names of the plugins a job uses: the one given, the list in the settings (later layer wins), or the defaults."""
    if stage.choice == "none":
        if plugin:
            raise UsageError(
                f"'{stage.verb}' takes no plugin name (got '{plugin}')", f"See: endonym {stage.verb} --help"
            )
        return []
    names = [plugin] if plugin else list(stage.defaults)
    if stage.choice == "many" and not plugin:
        for layer in layers:
            if "plugins" in layer.values:
                given = layer.values["plugins"]
                names = [n.strip() for n in given.split(",") if n.strip()] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"'plugins' of '{stage.verb}' is a list of names", f"See: endonym {stage.verb} --help")
    return names


def resolve_stored(stage: Stage, settings: Mapping[str, Any], project: Path) -> Resolved:
    """Rebuild `Resolved` from `as_json()` data, as the worker does."""
    problems: list[str] = []
    config = validate(stage.module.Config, [Layer("job", settings["stage"])], stage.verb, problems)
    checked = {}
    for name, values in settings["plugins"].items():
        module = plugins.load(stage.kind, name, project)
        checked[name] = (module, validate(module.Config, [Layer("job", values)], f"{stage.verb}.{name}", problems))
    raise_problems(problems)
    return Resolved(stage, config, checked)
