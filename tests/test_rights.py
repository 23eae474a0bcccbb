"""Rights travel with the material: into every record, to the models that learned from it, and to what may be done with these."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from test_ingest import run_ingest

from endonym.cli.main import main
from endonym.data.rights import forbids_publication, known, learned_from, rights_of, says, together, with_rights
from endonym.errors import ConfigError, DataError, UsageError
from endonym.export import card
from endonym.export import run as export
from endonym.ingest.add import add
from endonym.ingest.restate import restate
from endonym.ingest.source import open_source
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.types import Chat, Doc, Message

RIGHTS = {
    "licence": "CC BY 4.0",
    "attribution": "Ana",
    "consent": "council of Bachajón, 2024",
    "restrictions": ["no-commercial"],
}


@pytest.fixture
def project(tmp_path) -> Project:
    project = Project.create(tmp_path / "p", language="tzh", pivot="spa")
    (project.path / "raw" / "a.tsv").write_text("tzh\tspa\nlek a lok'\tsalió bien\nya xbaon\tme voy\n")
    (project.path / "raw" / "b.tsv").write_text("tzh\tspa\njtatik\tseñor\nya xk'an\tquiere\n")
    add(project, [project.path / "raw" / "a.tsv"], **RIGHTS)
    add(project, [project.path / "raw" / "b.tsv"])
    return Project(project.path)


def artifact(project: Project, verb: str, kind: str, inputs: dict[str, int]) -> int:
    """A finished job with an empty artifact of this kind."""
    row = rows.find_or_create(project.db, verb, "", f"{verb}{kind}{inputs}", {}, inputs)
    folder = project.runs / row.folder
    (folder / "output").mkdir(parents=True, exist_ok=True)
    record = {"job": row.id, "kind": kind, "hash": f"h{row.id}", "parents": [], "inputs": inputs, "summary": {}}
    (folder / "artifact.json").write_text(json.dumps(record))
    rows.register_artifact(project.db, row.id, kind, f"h{row.id}", [])
    return row.id


@pytest.fixture
def trained(project) -> tuple[Project, int]:
    """The project with its data read, and the number of a job that learned from it."""
    data = run_ingest(project)
    record = {"job": 1, "kind": "raw", "hash": "h1", "parents": [], "inputs": {}, "summary": {}}
    (data.folder.parent / "artifact.json").write_text(json.dumps(record))
    rows.register_artifact(project.db, 1, "raw", "h1", [])
    return project, artifact(
        project, "train", "model", {"chats": artifact(project, "compose", "chats", {"dataset": 1})}
    )


def test_every_record_carries_the_rights_of_its_source(project):
    data = run_ingest(project)
    found = {record.texts()[0][1]: rights_of(record.meta) for record in data.records()}
    assert found["lek a lok'"] == found["ya xbaon"] == RIGHTS and found["jtatik"] == {}
    assert data.manifest["restrictions"] == {"no-commercial": 2}
    assert [(source["files"], source.get("consent")) for source in data.manifest["sources"]] == [
        (["raw/a.tsv"], RIGHTS["consent"]),
        (["raw/b.tsv"], None),
    ]


def test_what_is_made_of_records_has_their_rights():
    other = {"licence": "CC0", "restrictions": ["ask-first", "no-commercial"]}
    assert together((RIGHTS, other, {})) == RIGHTS | {
        "licence": "CC BY 4.0 / CC0",
        "restrictions": ["ask-first", "no-commercial"],
    }
    chat = Chat("c", (Message("user", "x"),), "a:1", meta={"direction": "spa>tzh"})
    made = with_rights(chat, Doc("d", "x", "tzh", "a:1", {**RIGHTS, "source": "a.tsv"}))
    assert made.meta == {"direction": "spa>tzh", **RIGHTS}
    assert with_rights(chat, Doc("d", "x", "tzh", "a:1")) is chat


def test_a_restriction_that_is_none_is_refused_with_the_nearest_name(project):
    with pytest.raises(UsageError, match="no-comercial") as error:
        add(project, [project.path / "raw" / "a.tsv"], restrictions=["no-comercial"])
    assert "no-commercial" in str(error.value)
    for wrong in ({"restrictions": ["secret"]}, {"restrictions": "no-commercial"}, {"consent": 3}):
        with pytest.raises(ConfigError, match=r"restriction|consent"):
            open_source(project, {"files": ["raw/a.tsv"], **wrong})
    assert all(says(name) != name for name in known())


def job_of(project: Project, model: int) -> tuple[SimpleNamespace, list]:
    told: list[str] = []
    return SimpleNamespace(project=project, event=lambda kind, text: told.append(text)), told


def test_an_export_is_refused_where_a_source_forbids_it_also_when_said_later(trained):
    project, model = trained
    job, told = job_of(project, model)
    materials = learned_from(project, project.output(model))
    export.check_restrictions(materials, False, job)
    assert len(told) == 1 and "no-commercial" in told[0]
    text = project.file.read_text().replace(
        'files = ["raw/b.tsv"]', 'files = ["raw/b.tsv"]\nrestrictions = ["community-only"]'
    )
    project.file.write_text(text)
    later = Project(project.path)
    materials = learned_from(later, later.output(model))
    assert forbids_publication("community-only")
    with pytest.raises(UsageError, match=r"raw/b.tsv is 'community-only'") as error:
        export.check_restrictions(materials, False, job)
    assert "--despite-restrictions" in error.value.hint and "endonym sources remove raw/b.tsv" in error.value.hint
    export.check_restrictions(materials, True, job)
    model_card = card._licence(
        SimpleNamespace(
            licence="",
            base={},
            data_licences=export._licences(SimpleNamespace(manifest={}), materials),
            materials=materials,
        )
    )
    for part in ("CC BY 4.0", "Ana", "no-commercial", "community-only", RIGHTS["consent"]):
        assert part in model_card


def test_removing_a_source_names_the_models_that_saw_it(trained, capsys):
    project, model = trained
    shipped = artifact(project, "export", "export", {"model": model})
    assert main(["sources", "remove", "raw/a.tsv", "--project", str(project.path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(one["job"], one["kind"]) for one in result["models"]] == [(model, "model"), (shipped, "export")]
    assert result["removed"]["consent"] == RIGHTS["consent"]
    # Data made from now on is without it, and a model of that data is not among those that saw it.
    data = run_ingest(Project(project.path))
    assert {record.texts()[0][1] for record in data.records()} == {"jtatik", "ya xk'an"}
    assert main(["sources", "remove", "raw/b.tsv", "--project", str(project.path)]) == 0
    text = capsys.readouterr().out
    assert "makes the data again without it" in text and "train" in text and str(project.output(model)) in text


def test_a_source_that_is_missing_is_still_an_error_of_the_data(project):
    with pytest.raises(DataError):
        open_source(project, {"files": ["raw/none.tsv"], **RIGHTS})


def test_rights_are_changed_where_they_stand(tmp_path):
    Project.create(tmp_path / "p", language="tzh")
    file = tmp_path / "p" / "endonym.toml"
    head = file.read_text(encoding="utf-8")
    first = '\n[[sources]]\nfiles = ["a.tsv"]  # ours\n'
    second = '\n# theirs\n[[sources]]\nfiles = ["b.tsv"]\n'
    old = 'restrictions = [\n  "ask-first",\n]\nconsent = """one\ntwo"""\n'
    rest = '\n[sources.settings]\nlicence = "no right"\n\n[clean]\nplugins = ["unicode"]\n'
    file.write_text(head + first + second + old + rest, encoding="utf-8")
    restate(Project(tmp_path / "p"), "b.tsv", {"licence": "CC0", "consent": "", "restrictions": ["no-commercial"]})
    new = 'licence = "CC0"\nrestrictions = ["no-commercial"]\n'
    assert file.read_text(encoding="utf-8") == head + first + second + new + rest
    restate(Project(tmp_path / "p"), "1", {"attribution": "Ana"})
    assert file.read_text(encoding="utf-8") == head + first + 'attribution = "Ana"\n' + second + new + rest
    # A table that cannot be changed by lines is left alone.
    file.write_text(f"sources = [{{ files = ['a.tsv'] }}]\n{head}", encoding="utf-8")
    with pytest.raises(ConfigError, match="safely"):
        restate(Project(tmp_path / "p"), "1", {"licence": "CC0"})
