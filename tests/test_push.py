"""Only a certified, unchanged export goes to the hub, only when asked, and never against the owners' wish."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from endonym.cli.main import main
from endonym.project import Project
from endonym.store import jobs as rows
from endonym.store.files import file_hash


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, Path]:
    """A project with one finished `hub_folder` export: its path and the export's folder."""
    project = Project.create(tmp_path / "p", name="P", language="tzh", pivot="spa", base="none")
    row = rows.find_or_create(project.db, "export", "hub_folder", "key", {}, {})
    folder = project.runs / row.folder / "output"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("card", encoding="utf-8")
    files = {path.name: file_hash(path) for path in folder.iterdir()}
    (folder / "parity.json").write_text(json.dumps({"result": "certified", "files": files}), encoding="utf-8")
    rows.register_artifact(project.db, row.id, "export", "hash", [])
    return project.path, folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What was asked of the hub, which takes everything."""
    asked: list[tuple[str, dict[str, Any]]] = []

    class Api:
        def __init__(self, **_: Any) -> None: ...

        def create_repo(self, repo: str, **more: Any) -> None:
            asked.append(("create", {"repo": repo, **more}))

        def upload_folder(self, **more: Any) -> SimpleNamespace:
            asked.append(("upload", more))
            return SimpleNamespace(commit_url="https://hub/commit")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return asked


def push(project: Path, *more: str) -> int:
    return main(["push", "school/tseltal", "--project", str(project), "--json", *more])


def test_nothing_is_uploaded_unless_asked(exported, hub, capsys):
    assert push(exported[0]) == 0
    assert json.loads(capsys.readouterr().out)["uploaded"] is False
    assert hub == []


def test_the_certified_files_go_up_for_oneself_alone(exported, hub, capsys):
    assert push(exported[0], "--yes") == 0
    assert json.loads(capsys.readouterr().out)["url"] == "https://hub/commit"
    (_, made), (_, sent) = hub
    assert made == {"repo": "school/tseltal", "private": True, "exist_ok": True}
    assert sent["folder_path"] == exported[1]
    assert sent["allow_patterns"] == ["README.md", "model.safetensors", "parity.json"]


@pytest.mark.parametrize("change", ["changed", "added", "gone", "no certificate"])
def test_what_is_not_as_certified_stays(exported, hub, capsys, change):
    folder = exported[1]
    if change == "changed":
        (folder / "model.safetensors").write_bytes(b"other")
    elif change == "added":
        (folder / "notes.txt").write_text("x", encoding="utf-8")
    elif change == "gone":
        (folder / "README.md").unlink()
    else:
        (folder / "parity.json").unlink()
    assert push(exported[0], "--yes") != 0
    assert hub == []


def test_who_is_not_logged_in_is_told_how(exported, hub, capsys, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert push(exported[0], "--yes") != 0
    assert "hf auth login" in capsys.readouterr().err
    assert hub == []


def test_a_restriction_added_later_holds(exported, hub, capsys, monkeypatch):
    from endonym.export import ready

    monkeypatch.setattr(
        ready, "learned_from", lambda *_: [{"files": ["songs.txt"], "restrictions": ["no-publication"]}]
    )
    monkeypatch.setattr(Project, "ancestry", lambda *_: {"model": exported[1]})
    assert push(exported[0], "--yes") != 0
    assert "songs.txt" in capsys.readouterr().err
    assert hub == []
