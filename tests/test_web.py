"""The studio's API: what a page or a program asks of it, against a real server process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from conftest import studio_over

from endonym.teach.settings import Config
from endonym.web.api.chat import _told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Studio

TSELTAL = Path(__file__).parent / "data" / "tseltal"
QUICK = {"steps": 4, "batch_size": 4, "samples": 0, "evaluate_every": 2, "valid_rows": 4, "rank": 2}


@pytest.fixture(scope="module")
def taught(studio: Studio, composed: Path, copied: Callable[[Path, Path], Path]) -> Iterator[httpx.Client]:
    """A program's client at a project with a trained, evaluated, exported and compared model, all started over HTTP."""
    copied(composed, studio.home / "tseltal")
    with studio.program() as client:
        client.base_url = f"{studio.base}/api/v1/projects/tseltal"
        for verb, plugin, settings in (
            ("train", "lora", QUICK),
            (
                "evaluate",
                "",
                {"max_items": 3, "max_new_tokens": 8, "samples": 0, "plugins": ["chrf"], "baselines": ["copy"]},
            ),
            ("export", "adapter", {"parity_rows": 2, "parity_tokens": 4}),
            ("compare", "", {}),
        ):
            done(client, start(client, verb, plugin, settings))
        yield client


def start(client: httpx.Client, verb: str, plugin: str = "", settings: dict[str, Any] | None = None) -> int:
    answer = client.post("/jobs", json={"verb": verb, "plugin": plugin, "settings": settings or {}})
    assert answer.status_code == 202, answer.text
    return int(answer.json()["id"])


def done(client: httpx.Client, job: int, state: str = "succeeded") -> dict[str, Any]:
    """The job once it ended."""
    for _ in range(1200):
        found: dict[str, Any] = client.get(f"/jobs/{job}").json()
        if found["state"] not in ("queued", "running"):
            break
        time.sleep(0.1)
    assert found["state"] == state, found["error"]
    return found


def test_the_printed_address_opens_once_and_the_browser_stays_in(tmp_path: Path):
    # A studio of its own: the address of the one that all tests share may be too old by now.
    with studio_over(tmp_path) as studio, httpx.Client(base_url=studio.base) as browser:
        assert browser.get("/").status_code == 401
        entered = browser.get(studio.entrance)
        assert entered.status_code == 303
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        page = browser.get("/")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        with httpx.Client(base_url=studio.base) as other:
            assert other.get(studio.entrance).status_code == 403
            assert other.get("/").status_code == 401


def test_a_project_is_made_and_found_again(studio: Studio):
    with studio.browser() as browser:
        made = browser.post("/api/v1/projects", json={"name": "Mi léxico ትግ", "language": "Tseltal", "pivot": "es"})
        assert made.status_code == 201
        project = made.json()
        assert project["id"] == "mi-léxico-ትግ"
        assert (project["language"]["code"], project["pivot"]["code"]) == ("tzh", "spa")
        assert (studio.home / project["id"] / "endonym.toml").is_file()
        assert project["id"] in [one["id"] for one in browser.get("/api/v1/projects").json()["projects"]]
        again = browser.post("/api/v1/projects", json={"name": "Mi léxico ትግ", "language": "tzh", "pivot": "spa"})
        assert again.status_code == 400
        assert set(again.json()["error"]) == {"message", "hint", "type", "code", "param"}


def test_a_page_begins_with_what_the_api_says(studio: Studio):
    with studio.browser() as browser:
        browser.post("/api/v1/projects", json={"name": "pages </script><b>", "language": "amh"})
        page = browser.get("/p/pages-script-b").text
        data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
        address = "/api/v1/projects/pages-script-b"
        assert data["first"][address] == browser.get(address).json()
        assert data["first"][address]["name"] == "pages </script><b>"
        assert browser.get("/p/nothing").status_code == 404


def test_a_job_started_over_http_can_be_followed(taught: httpx.Client):
    (job,) = taught.get("/jobs", params={"verb": "train"}).json()["jobs"]
    assert (job["state"], job["name"], job["artifact"]["kind"]) == ("succeeded", "train lora", "model")
    events = taught.get(f"/jobs/{job['id']}/events", params={"limit": 5}).json()
    more = taught.get(f"/jobs/{job['id']}/events", params={"after": events["next"]}).json()["events"]
    assert len(events["events"]) == 5
    assert all(one["id"] > events["next"] for one in more)
    curves = taught.get(f"/jobs/{job['id']}/metrics", params={"points": 3}).json()
    assert curves["names"]["loss"] == 4
    assert curves["curves"]["loss"]["steps"] == sorted(curves["curves"]["loss"]["steps"])
    assert len(curves["curves"]["loss"]["values"]) == 3
    assert "validation loss" in taught.get(f"/jobs/{job['id']}/log").json()["text"]
    assert taught.post("/jobs", json={"verb": "train", "plugin": "lora", "settings": QUICK}).json()["skipped"]
    assert taught.get("/jobs/9999").status_code == 404


def test_what_a_job_made_can_be_taken(taught: httpx.Client):
    (job,) = taught.get("/jobs", params={"verb": "compare"}).json()["jobs"]
    paths = [one["path"] for one in taught.get(f"/jobs/{job['id']}/files").json()["files"]]
    assert "output/report.html" in paths
    report = taught.get(f"/jobs/{job['id']}/files/output/report.html")
    assert report.headers["content-disposition"].startswith("attachment")
    shown = taught.get(f"/jobs/{job['id']}/files/output/report.html", params={"inline": True})
    assert shown.headers["content-type"].startswith("text/html")
    assert "sandbox; default-src 'none'" in shown.headers["content-security-policy"]


def test_records_come_by_page_and_the_test_stays_sealed(taught: httpx.Client):
    datasets = {one["kind"]: one for one in taught.get("/datasets").json()["datasets"]}
    split = datasets["split"]["job"]
    first = taught.get(f"/datasets/{split}/records", params={"split": "train", "limit": 3}).json()
    then = taught.get(
        f"/datasets/{split}/records", params={"split": "train", "limit": 3, "offset": first["next"]}
    ).json()
    assert [one["line"] for one in first["records"] + then["records"]] == [0, 1, 2, 3, 4, 5]
    assert first["total"] == datasets["split"]["splits"]["train"]
    word = next(first["records"][2][name] for name in ("headword", "source", "text") if name in first["records"][2])
    hits = taught.get(f"/datasets/{split}/records", params={"split": "train", "query": word.upper()}).json()["records"]
    assert first["records"][2]["id"] in [one["id"] for one in hits]
    assert taught.get(f"/datasets/{split}/records", params={"split": "test"}).status_code == 403
    assert taught.get(f"/jobs/{split}/files/output/test.jsonl").status_code == 403
    assert all("record" not in one for one in taught.get(f"/datasets/{split}/ledger").json()["dropped"])
    raw = taught.get(f"/datasets/{datasets['clean']['job']}/ledger").json()
    assert raw["total"] == sum(raw["reasons"].values())


def test_results_say_what_was_measured(taught: httpx.Client):
    model = taught.get("/models").json()["models"][0]
    scores = taught.get("/scores").json()["scores"][0]
    assert scores["model"] == model["job"]
    assert {row["system"] for row in scores["rows"]} == {"base", "tuned", "copy"}
    (export,) = taught.get("/exports").json()["exports"]
    assert export["parity"]["format"] == "adapter"
    assert "peft" in export["use"]
    beside = taught.get("/compare").json()
    assert (beside["a"]["system"], beside["b"]["system"]) == ("base", model["id"])
    assert beside["total"] == len(beside["items"]) > 0
    assert {"source", "references", "a", "b"} <= set(beside["items"][0])
    assert all(one["first"] == "b" and one["low"] <= one["difference"] <= one["high"] for one in beside["differences"])
    assert taught.get("/compare", params={"b": "1"}).status_code == 404


def test_recipes_bring_a_form_and_an_estimate(taught: httpx.Client, studio: Studio):
    with studio.program() as client:
        recipes = client.get("/api/v1/recipes").json()["recipes"]
    lora = next(one for one in recipes if one["plugin"] == "lora")
    assert lora["schema"]["properties"]["rank"]["description"]
    assert [one["name"] for one in lora["presets"]] == ["try", "usual", "thorough"]
    lesson = next(one for one in recipes if one["verb"] == "teach")
    assert [one["label"] for one in lesson["presets"]] == ["A first look", "Balanced", "Thorough"]
    for one in lesson["presets"]:
        assert set(one["settings"]) < set(lesson["schema"]["properties"])
        assert Config(**one["settings"]) == Config(preset=one["name"]).model_copy(update={"preset": ""})
    asked = taught.post("/estimate", json={"verb": "train", "plugin": "lora", "settings": {"steps": 10}}).json()
    assert asked["memory_bytes"] > 1e6
    assert asked["steps"] == 10
    lesson = taught.post(
        "/estimate", json={"verb": "teach", "settings": {"preset": "quick", "maxSteps": 3, "fp16": True}}
    ).json()
    assert (lesson["steps"], lesson["recipe"]) == (3, "lora")
    assert any("fp16" in note for note in lesson["notes"])
    wrong = taught.post("/estimate", json={"verb": "train", "plugin": "lora", "settings": {"rnak": 10}})
    assert wrong.status_code == 422
    assert "Did you mean 'rank'?" in wrong.json()["error"]["message"]


def test_before_material_is_read_an_estimate_is_rough(studio: Studio, tiny_model: Path):
    with studio.program() as client:
        client.post("/api/v1/projects", json={"name": "unread", "language": "tzh", "base": str(tiny_model)})
        for verb in ("teach", "train"):
            told = client.post("/api/v1/projects/unread/estimate", json={"verb": verb, "settings": {"rank": 4}}).json()
            assert told["seconds"] is None
            assert told["memory_bytes"] > 1e8
            assert "rough" in told["notes"][0]
        asked = {"verb": "teach", "settings": {"fp16": True, "maxLength": 4096, "maxSteps": 10}}
        notes = client.post("/api/v1/projects/unread/estimate", json=asked).json()["notes"]
        assert [note.split()[0] for note in notes[1:]] == ["maxLength", "warmupSteps", "fp16"]
        other = {"verb": "teach", "settings": {"rank": 4, "baseModel": "smollm2-360m"}}
        assert client.post("/api/v1/projects/unread/estimate", json=other).json()["memory_bytes"] > told["memory_bytes"]
        other["settings"]["baseModel"] = "smolm2"
        refused = client.post("/api/v1/projects/unread/estimate", json=other)
        assert (refused.status_code, "no base model" in refused.json()["error"]["message"]) == (400, True)


def test_base_and_tuned_answer_side_by_side(taught: httpx.Client):
    model = taught.get("/models").json()["models"][0]["id"]
    asked = {"systems": ["base", model, "999"], "messages": [{"role": "user", "content": "agua"}], "task": "translate",
             "direction": "spa>tzh", "max_tokens": 6}  # fmt: skip
    events = list(sse(taught, "POST", "/chat", json=asked))
    told = {kind: [data for name, data in events if name == kind] for kind in ("start", "token", "done", "error")}
    assert {one["system"] for one in told["start"]} == {"base", model}
    assert [one["system"] for one in told["error"]] == ["999"]
    for one in told["done"]:
        assert one["text"] == "".join(piece["text"] for piece in told["token"] if piece["system"] == one["system"])
    bare = [data for name, data in sse(taught, "POST", "/chat", json=asked | {"retrieval": False}) if name == "start"]
    assert len(bare[0]["prompt"]) < len(told["start"][0]["prompt"])


@pytest.mark.parametrize("there", [0, 6, 9, 10, 12])
def test_only_conversations_beyond_the_most_make_room(tmp_path: Path, monkeypatch, there: int):
    from endonym.web import conversations

    monkeypatch.setattr(conversations, "MOST_KEPT", 10)
    folder = tmp_path / ".endonym" / "conversations"
    folder.mkdir(parents=True)
    for number in range(there):
        (folder / f"{number:032x}.jsonl").touch()
        (folder / f"{number:032x}.base.safetensors").touch()
        os.utime(folder / f"{number:032x}.jsonl", (number, number))
    new = conversations.Conversation.begin(tmp_path)
    for kind in (".jsonl", ".base.safetensors"):
        left = sorted(path.name.removesuffix(kind) for path in folder.glob(f"*{kind}") if path.stem != new.id)
        assert left == [f"{number:032x}" for number in range(max(0, there - 9), there)]


def test_a_conversation_is_kept_for_whoever_comes_back(studio: Studio, tiny_model: Path):
    with studio.program() as client:
        client.post("/api/v1/projects", json={"name": "talk", "language": "tzh", "base": str(tiny_model)})
        client.base_url = f"{studio.base}/api/v1/projects/talk"
        ident = client.post("/conversations").json()["id"]
        asked = {"systems": ["base", "999"], "messages": [{"role": "user", "content": "agua\u2028"}], "max_tokens": 4,
                 "conversation": ident}  # fmt: skip
        told = {name: data for name, data in sse(client, "POST", "/chat", json=asked) if name in ("done", "error")}
        (turn,) = client.get(f"/conversations/{ident}").json()["turns"]
        assert (turn["text"], turn["task"], turn["systems"]) == ("agua\u2028", "", ["base", "999"])
        assert {"system": "base", **turn["answers"]["base"]} == told["done"]
        assert turn["answers"]["base"]["seconds"] >= 0
        assert turn["answers"]["999"]["message"] == told["error"]["message"]
        assert client.get(f"/conversations/{'0' * 32}").status_code == 404
        assert client.post("/chat", json=asked | {"conversation": "../../x"}).status_code == 422
        file = studio.home / "talk" / ".endonym" / "conversations" / f"{ident}.jsonl"
        with file.open("a") as out:
            out.write("x" * (4 << 20))
        assert len(client.get(f"/conversations/{ident}").json()["turns"]) == 1
        assert client.post("/chat", json=asked).status_code == 413
        file.unlink()
        file.symlink_to(studio.home / "talk" / "endonym.toml")
        assert client.get(f"/conversations/{ident}").status_code == 404


def test_an_answer_that_was_stopped_is_kept_as_far_as_it_came():
    async def told() -> list[tuple[str, Any]]:
        kept: list[tuple[str, Any]] = []
        replies = [{"event": "token", "data": {"system": "base", "text": text}} for text in ("ja", "'")]
        models = SimpleNamespace(ask=lambda *asked: [asked[2](reply) for reply in replies] and list)
        stream = _told(models, {"systems": ["base"]}, SimpleNamespace(), lambda *said: kept.append(said))
        assert [await anext(stream), await anext(stream)]
        await stream.aclose()
        return kept

    assert asyncio.run(told()) == [("base", {"text": "ja'", "finish": "stopped"})]


def test_ratings_are_blind_and_say_how_sure_they_are(taught: httpx.Client, studio: Studio):
    model = taught.get("/models").json()["models"][0]["id"]
    lines = studio.home / "tseltal" / "ratings.jsonl"
    told = []
    while (shown := taught.get("/ratings/next", params={"rater": "Ana"}).json())["id"]:
        assert {"systems", "item", "a", "b"}.isdisjoint(shown)
        assert set(shown["left"]) == set(shown["right"]) == {"text"}
        logged = json.loads(lines.read_text(encoding="utf-8").splitlines()[-1])
        assert [shown["left"]["text"], shown["right"]["text"]] == logged["texts"]
        choice = "left" if logged["systems"][0] == model else "right"
        kept = taught.post("/ratings", json={"id": shown["id"], "choice": choice})
        assert kept.status_code == 201
        told.append(choice)
    if told:
        (pair,) = taught.get("/ratings").json()["ab"]["pairs"]
        best = pair["losses"] if pair["second"] == "base" else pair["wins"]
        assert {pair["wins"], pair["losses"]} == {0, pair["n"]} or best
        assert pair["p_value"] == pytest.approx(min(1, 2 * 0.5 ** pair["n"]))
    assert taught.get("/ratings").json()["preferences"]["ready"] == 0
    assert taught.get("/ratings/preferences.jsonl").text == ""
    one = taught.get("/ratings/next", params={"rater": "Ana", "kind": "span"}).json()
    span = {"start": 0, "end": len(one["text"]["text"]), "severity": "major"}
    beyond = {**span, "end": len(one["text"]["text"]) + 1}
    assert taught.post("/ratings", json={"id": one["id"], "score": 40, "spans": [beyond]}).status_code == 400
    assert taught.post("/ratings", json={"id": one["id"], "choice": "left"}).status_code == 400
    assert taught.post("/ratings", json={"id": one["id"], "score": 40, "spans": [span] * bool(span["end"])}).json()[
        "kept"
    ]
    (mean,) = taught.get("/ratings").json()["span"]["systems"]
    assert (mean["n"], mean["mean"]) == (1, 40.0)


def test_a_stream_goes_on_where_it_was_cut_off(taught: httpx.Client):
    everything = []
    for name, data in sse(taught, "GET", "/stream", params={"after": 0}):
        if name == "hello":
            continue
        everything.append(data["id"])
        if len(everything) == 20:
            break
    begun = sse(taught, "GET", "/stream", headers={"Last-Event-ID": str(everything[9])})
    again = [data["id"] for _, data in zip(range(11), (data for _, data in begun)) if data]
    assert again == everything[10:]


def test_a_job_goes_on_when_the_studio_is_killed(tmp_path: Path, composed: Path, copied: Callable[[Path, Path], Path]):
    home = tmp_path / "home"
    home.mkdir()
    copied(composed, home / "tseltal")
    with studio_over(home) as first:
        with first.program() as client:
            client.base_url = f"{first.base}/api/v1/projects/tseltal"
            job = start(client, "train", "lora", {**QUICK, "steps": 40})
            begin = client.get(f"/jobs/{job}/events").json()["events"][0]["id"] - 1
            seen = [data["id"] for _, data in zip(range(3), events_of(client, begin))]
        cookies = first.browser().cookies
        first.process.kill()
        first.process.wait()
    with studio_over(home) as second:
        assert httpx.get(second.base, cookies=cookies).status_code == 200
        with second.program() as client:
            client.base_url = f"{second.base}/api/v1/projects/tseltal"
            assert done(client, job)["attempt"] == 1
            after = [
                data["id"]
                for data in client.get(f"/jobs/{job}/events", params={"after": seen[-1], "limit": 500}).json()["events"]
            ]
            rest = [data["id"] for _, data in zip(range(len(after)), events_of(client, seen[-1]))]
    assert rest == after
    assert len({*seen, *rest}) == len(seen) + len(rest)


def events_of(client: httpx.Client, after: int) -> Iterator[dict[str, Any]]:
    return (data for name, data in sse(client, "GET", "/stream", params={"after": after}) if name != "hello")


def sse(client: httpx.Client, method: str, path: str, **more: Any) -> Iterator[tuple[str, Any]]:
    """The events of a stream as (name, data)."""
    with client.stream(method, path, **more) as answer:
        assert answer.status_code == 200, answer.read()
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def test_files_are_looked_at_kept_under_safe_names_and_taken_out_again(studio: Studio):
    with studio.program() as client:
        client.post("/api/v1/projects", json={"name": "material", "language": "tzh", "pivot": "spa"})
        client.base_url = f"{studio.base}/api/v1/projects/material"
        pairs = "spa\ttzh\n" + "\n".join(f"la casa número {i} es grande\tmuk'ul te na {i}" for i in range(20))
        sent = [
            ("files", ("../../casa (spa-tzh).tsv", pairs)),
            ("files", ("x.pkl", b"\x80\x04\x95")),
            ("files", ("y", b"")),
        ]
        answer = client.post("/files", files=sent, data={"licence": "CC BY 4.0"})
        assert answer.status_code == 201
        found = {one["files"][0]["name"]: one for one in answer.json()["sources"]}
        good = found["casa (spa-tzh).tsv"]
        assert good["added"]
        assert good["records"]["pair"] == 20
        assert {one["language"] for one in good["languages"]} == {"spa", "tzh"}
        assert re.fullmatch(r"material/[0-9a-f]{16}/casa \(spa-tzh\)\.tsv", good["files"][0]["path"])
        assert "can run code" in found["x.pkl"]["problems"][0]["what"]
        assert found["y"]["problems"]
        kept = [path for path in (studio.home / "material" / "material").rglob("*") if path.is_file()]
        assert [path.name for path in kept] == ["casa (spa-tzh).tsv"]
        (listed,) = client.get("/files").json()["sources"]
        assert (listed["records"], listed["licence"]) == (good["records"], "CC BY 4.0")
        done(client, start(client, "ingest"))
        removed = client.delete(f"/files/{good['files'][0]['id']}").json()
        assert removed["models"] == []
        assert not kept[0].exists()
        assert client.get("/files").json()["sources"] == []


def test_the_rights_of_a_source_can_be_changed_and_the_rest_of_its_file_stays(studio: Studio):
    with studio.program() as client:
        client.post("/api/v1/projects", json={"name": "rights", "language": "tzh", "pivot": "spa"})
        client.base_url = f"{studio.base}/api/v1/projects/rights"
        lines = "\n".join(f"la casa número {i}\tte na {i}" for i in range(20))
        sent = {"licence": "CC BY 4.0", "restrictions": "no-commercial, ask-first"}
        bad = client.post(
            "/files", files={"files": ("a.tsv", f"spa\ttzh\n{lines}")}, data={"restrictions": "no-comercial"}
        )
        assert bad.status_code == 400
        assert not list((studio.home / "rights" / "material").iterdir())
        client.post("/files", files={"files": ("a.tsv", f"spa\ttzh\n{lines}")}, data=sent)
        found = client.get("/files").json()
        (source,) = found["sources"]
        assert source["restrictions"] == ["no-commercial", "ask-first"]
        assert {"name": "no-commercial", "says": "not for commercial use", "forbids_publication": False} in found[
            "restrictions"
        ]
        toml = studio.home / "rights" / "endonym.toml"
        toml.write_text(toml.read_text() + '# my own words\n\n[clean]\nplugins = ["unicode"]  # enough\n')
        before = toml.read_text()
        address = f"/files/{source['files'][0]['id']}"
        for wrong in ({"restrictions": ["no-comercial"]}, {"licence": 1}, {"reader": "x"}, {"consent": "x" * 1001}):
            assert client.patch(address, json=wrong).status_code == 422
        assert toml.read_text() == before
        assert client.patch("/files/" + "0" * 16, json={}).status_code == 404
        changed = client.patch(
            address, json={"licence": "", "consent": 'A "council"\n2024', "restrictions": ["share-alike"]}
        )
        assert changed.status_code == 200, changed.text
        (source,) = client.get("/files").json()["sources"]
        assert changed.json() == source
        assert "licence" not in source
        assert (source["consent"], source["restrictions"]) == ('A "council"\n2024', ["share-alike"])
        gone = ("licence", "consent", "restrictions")
        now = toml.read_text().splitlines()
        assert [line for line in before.splitlines() if not line.startswith(gone)] == [
            line for line in now if not line.startswith(gone)
        ]
