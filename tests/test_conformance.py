"""Every plugin, stage and shipped TOML file keeps the house's form, so that help, forms and docs can be derived from it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from endonym import plugins
from endonym.config import Layer
from endonym.errors import MissingError
from endonym.jobs.plan import read_plan
from endonym.jobs.stage import load_stage, resolve, verbs
from endonym.project import Project

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "endonym"
PLUGINS = [
    plugin for kind in plugins.KINDS for plugin in plugins.available(kind).values() if plugin.origin == "endonym"
]
EXAMPLES = sorted((ROOT / "examples").glob("*/endonym.toml"))
PLANS = [path for example in EXAMPLES for path in sorted(example.parent.glob("*.toml"))]


def check_config(config):
    """A Config is frozen, takes no unknown field, and describes every field it has."""
    assert config.model_config.get("frozen") is True
    assert config.model_config.get("extra") == "forbid"
    for name, field in config.model_fields.items():
        assert field.description, f"{name} has no description"


def check_sentence(words):
    assert words.endswith("."), words
    assert 10 <= len(words.partition(". ")[0]) <= 160, words


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_plugin_keeps_the_form(plugin):
    check_sentence(plugin.help)
    try:
        module = plugins.load(plugin.kind, plugin.name)
    except MissingError as error:
        pytest.skip(error.message)
    check_config(module.Config)
    function = getattr(module, plugins.KINDS[plugin.kind][1])
    assert callable(function)
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


def test_every_kind_has_a_folder_with_a_plugin():
    empty = [kind for kind in plugins.KINDS if not plugins.available(kind) and kind != "scorer"]
    assert not empty


@pytest.mark.parametrize("verb", verbs())
def test_stage_keeps_the_form(verb):
    check_sentence(plugins.first_sentence(PACKAGE / verb / "run.py"))
    stage = load_stage(verb)
    check_config(stage.module.Config)
    assert callable(stage.module.run)
    assert stage.choice in ("one", "many", "none")
    made = {load_stage(other).produces for other in verbs()}
    assert {spec.rstrip("?*") for spec in stage.inputs.values()} <= made
    if stage.choice == "none":
        assert not stage.kind
    else:
        assert set(stage.defaults) <= set(plugins.available(stage.kind))
    if stage.choice == "many":
        # A plugin's settings are a table of its name: a field of the same name would hide it.
        assert not set(stage.module.Config.model_fields) & {"plugins", *plugins.available(stage.kind)}


def test_settings_load_without_torch():
    # `endonym plan`, `endonym run` with nothing to do, and every --help resolve settings; none may wait for torch.
    code = (
        "import sys\nfrom endonym import plugins\nfrom endonym.errors import MissingError\n"
        "from endonym.jobs.stage import load_stage, verbs\n"
        "for verb in verbs():\n"
        "    stage = load_stage(verb)\n"
        "    for name in plugins.available(stage.kind) if stage.kind else ():\n"
        "        try:\n            plugins.load(stage.kind, name)\n"
        "        except MissingError as error:\n            assert '[' in error.hint, error  # of an extra that is not installed\n"
        "        heavy = {'torch', 'transformers'} & set(sys.modules)\n"
        "        assert not heavy, f'{verb} {name} imports {heavy}'\n"
        "    assert 'torch' not in sys.modules, verb\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.toml")) + PLANS, ids=lambda path: str(path.relative_to(ROOT)))
def test_toml_parses(path):
    assert tomllib.loads(path.read_text(encoding="utf-8"))


def test_there_is_an_example():
    assert EXAMPLES


@pytest.mark.parametrize("path", PLANS, ids=lambda path: str(path.relative_to(ROOT)))
def test_example_settings_and_plans_are_valid(path):
    project = Project(path.parent)
    steps, layer = read_plan(project, None if path.name == "endonym.toml" else path)
    for verb, plugin in steps:
        own = Layer(layer.label, layer.values.get(verb, {}), layer.path)
        resolve(load_stage(verb), plugin, [project.layer(verb), own], project.path)
    for source in project.sources:
        assert all((project.path / name).is_file() for name in source["files"])
        if "reader" in source:
            plugins.load("reader", source["reader"]).Config(**source.get("settings", {}))


def test_what_is_imported_is_declared():
    """Every third-party module the package imports comes from a distribution that pyproject.toml names."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*about["dependencies"], *(r for extra in about["optional-dependencies"].values() for r in extra)]
    named = {re.split(r"[<>=\[ ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    brought = packages_distributions()
    strangers = set()
    for path in PACKAGE.rglob("*.py"):
        # What a plugin requires is brought by the extra it names, under whatever name the distribution has.
        brought_by_extra = {m for m, extra in plugins.requires(path).items() if extra in about["optional-dependencies"]}
        for module in set(third_party(path)) - brought_by_extra:
            names = {name.lower().replace("_", "-") for name in brought.get(module, [module])}
            if not names & named:
                strangers.add(f"{path.relative_to(ROOT)}: {module}")
    assert not strangers


def third_party(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top != "endonym" and top not in sys.stdlib_module_names:
                yield top


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_keeps_the_house_rules(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if path.name != "__init__.py":
        check_sentence(" ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split()))
    assert path.stem not in ("utils", "helpers", "misc", "common")
    assert text.count("\n") <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
            assert node.end_lineno - body[0].lineno < 60, f"{node.name} is too long"
    assert not re.search(r"#\s*(TODO|FIXME|XXX)|NotImplementedError", text)
