"""A person's whole way through the studio in a browser: project, files, ten steps of training, proof, rating, chat, export."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import studio_over

from endonym.data.dataset import DatasetWriter
from endonym.project import Project
from endonym.store import jobs
from endonym.store.files import file_hash
from endonym.store.process import identity
from endonym.types import Doc, Drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Studio
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium to look with: apt-get install chromium", allow_module_level=True)
pytest.importorskip("playwright", reason="no Playwright: pip install 'endonym[dev]'")

# Quiet: no GPU, and no call that a browser makes by itself.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PAGES = ("", "/material", "/material?view=records", "/material?view=ledger", "/review", "/tokenizer", "/train", "/jobs", "/compare",
         "/compare?view=numbers", "/compare?view=grades", "/rate", "/rate?kind=span", "/chat", "/report", "/export")  # fmt: skip
TRAINED = 600_000
"""Milliseconds that ten steps of a tiny model may take, with all nine steps around them, on a machine that does other things too."""
PATIENCE = 30_000
DATA = Path(__file__).parent / "data" / "tseltal"
CURVE = "document.querySelector('.uplot canvas').toDataURL()"
POLLED = """async () => {
  const { follow } = await import("/static/lib/stream.js"), event = (id) => ({ id, kind: "log", data: {} });
  let opened = 0;
  return new Promise((done) => {
    const taken = [];
    setTimeout(() => done([taken, "no second stream"]), 20000);
    window.EventSource = class {
      static CLOSED = 2;
      constructor(url) {
        opened += 1;
        if (opened === 1) setTimeout(() => { this.readyState = 2; this.onerror(); });
        else setTimeout(() => done([taken, url.split("?")[1]]), 300);
      }
      addEventListener() {}
      close() {}
    };
    const answers = { 1: Array.from({ length: 500 }, (_, i) => event(i + 1)), 2: [event(600)] };
    window.fetch = async (url) => {
      const events = answers[/jobs.(\\d+)/.exec(url)[1]];
      return { ok: true, json: async () => ({ events, next: events.at(-1).id }) };
    };
    follow({ take: (batch) => taken.push(...batch.map((one) => one.id)), jobs: () => [1, 2] });
  });
}"""
"""A stream that breaks at once, and two jobs to poll for: one with more events than are given at once, one with a later one."""


HEARD = "one => new Promise(done => one.readyState ? done(one.duration) : (one.onloadedmetadata = () => done(one.duration)))"
"""Seconds of a sound, once the browser knows them."""


@dataclass
class Seen:
    """What a browser complained of, and whom it asked."""

    troubles: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(chromium: Browser, studio: Studio, **context: Any) -> tuple[Page, Seen]:
    """A page that has entered the studio, and what it sees from then on."""
    page = chromium.new_context(viewport={"width": 1200, "height": 900}, **context).new_page()
    page.set_default_timeout(PATIENCE)
    seen = Seen()
    page.on("console", lambda said: seen.troubles.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.troubles.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((studio.base, "data:")) else seen.outside.append(asked.url),
    )
    with studio.program() as program:
        page.goto(studio.base + program.post("/api/v1/enter", json={}).json()["path"])
    return page, seen


def _expect(locator: Locator) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def go(page: Page, address: str) -> None:
    """Open a page and wait until its own module has drawn it and has what it asked for."""
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    _expect(page.locator("#main .wait")).to_have_count(0, timeout=PATIENCE)


def project_of(studio: Studio, base: Path, name: str, language: str, pivot: str = "spa") -> str:
    """A project made by a program, over the tiny model."""
    with studio.program() as program:
        made = program.post(
            "/api/v1/projects", json={"name": name, "language": language, "pivot": pivot, "base": str(base)}
        )
        made.raise_for_status()
        return made.json()["id"]


def looked_at(page: Page) -> None:
    """Fail where axe finds something that shuts people out."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    told = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        for node in one["nodes"][:3]
    ]
    assert not told, page.url + "\n" + "\n".join(told)


@pytest.fixture(scope="module")
def lesson(chromium: Browser, studio: Studio, tiny_model: Path) -> str:
    """The id of a project that a person made, filled and trained in the browser; the way there is the first half of the story."""
    page, seen = opened(chromium, studio)
    began = time.monotonic()
    go(page, studio.base)
    print(f"\nfirst page drawn after {time.monotonic() - began:.2f} s")

    page.get_by_role("button", name="New project").first.click()
    language = page.get_by_role("combobox", name="Language to teach")
    language.fill("Tseltal")
    page.get_by_role("option", name=re.compile("Tseltal")).click()
    page.get_by_role("combobox", name="Taught through").fill("Spanish")
    page.get_by_role("option", name=re.compile("Spanish")).first.click()
    page.get_by_label("Name of the project").fill("Bats'il k'op")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/material")
    project = page.url.split("/p/")[1].split("/")[0]
    settings = studio.home / project / "endonym.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text + "\n[split]\ntest_size = 20\nvalid_size = 12\n", encoding="utf-8")

    page.get_by_text("Rights", exact=True).click()
    page.get_by_label("Licence", exact=True).fill("CC BY 4.0")
    page.locator("#files").set_input_files([DATA / name for name in ("entries.csv", "senses.csv", "examples.csv")])
    page.get_by_role("heading", name=re.compile("entries.csv")).wait_for()
    page.locator("#files").set_input_files(DATA / "udhr.tzh.txt")
    page.get_by_role("heading", name="udhr.tzh.txt").wait_for()
    assert page.get_by_text("CC BY 4.0").count() >= 2

    go(page, f"{studio.base}/p/{project}")
    assert page.locator(".endonym").inner_text() == "bats'il k'op"
    go(page, f"{studio.base}/p/{project}/train?recipe=teach")
    page.get_by_text("Another base model").click()
    page.get_by_label("A model on this computer").fill(str(tiny_model))
    page.get_by_role("button", name="Use this").click()
    page.locator("strong", has_text=str(tiny_model)).wait_for()
    assert f'base = "{tiny_model}"' in settings.read_text(encoding="utf-8")
    page.get_by_label("Passes over the material").fill("many")
    assert page.get_by_text("This has to be a number.").is_visible()
    page.get_by_label("Passes over the material").fill("1")
    page.get_by_text(re.compile("more settings")).click()
    for label, value in (("Most steps", "10"), ("Steps between evaluations", "5"), ("Test items a task", "8"),
                         ("Answers sampled", "0"), ("Longest answer, in tokens", "16"), ("Questions in the language", "2")):  # fmt: skip
        page.get_by_label(label, exact=True).fill(value)
    # What was typed stands in the address: a reload shows it again.
    page.wait_for_url("**maxSteps**")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("input[name=maxSteps]").input_value() == "10"
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/jobs/*")
    page.wait_for_selector(".steps > li")
    assert page.locator(".steps > li").count() == 9
    page.wait_for_selector(".party, .note.bad", timeout=TRAINED)
    assert page.locator(".steps > li[data-state=failed]").count() == 0, page.locator("#main").inner_text()
    assert page.locator(".steps > li[data-state=completed]").count() >= 8
    page.wait_for_selector(".uplot canvas")
    before = page.locator("#main").inner_text()
    page.reload()
    page.wait_for_selector(".party")
    page.wait_for_selector(".uplot canvas")
    _expect(page.locator("#main")).to_have_text(re.sub(r"\s+", " ", before), use_inner_text=True)
    assert not seen.troubles
    assert not seen.outside
    return project


def test_the_rest_of_the_story(chromium: Browser, studio: Studio, lesson: str):
    page, seen = opened(chromium, studio)
    home = f"{studio.base}/p/{lesson}"

    go(page, f"{home}/compare")
    assert page.locator("article.beside").count() > 0
    page.get_by_role("button", name="Scores").click()
    page.get_by_role("columnheader", name="95 % interval").wait_for()

    go(page, f"{home}/rate")
    for key in ("1", "2", "3"):
        asked = page.locator("p[role=status]").inner_text()
        page.keyboard.press(key)
        _expect(page.locator("p[role=status]")).not_to_have_text(asked)
    go(page, f"{home}/rate?kind=span")
    page.locator(".answer [role=button], .answer").first.focus()
    page.keyboard.press("7")
    page.keyboard.press("Control+Enter")
    page.get_by_text("1 rating").wait_for()

    go(page, f"{home}/chat")
    page.get_by_label("Text to translate").fill("buenos días")
    page.keyboard.press("Enter")
    _expect(page.locator(".answers .card[aria-busy=false]")).to_have_count(2, timeout=120_000)
    assert not page.locator(".answers .note.bad").count()

    go(page, f"{home}/report")
    assert "Report on a language model" in page.frame_locator("iframe").locator("body").inner_text()
    go(page, f"{home}/export")
    assert page.get_by_text("Certified").count() > 0
    with page.expect_download() as given:
        page.get_by_role("link", name="README.md").first.click()
    assert given.value.path().stat().st_size > 100
    assert not seen.troubles
    assert not seen.outside


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_shuts_anybody_out(chromium: Browser, studio: Studio, lesson: str, theme: str):
    page, seen = opened(chromium, studio, color_scheme=theme, reduced_motion="reduce")
    go(page, studio.base)
    looked_at(page)
    page.get_by_role("button", name="New project").first.click()
    looked_at(page)
    with studio.program() as program:
        jobs = program.get(f"/api/v1/projects/{lesson}/jobs").json()["jobs"]
    teach, train = (next(job["id"] for job in jobs if job["verb"] == verb) for verb in ("teach", "train"))
    for address in (*PAGES, f"/jobs/{teach}", f"/jobs/{train}?view=samples", f"/jobs/{train}?view=log"):
        go(page, f"{studio.base}/p/{lesson}{address}")
        looked_at(page)
    assert not seen.troubles
    assert not seen.outside


def test_a_conversation_is_there_again_after_a_reload(chromium: Browser, studio: Studio, tiny_model: Path):
    project = project_of(studio, tiny_model, "Words", "tzh")
    page, seen = opened(chromium, studio)
    go(page, f"{studio.base}/p/{project}/chat?task=free")
    for n, words in enumerate(("buenos días", "¿qué tal?"), 1):
        page.get_by_label("Your message").fill(words)
        page.keyboard.press("Enter")
        _expect(page.locator(".answers .card[aria-busy=false]")).to_have_count(n, timeout=120_000)
    assert not page.locator(".answers .note.bad").count()
    turns = page.locator(".chat").inner_text()
    page.reload()
    _expect(page.locator(".turn")).to_have_count(2)
    assert page.locator(".chat").inner_text() == turns
    assert "¿qué tal?" in turns
    looked_at(page)
    page.get_by_role("button", name="New conversation").click()
    _expect(page.locator(".turn")).to_have_count(0)
    assert page.url.endswith("?task=free")
    assert not seen.troubles


def test_rights_are_edited_where_a_source_stands(chromium: Browser, studio: Studio, tiny_model: Path):
    project = project_of(studio, tiny_model, "Lent", "tzh")
    page, seen = opened(chromium, studio)
    go(page, f"{studio.base}/p/{project}/material")
    page.get_by_text("Rights", exact=True).click()
    page.get_by_label("Licence", exact=True).fill("CC BY 4.0")
    page.get_by_label("Ask before each publication").check()
    page.locator("#files").set_input_files(DATA / "udhr.tzh.txt")
    page.get_by_text("Rights", exact=True).click()
    page.get_by_role("button", name="Edit rights").click()
    source = page.locator("form")
    _expect(source.get_by_label("Ask before each publication")).to_be_checked()
    source.get_by_label("Ask before each publication").uncheck()
    source.get_by_label("Not for commercial use").check()
    source.get_by_label("Consent").fill("Ana, 2024")
    looked_at(page)
    source.get_by_role("button", name="Save").click()
    _expect(source).to_have_count(0)
    page.reload()
    page.get_by_text("Ana, 2024").wait_for()
    assert page.locator("p.warn", has_text="Not for commercial use").is_visible()
    assert not seen.troubles


def doubted(project: Project, passages: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Let the project have read these: file, text and place of each, none of which its recogniser was sure of."""
    row = jobs.find_or_create(project.db, "ingest", "", "doubt", {"stage": {}, "plugins": {}}, {})
    with DatasetWriter(project.runs / row.folder / "output") as out:
        for number, (file, text, place) in enumerate(passages):
            meta = {**place, "hash": file_hash(project.path / file), "confidence": 0.4}
            out.drop(Drop(Doc(f"d{number}", text, "eng", f"{file}:1", meta), "ocr.review", "40 of 100"))
    jobs.claim(project.db, row.id, identity())
    jobs.register_artifact(project.db, row.id, "raw", "0" * 64, [])
    jobs.finish(project.db, row.id, "succeeded", {}, {})


def test_what_a_recogniser_doubts_is_decided_by_keys_beside_its_picture_or_sound(
    chromium: Browser, studio: Studio, tiny_model: Path
):
    from PIL import Image, ImageDraw

    folder = studio.home / project_of(studio, tiny_model, "Doubt", "tzh")
    page_of_a_book = Image.new("L", (400, 120), 255)
    ImageDraw.Draw(page_of_a_book).text((20, 20), "the sun\n\nthe moom")
    page_of_a_book.save(folder / "raw" / "page.png")
    shutil.copy(DATA.parent / "speech" / "eng_librivox_0880.wav", folder / "raw" / "voice.wav")
    doubted(Project(folder), [
        ("raw/page.png", "the sun", {"page": 1, "box": [20, 20, 90, 32]}),
        ("raw/page.png", "the moom", {"page": 1, "box": [20, 46, 90, 60]}),
        ("raw/voice.wav", "noise", {"time": [0.5, 1.5]}),
    ])  # fmt: skip
    page, seen = opened(chromium, studio)
    go(page, f"{studio.base}/p/doubt/review")
    for n, (words, key) in enumerate((("the sun", "Control+Enter"), ("the moon", "Control+Enter")), 1):
        page.get_by_text(f"{n} of 3").wait_for()
        shown = page.locator(f".piece img[src*='/d{n - 1}/']")
        assert shown.evaluate("one => one.decode().then(() => one.naturalWidth)") > 60
        page.locator("#text").fill(words)
        page.keyboard.press(key)
    page.get_by_text("3 of 3").wait_for()
    sound = page.locator(".piece audio")
    assert sound.evaluate(HEARD) == pytest.approx(1.0, abs=0.1)
    looked_at(page)
    page.keyboard.press("Control+Space")
    assert sound.evaluate("one => !one.paused || one.ended || one.currentTime > 0")
    page.keyboard.press("Control+Delete")
    page.locator(".empty").wait_for()
    decided = [json.loads(line) for line in (folder / "review.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["verdict"], one["text"], one["was"]) for one in decided] == [
        ("accept", "the sun", "the sun"), ("correct", "the moon", "the moom"), ("reject", "noise", "noise"),
    ]  # fmt: skip
    page.reload()
    _expect(page.locator(".review")).to_have_count(0)
    assert not seen.troubles


def test_the_job_page_catches_up_when_the_studio_was_killed(
    chromium: Browser, tmp_path: Path, composed: Path, copied: Callable[[Path, Path], Path]
):
    copied(composed, tmp_path / "tseltal")
    settings = {"steps": 40, "batch_size": 4, "samples": 0, "evaluate_every": 20, "valid_rows": 4, "rank": 2}
    with studio_over(tmp_path) as first:
        page, _ = opened(chromium, first)
        with first.program() as program:
            asked = {"verb": "train", "plugin": "lora", "settings": settings}
            job = program.post("/api/v1/projects/tseltal/jobs", json=asked).json()["id"]
        go(page, f"{first.base}/p/tseltal/jobs/{job}")
        page.wait_for_selector(".uplot canvas")
        first.process.kill()
        first.process.wait()
        page.get_by_text("this page will catch up").wait_for()
    with studio_over(tmp_path, first.base.rpartition(":")[2]):
        page.locator(".chip", has_text="Done").wait_for()
        page.wait_for_timeout(500)
        curve, said = page.evaluate(CURVE), page.locator("#main").inner_text()
        # What came piece by piece is what stands there when it is asked for as a whole.
        page.reload()
        page.wait_for_selector(".uplot canvas")
        _expect(page.locator("#main")).to_have_text(re.sub(r"\s+", " ", said), use_inner_text=True)
        page.wait_for_timeout(500)
        assert page.evaluate(CURVE) == curve


def test_polling_leaves_no_event_out(chromium: Browser, studio: Studio):
    page, _ = opened(chromium, studio)
    taken, address = page.evaluate(POLLED)
    assert (taken, address) == (list(range(1, 501)), "after=500")


def test_a_language_written_from_right_to_left(chromium: Browser, studio: Studio, tiny_model: Path):
    project = project_of(studio, tiny_model, "Farsi", "fas", "eng")
    lines = "\n".join(f"سلام دنیا، این جمله شماره {n} است\tHello world, this is sentence {n}" for n in range(40))
    with studio.browser() as browser:
        sent = browser.post(
            f"/api/v1/projects/{project}/files", files={"files": ("fa-en.tsv", f"fas\teng\n{lines}\n".encode())}
        )
        assert sent.json()["added"] == 1, sent.text
        job = browser.post(f"/api/v1/projects/{project}/jobs", json={"verb": "ingest"}).json()["id"]
        until = time.monotonic() + 120
        while browser.get(f"/api/v1/projects/{project}/jobs/{job}").json()["state"] != "succeeded":
            assert time.monotonic() < until
            time.sleep(0.2)
    page, seen = opened(chromium, studio)
    for address in PAGES:
        go(page, f"{studio.base}/p/{project}{address}")
        looked_at(page)
    go(page, f"{studio.base}/p/{project}/material?view=records")
    text = page.locator("td .text", has_text="سلام").first
    assert text.evaluate("one => getComputedStyle(one).direction") == "rtl"
    assert text.evaluate("one => one.lang") == "fa"
    assert not seen.troubles


def test_a_phone_shows_every_page_without_scrolling_sideways(chromium: Browser, studio: Studio, lesson: str):
    page, _ = opened(chromium, studio)
    page.set_viewport_size({"width": 360, "height": 740})
    for address in PAGES:
        go(page, f"{studio.base}/p/{lesson}{address}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address


def test_the_interface_speaks_its_languages_and_remembers_theme_and_language(
    chromium: Browser, studio: Studio, lesson: str
):
    page, seen = opened(chromium, studio)
    for lang, title in (("es", "Entrenar"), ("am", "አሠልጥን")):
        go(page, f"{studio.base}/p/{lesson}/train?lang={lang}")
        assert page.locator("html").get_attribute("lang") == lang
        assert page.locator("h1").inner_text() == title
        assert not re.search(r"\b(?:train|frame|settings|nav)\.[a-z_]+", page.locator("body").inner_text())
    page.locator("#theme").click()
    page.locator("#language").select_option("es")
    page.wait_for_selector("html[data-ready][lang=es]")
    go(page, f"{studio.base}/p/{lesson}")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("html").get_attribute("lang") == "es"
    assert not seen.troubles
