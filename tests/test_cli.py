"""The command line: options made from settings, help, errors with repairs, JSON, and the commands around a project."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from endonym.cli import verbs
from endonym.cli.console import number, pad, seconds, table, width
from endonym.cli.main import build, main
from endonym.cli.options import add_fields, nest, unknown
from endonym.cli.parser import Parser
from endonym.errors import UsageError
from endonym.project import Project


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(8, description="Size of the adapter.")
    rate: float | None = Field(None, description="Learning rate")
    cosine: bool = Field(True, description="Let the rate fall, 100 % to 0.")
    layers: list[int] = Field([1, 2], description="Layers to train.")
    weights: dict[str, float] = Field({}, description="Weight of each task.")
    hints: Literal["none", "both"] = Field("both", description="Which hints.")
    when: int | Literal["never"] = Field("never", description="How often.")
    folder: Path | None = Field(None, description="Where.")


def parse(*words: str) -> Settings:
    parser = Parser("test", "")
    add_fields(parser, Settings, "x.")
    return Settings(**nest(vars(parser.parse_args(words))).get("x", {}))


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--x.rank", "16"], "rank", 16),
        (["--x.rate", "3e-4"], "rate", 3e-4),
        (["--x.rate", "none"], "rate", None),
        (["--x.no-cosine"], "cosine", False),
        (["--x.cosine"], "cosine", True),
        (["--x.layers", "3, 4,5"], "layers", [3, 4, 5]),
        (["--x.weights", "translate=2,define=0.5"], "weights", {"translate": 2.0, "define": 0.5}),
        (["--x.hints", "none"], "hints", "none"),
        (["--x.when", "7"], "when", 7),
        (["--x.when", "never"], "when", "never"),
        (["--x.folder", "a/b"], "folder", Path("a/b")),
    ],
)
def test_an_option_becomes_its_setting(words, name, value):
    assert getattr(parse(*words), name) == value


def test_options_not_given_keep_their_defaults():
    assert parse() == Settings()


def test_help_says_description_default_and_choices():
    parser = Parser("test", "")
    add_fields(parser, Settings)
    text = " ".join(parser.format_help().split())
    for words in (
        "--rank N Size of the adapter. (default: 8)",
        "--rate X Learning rate. (default: none)",
        "--[no-]cosine Let the rate fall",
        ", 100 % to 0. (default: yes)",
        "(default: 1,2)",
        "--hints none|both",
    ):
        assert words in text


def test_unknown_options_become_settings_to_be_checked():
    assert unknown(["word", "--rnk", "3", "--length.max-char=9", "--fast"]) == (
        {"rnk": "3", "length.max_char": "9", "fast": True},
        ["word"],
    )


def test_words_line_up_in_every_script():
    assert width("ሰላም") == 3
    assert width("नमस्ते") == 4
    assert width("你好") == 4
    assert width("k\u0331") == 1
    assert pad("你", 4) == "你  "
    assert table([("a", 1), ("bcd", 12)], ("x", "n"), right=[1]) == "x     n\na     1\nbcd  12"
    assert [seconds(s) for s in (9, 250, 7500)] == ["9 s", "4 min 10 s", "2 h 5 min"]
    assert [number(n) for n in (12345, 0.03125, 21.44, "x")] == ["12,345", "0.03125", "21.44", "x"]


def test_overview_names_every_verb(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in verbs.names():
        assert f"\n  {verb} " in text


def test_every_stage_is_in_the_overview():
    from endonym.jobs.stage import verbs as stages

    assert set(stages()) <= set(verbs.names())


@pytest.mark.parametrize("verb", verbs.names())
def test_every_verb_has_help(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: endonym {verb}")
    assert "--json" in text and "--project" in text


@pytest.mark.parametrize("verb", verbs.names())
def test_every_option_has_help(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    silent = [
        action.dest for parser in parsers(build(verb, []).parser) for action in parser._actions if not action.help
    ]
    assert not [name for name in silent if name != "action"]


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from dict.fromkeys(action.choices.values())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["jbs"], 2, "Did you mean 'jobs'?"),
        (["jobs", "shw", "1"], 2, "endonym jobs --help"),
        (["init", "p"], 2, "--language"),
        (["init", "p", "--language", "Zzyzx"], 2, "ISO 639-3"),
        (["init", "p", "--language", "mixe"], 2, "mto (Totontepec Mixe)"),
        (["run"], 2, "endonym init NAME"),
        (["run", "--project", "nowhere"], 2, "endonym init NAME"),
        (["plugins", "metrc"], 2, "Did you mean 'metric'?"),
        (["plugins", "show", "metric", "chrff"], 2, "Did you mean 'chrf'?"),
        (["models", "get", "smolm-135m"], 3, "Did you mean 'smollm2-135m'?"),
    ],
)
def test_a_wrong_command_says_what_and_how_to_repair_it(words, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    caught = capsys.readouterr()
    assert not caught.out
    assert caught.err.startswith("error: ")
    assert "\n\nhint: " in caught.err
    assert said in caught.err
    assert not list(tmp_path.iterdir())


def test_an_error_is_json_too(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "UsageError" and error["exit_code"] == 2 and error["hint"]


@pytest.fixture
def project(tmp_path, monkeypatch, capsys) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mine", "--language", "tzh", "--pivot", "spa", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["language"] == "tzh"
    return tmp_path / "mine"


def test_init_makes_a_project_that_opens_from_beside_and_within(project, monkeypatch, capsys):
    opened = Project(project)
    assert (opened.language, opened.pivot) == ("tzh", "spa")
    for place in (project.parent, project, project / "raw"):
        monkeypatch.chdir(place)
        assert main(["jobs", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"jobs": []}
    assert main(["init", str(project), "--language", "tzh"]) == 2


def test_two_projects_side_by_side_are_not_guessed_between(project, monkeypatch, capsys):
    monkeypatch.chdir(project.parent)
    main(["init", "other", "--language", "amh"])
    capsys.readouterr()
    assert main(["jobs"]) == 2


SOURCES = """
# my notes stay
[[sources]]
files = ["raw/a.tsv"]   # the first
licence = "CC0-1.0"
[sources.settings]
source = "es"

[[sources]]
files = [
  "raw/b.tsv",
  "raw/c.tsv",
]

[clean]
plugins = ["length"]
"""


def test_sources_are_listed_and_removed_without_touching_other_lines(project, capsys):
    file = project / "endonym.toml"
    before = file.read_text()
    file.write_text(before + SOURCES)
    (project / "raw" / "a.tsv").write_text("x\n")
    main(["sources", "--project", str(project)])
    text = capsys.readouterr().out
    assert "2 B" in text and text.count("missing") == 2
    assert main(["sources", "remove", "raw/c.tsv", "--project", str(project)]) == 0
    assert (
        file.read_text()
        == before + SOURCES[: SOURCES.index("[[sources]]\nfiles = [\n")] + '[clean]\nplugins = ["length"]\n'
    )
    assert main(["sources", "remove", "1", "--project", str(project)]) == 0
    assert file.read_text() == before + '\n# my notes stay\n[clean]\nplugins = ["length"]\n'
    assert main(["sources", "remove", "1", "--project", str(project)]) == 2


def test_the_rights_of_a_source_are_changed_and_every_other_line_stays(project, capsys):
    file = project / "endonym.toml"
    before = file.read_text()
    file.write_text(before + SOURCES)
    where = ["--project", str(project)]
    words = ["--licence", "CC BY 4.0", "--consent", "the singers, 2024", "--restriction", "no-commercial"]
    assert main(["sources", "rights", "raw/c.tsv", *words, "--restriction", "ask-first", *where]) == 0
    said = 'licence = "CC BY 4.0"\nconsent = "the singers, 2024"\nrestrictions = ["no-commercial", "ask-first"]\n'
    assert file.read_text() == before + SOURCES.replace('  "raw/c.tsv",\n]\n', f'  "raw/c.tsv",\n]\n{said}')
    assert "no-commercial, ask-first" in capsys.readouterr().out
    assert main(["sources", "rights", "2", "--licence", "", "--restriction", "", *where]) == 0
    kept = file.read_text()
    assert kept == before + SOURCES.replace('  "raw/c.tsv",\n]\n', '  "raw/c.tsv",\n]\nconsent = "the singers, 2024"\n')
    for wrong in (["2"], ["2", "--restriction", "no-comercial"], ["9", "--licence", "x"]):
        assert main(["sources", "rights", *wrong, *where]) == 2
    assert file.read_text() == kept


def test_doctor_names_what_is_missing_and_the_fix(project, capsys, monkeypatch):
    monkeypatch.setenv("ENDONYM_CACHE", str(project / "empty-cache"))
    file = project / "endonym.toml"
    file.write_text(file.read_text() + '\n[[sources]]\nfiles = ["raw/gone.tsv"]\n')
    base = file.read_text()
    file.write_text(base.replace('base = "smollm2-135m"', 'base = "no-such-folder"'))
    assert main(["doctor", "--json", "--project", str(project)]) == 3
    found = {f["what"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert found["base model"]["state"] == "missing" and found["base model"]["fix"]
    assert "raw/gone.tsv" in found["sources"]["fix"]
    assert all(f["fix"] for f in found.values() if f["state"] != "ok")
    file.write_text("[project\n")
    assert main(["doctor", "--json", "--project", str(project)]) == 3
    assert "endonym.toml" in capsys.readouterr().out


def test_common_options_stand_before_or_behind_the_verb(project, capsys, monkeypatch):
    monkeypatch.chdir(project)
    for words in (["--json", "jobs", "ls"], ["jobs", "--json", "ls"], ["jobs", "ls", "--json"]):
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out) == {"jobs": []}
    monkeypatch.chdir(project.parent.parent)
    assert main(["--project", str(project), "jobs", "--json"]) == 0


def test_wrong_number_of_words_is_a_usage_error():
    with pytest.raises(UsageError, match="takes a kind and a name"):
        command = build("plugins", ["show", "metric"])
        command.run(command.parse(), None)


def test_a_fault_of_ours_is_one_screen_too(project, capsys, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr("endonym.store.jobs.listing", lambda db: {}["draft"])
    monkeypatch.delenv("ENDONYM_DEBUG", raising=False)
    assert main(["jobs", "--json"]) == 1
    caught = capsys.readouterr()
    assert "KeyError: 'draft'" in caught.err and "ENDONYM_DEBUG=1" in caught.err and "Traceback" not in caught.err
    assert json.loads(caught.out)["error"]["exit_code"] == 1
    monkeypatch.setenv("ENDONYM_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["jobs"])
