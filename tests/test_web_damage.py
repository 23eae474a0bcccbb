"""What is half done, damaged or asked for again: the studio cleans up, answers in a sentence, and reads a file once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from endonym.errors import JobError
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows
from endonym.store.process import identity
from endonym.types import Doc, to_json
from endonym.web.api import review
from endonym.web.app import create_app
from endonym.web.errors import NotFoundError
from endonym.web.uploads import MARK

TOKEN = "t" * 43


@pytest.fixture
def studio(tmp_path: Path) -> TestClient:
    """A studio in this process, over an empty folder."""
    home = tmp_path / "home"
    home.mkdir()
    app = create_app(home, TOKEN)
    return TestClient(app, base_url="http://127.0.0.1:8400", headers={"Authorization": f"Bearer {TOKEN}"})


def app_of(studio: TestClient) -> Any:
    return studio.app.app  # type: ignore[attr-defined]


def test_files_that_nothing_names_do_not_stay(studio: TestClient, monkeypatch: pytest.MonkeyPatch):
    studio.post("/api/v1/projects", json={"name": "p", "language": "tzh"})
    project = app_of(studio).state.home.path / "p"
    left, going = (project / "material" / (sign * 16) for sign in "ab")
    for folder, process in ((left, identity() + "0"), (going, identity())):
        folder.mkdir(parents=True)
        for name in ("named.txt", "other.txt"):
            (folder / name).write_text("x")
        (folder / MARK).write_text(process)
    Project(project).add_source({"files": [f"material/{'a' * 16}/named.txt"]})

    def dies(*asked: Any) -> None:
        raise JobError("the process that worked on this ended", "Try again.")

    monkeypatch.setattr(app_of(studio).state.desk, "call", dies)
    told = studio.post("/api/v1/projects/p/files", files={"files": ("mine.txt", b"words")})
    assert (told.status_code, told.json()["error"]["hint"]) == (409, "Try again.")
    files = {path.relative_to(project / "material").as_posix() for path in (project / "material").rglob("*.*")}
    # What a dead process left is gone but for what a source names; what another one receives now is not touched.
    assert files == {f"{'a' * 16}/named.txt", *(f"{'b' * 16}/{name}" for name in ("named.txt", "other.txt", MARK))}
    assert sorted(folder.name for folder in (project / "material").iterdir()) == ["a" * 16, "b" * 16]
    sent = studio.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("c.jsonl", b"{}")})
    assert [path.name for path in app_of(studio).state.home.path.glob(".endonym/files/*/*")] in (
        ["about.json", "c.jsonl"], ["c.jsonl", "about.json"],
    )  # fmt: skip
    assert studio.get(f"/v1/files/{sent.json()['id']}/content").content == b"{}"


@pytest.mark.parametrize("broken", ["{", "[1]", "{}", '{"files": 3}'])
def test_a_damaged_manifest_is_said_and_hides_nothing_else(
    studio: TestClient, split_project: Callable[..., Project], copied: Callable[[Path, Path], Path], broken: str
):
    source = split_project([("agua", "ja"), ("casa", "na")])
    project = Project(copied(source.path, app_of(studio).state.home.path / "p"))
    (project.output(1) / "manifest.json").write_text(broken)
    (one,) = studio.get("/api/v1/projects/p/datasets").json()["datasets"]
    assert (one["job"], one["kind"], one["splits"]) == (1, "split", {})
    assert "damaged" in one["problem"]["message"]
    records = studio.get("/api/v1/projects/p/datasets/1/records")
    assert (records.status_code, "damaged" in records.json()["error"]["message"]) == (422, True)
    row = rows.find_or_create(project.db, "teach", "", "lesson", {"stage": {}, "plugins": {}}, {})
    project.output(row.id).mkdir(parents=True)
    rows.register_artifact(project.db, row.id, "lesson", "0" * 64, [])
    (project.output(row.id) / "result.json").write_text(broken)
    answer = studio.get("/api/v1/projects/p")
    assert (answer.status_code, answer.json()["experience"]) == (200, None)


def test_a_damaged_database_does_not_hide_the_models_of_others(studio: TestClient):
    for name in ("broken", "whole"):
        studio.post("/api/v1/projects", json={"name": name, "language": "tzh"})
    for path in (app_of(studio).state.home.path / "broken" / ".endonym").glob("endonym.db*"):
        path.write_bytes(b"no database at all" * 100)
    assert studio.get("/v1/models").status_code == 200


def test_a_ledger_is_read_once_for_all_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def line(n: int, reason: str) -> str:
        record = Doc(f"d{n}", "ና" * n, "amh", f"page.png:{n}", {"page": 1, "box": [0, 0, 9, 9], "hash": "0"})
        return json.dumps({"reason": reason, "detail": "", "record": to_json(record)}, ensure_ascii=False) + "\n"

    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(line(n, "ocr.review" if n % 2 else "short") for n in range(1, 9)), encoding="utf-8")
    looked: list[int] = []
    waits = review.review.waits
    monkeypatch.setattr(review.review, "waits", lambda reason: looked.append(1) or waits(reason))
    project: Any = SimpleNamespace(newest=lambda kind: tmp_path, path=tmp_path)
    assert [review._of(project, f"d{n}").text for n in (5, 1, 7)] == ["ና" * 5, "ና", "ና" * 7]
    assert len(looked) == 4
    for ident in ("d2", "nothing"):
        with pytest.raises(NotFoundError):
            review._of(project, ident)
    ledger.write_text(line(12, "ocr.review"), encoding="utf-8")
    assert review._of(project, "d12").text == "ና" * 12


def test_a_step_that_was_taken_twice_is_one_point_of_its_curve(studio: TestClient):
    studio.post("/api/v1/projects", json={"name": "p", "language": "tzh"})
    project = Project(app_of(studio).state.home.path / "p")
    row = rows.find_or_create(project.db, "train", "lora", "key", {"stage": {}, "plugins": {}}, {})
    folder = project.runs / row.folder
    for step, value in ((1, 3.0), (2, 2.5), (2, 2.0), (3, 1.0)):
        events.append(project.db, folder, row.id, "metric", {"name": "loss", "step": step, "value": value})
    told = studio.get(f"/api/v1/projects/p/jobs/{row.id}/metrics").json()
    assert told == {
        "names": {"loss": 3},
        "curves": {"loss": {"number": 3, "steps": [1, 2, 3], "values": [3.0, 2.0, 1.0]}},
    }
    assert studio.get(f"/api/v1/projects/p/jobs/{row.id}/metrics?name=other").json()["curves"] == {}
