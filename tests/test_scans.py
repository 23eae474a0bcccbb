"""Scanned pages: what is recognised is a record, waits for a person or is in the ledger, and decisions outlive the recogniser."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ingest import make_project, run_ingest
from test_ingest_balance import balance

from endonym.data.edits import distance, error_rates
from endonym.data.scripts import count_blocks
from endonym.errors import DataError, MissingError
from endonym.ingest import ocr, picture, review, tesseract, truth
from endonym.ingest.add import add
from endonym.ingest.ocr import Line, Paragraph, Reading
from endonym.ingest.readers import scan
from endonym.ingest.sniff import choose_reader
from endonym.project import Project
from endonym.types import Doc, Drop

Pictures = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install 'endonym[ocr]'")
pytest.importorskip("tesserocr", reason="tesserocr is not installed: pip install 'endonym[ocr]'")
pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed: pip install 'endonym[ocr]'")

needs_english = pytest.mark.skipif(
    "eng" not in tesseract.installed(), reason="no Tesseract language data: sudo apt-get install tesseract-ocr-eng"
)
LINES = (
    "The river rises in the hills behind the",
    "village and runs down to the lake, where",
    "people fish in the morning.",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path_factory.mktemp("cache")))


def drawn(lines=LINES, size=40, mode="L"):
    """A page with these lines in the font that Pillow brings."""
    from PIL import ImageDraw, ImageFont

    page = Pictures.new("L", (1200, 200 + 2 * size * max(1, len(lines))), 255)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((100, 100 + number * int(1.6 * size)), line, fill=0, font=ImageFont.load_default(size))
    return page.convert(mode)


def reading(*paragraphs, sure=95):
    """What a recogniser would give: each paragraph's lines, one below the other."""
    found, top = [], 0
    for lines in paragraphs:
        made = []
        for line in lines:
            made.append(Line(line, (100, top, 900, top + 40), (sure,) * len(line.split(" "))))
            top += 50
        found.append(Paragraph(tuple(made)))
        top += 100
    return Reading("eng", tuple(found), (1200, 1000))


@pytest.fixture
def recogniser(monkeypatch):
    """Gives what `pages` says instead of recognising, so that what follows is tested without Tesseract's data."""
    pages: list[Reading] = []
    monkeypatch.setattr(ocr, "read_page", lambda image, models: pages[0] if len(pages) == 1 else pages.pop(0))
    monkeypatch.setattr(tesseract, "candidates", lambda codes: ["eng"])
    monkeypatch.setattr("endonym.ingest.recognised.once", lambda compute, *key: json.loads(json.dumps(compute())))
    return pages


def scanned(folder: Path, name="page.png", page=None) -> Project:
    project = make_project(folder, "eng", "spa")
    (page or drawn()).save(project.path / "raw" / name)
    (finding,) = add(project, [project.path / "raw" / name])
    assert finding.ok, finding.problems
    return Project(project.path)


@needs_english
@pytest.mark.parametrize("name", ["page.png", "page.jpg", "page.tiff", "page.pdf", "wrong.txt"])
def test_a_page_in_any_form_is_recognised(tmp_path, name):
    project = make_project(tmp_path / "p", "eng", "spa")
    path = project.path / "raw" / name
    drawn().save(path, {"txt": "PNG"}.get(name.rpartition(".")[2]), resolution=150)
    assert choose_reader(path, project.path) == "scan"
    (finding,) = add(project, [path])
    assert finding.added, finding.problems
    data = run_ingest(Project(project.path))
    (doc,) = data.records()
    assert error_rates(" ".join(LINES), doc.text).cer < 0.02
    assert doc.origin == f"raw/{name}:1"
    assert doc.language == "eng"
    about = doc.meta["lines"]
    assert [len(line["text"].split(" ")) for line in about] == [len(line["confidences"]) for line in about]
    left, top, right, bottom = doc.meta["box"]
    assert 0 < left < right <= (2400 if name == "page.pdf" else 1200) and 0 < top < bottom


@needs_english
def test_a_skewed_small_and_turned_page_is_read(tmp_path):
    """Straightened, enlarged and turned by what is surely read, in one page after the other."""
    straight = drawn()
    skewed = straight.rotate(3.0, fillcolor=255, resample=Pictures.Resampling.BICUBIC)
    for page in (
        skewed,
        straight.resize((straight.width // 3, straight.height // 3), Pictures.Resampling.LANCZOS),
        straight.rotate(180),
    ):
        if "osd" not in tesseract.installed() and page.size == straight.size:
            continue
        found = ocr.read_page(page, ["eng"])
        assert error_rates(" ".join(LINES), found.text).cer < 0.05, found.tried
        assert abs(found.angle + 3.0) <= 0.3 if page is skewed else found.angle in (0.0, 180.0)
        # Boxes are of the page as it lies in the file, however it was enlarged to be read.
        assert all(0 <= line.box[0] < line.box[2] <= page.width for line in found.lines), found.prepared
        assert max(line.box[3] for line in found.lines) in range(page.height // 3, page.height + 1)
    assert abs(picture.skew(straight.rotate(3.0, fillcolor=255)) + 3.0) <= 0.2
    assert picture.skew(straight) == 0.0


@needs_english
def test_language_data_are_chosen_by_what_they_read(tmp_path):
    if "amh" not in tesseract.installed():
        pytest.skip("no Amharic language data: sudo apt-get install tesseract-ocr-amh")
    model, sure = ocr.choose_model(drawn(), ["amh", "eng"])
    assert model == "eng", sure


def test_data_of_another_language_are_never_taken_instead(monkeypatch):
    monkeypatch.setattr(tesseract, "installed", lambda: {"eng", "spa"})
    with pytest.raises(MissingError) as error:
        tesseract.candidates(["amh", "eng"])
    assert "tesseract-ocr-amh" in error.value.hint or "tesseract" in error.value.hint
    assert tesseract.candidates(["tzh", "spa"]) == ["spa"]


def test_pages_and_paragraphs_below_the_floor_wait_and_all_balances(tmp_path, recogniser):
    recogniser.append(reading(["a sure paragraph of", "two lines"], ["nat sp sura"]))
    unsure = recogniser[0].paragraphs[1]
    worse = Paragraph(tuple(Line(x.text, x.box, (30,) * len(x.confidences)) for x in unsure.lines))
    recogniser[0] = Reading("eng", (recogniser[0].paragraphs[0], worse), (1200, 1000))
    data = run_ingest(scanned(tmp_path / "one"))
    assert [doc.text for doc in data.records()] == ["a sure paragraph of two lines"]
    assert [(line["reason"], line["record"]["text"]) for line in data.ledger()] == [("ocr.review", "nat sp sura")]
    balance(data, count_blocks("a sure paragraph of two lines") + count_blocks("nat sp sura"))
    recogniser[0] = reading(["one bad", "page"], ["all of it"], sure=50)
    data = run_ingest(scanned(tmp_path / "two"))
    assert not list(data.records())
    assert [line["reason"] for line in data.ledger()] == ["ocr.review", "ocr.review"]
    recogniser[0] = Reading("eng", (), (1200, 1000))
    path = tmp_path / "blank.png"
    drawn(()).save(path)
    assert [item.reason for item in scan.read(path, scan.Config(language="eng"))] == ["ocr.blank"]


def test_decisions_are_applied_when_the_source_is_read_again_however_it_is_cut(tmp_path, recogniser):
    recogniser.append(reading(["frist line of it", "seccnd lino"], ["kcpt"], ["rubhish"], sure=40))
    project = scanned(tmp_path / "p")
    data = run_ingest(project)
    queue = [doc for doc, _ in review.waiting(data.ledger(), review.Decisions(project.path))]
    assert [doc.text for doc in queue] == ["frist line of it seccnd lino", "kcpt", "rubhish"]
    review.decide(project.path, queue[0], "correct", "first line of it second line", "Ana")
    review.decide(project.path, queue[1], "accept", who="Ana")
    review.decide(project.path, queue[2], "reject", who="Ana")
    data = run_ingest(project)
    kept = list(data.records())
    assert [doc.text for doc in kept] == ["first line of it second line", "kcpt"]
    assert kept[0].meta["review"]["was"] == "frist line of it seccnd lino"
    assert kept[0].meta["review"]["who"] == "Ana"
    assert sorted(line["reason"] for line in data.ledger()) == ["review.rejected", "review.replaced"]
    assert not list(review.waiting(data.ledger(), review.Decisions(project.path)))
    # A better recogniser cuts the first paragraph in two and no longer sees the second at all.
    recogniser[0] = reading(["first line af it"], sure=99)
    second = Paragraph((Line("second lime", (100, 50, 900, 90), (99, 99)),))
    recogniser[0] = Reading("eng", (recogniser[0].paragraphs[0], second), (1200, 1000))
    data = run_ingest(project)
    assert [doc.text for doc in data.records()] == ["first line of it second line", "kcpt"]
    assert len({doc.id for doc in data.records()}) == 2
    # A person types the page afterwards: that is taken, and the decided texts do not come a second time.
    (project.path / "raw" / "page.gt.txt").write_text("first line of it second line kept\n", encoding="utf-8")
    assert [doc.text for doc in run_ingest(project).records()] == ["first line of it second line kept"]
    (project.path / "raw" / "page.gt.txt").unlink()
    # A decision taken back lets the page speak for itself again.
    review.decide(project.path, queue[0], "reopen")
    assert [doc.text for doc in run_ingest(project).records()] == ["first line af it", "second lime", "kcpt"]


def test_a_new_decision_makes_ingest_run_again(tmp_path, recogniser):
    from endonym.jobs.stage import load_stage, resolve
    from endonym.jobs.submit import job_key

    recogniser.append(reading(["what it says"], sure=40))
    project = scanned(tmp_path / "p")
    stage = load_stage("ingest")
    resolved = resolve(stage, "", [project.layer("ingest")], project.path)
    before = job_key(project, stage, resolved, {})
    (item,) = scan.read(project.path / "raw" / "page.png", scan.Config(language="eng"))
    review.decide(project.path, item.record, "accept")
    assert job_key(project, stage, resolved, {}) != before
    assert "review.jsonl" not in str(add(project, [project.path]))


def test_a_line_of_the_decisions_that_is_broken_is_named(tmp_path):
    (tmp_path / review.FILE).write_text('{"file": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"review\.jsonl:1"):
        review.Decisions(tmp_path)


def test_what_was_typed_is_taken_and_what_was_recognised_is_measured(tmp_path, recogniser):
    recogniser.append(reading(["the rivcr rises in the moun-", "tains"]))
    folder = tmp_path / "given"
    folder.mkdir()
    drawn().save(folder / "page_001.png")
    drawn().save(folder / "page_002.png")
    (folder / "page_001.gt.txt").write_text("the river rises in the moun¬\ntains\n", encoding="utf-8")
    alto = '<alto xmlns="x"><TextLine><String CONTENT="the"/><SP/><String CONTENT="river"/></TextLine></alto>'
    (folder / "page_001.alto.xml").write_text(alto, encoding="utf-8")
    project = make_project(tmp_path / "p", "eng", "spa")
    (finding,) = add(project, [folder])
    assert finding.added, finding.problems
    assert finding.settings["document"] == "page"
    assert "page_001.png: character error rate 2.9%, word error rate 14.3%" in " ".join(finding.notes)
    data = run_ingest(Project(project.path))
    first, second = sorted(data.records(), key=lambda doc: doc.meta["part"])
    assert (first.text, first.origin) == ("the river rises in the mountains", "raw/page_001.gt.txt:1")
    assert (second.text, second.origin) == ("the rivcr rises in the mountains", "raw/page_002.png:1")
    assert sorted(line["reason"] for line in data.ledger()) == ["scan.truth", "scan.typed"]


def test_ground_truth_in_page_xml_and_lists(tmp_path):
    page = (
        '<PcGts xmlns="p"><TextLine><Word><TextEquiv><Unicode>ab</Unicode></TextEquiv></Word>'
        "<TextEquiv><Unicode>ab cd</Unicode></TextEquiv></TextLine></PcGts>"
    )
    (tmp_path / "a.xml").write_text(page, encoding="utf-8")
    assert truth.typed(tmp_path / "a.png") == tmp_path / "a.xml"
    assert [text for _, text in truth.lines(tmp_path / "a.xml")] == ["ab cd"]
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><alto>&b;</alto>'
    (tmp_path / "b.alto.xml").write_text(bomb, encoding="utf-8")
    with pytest.raises(DataError, match="entities"):
        truth.lines(tmp_path / "b.alto.xml")
    (tmp_path / "c.gt.tsv").write_text("order\thead\n1\tሔንሪ 4ኛ\n2\tማታን\n", encoding="utf-8")
    exact, rates = truth.list_errors(tmp_path / "c.gt.tsv", ["ሔንሪ 4ኛ (የእንግሊዝ)", "ማታነ ፪"])
    assert (exact, rates.char_errors, rates.chars) == (1, 1, 9)


def test_bad_pictures_are_named_and_the_others_go_on(tmp_path):
    good = tmp_path / "good.png"
    drawn().save(good)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:2000])
    (tmp_path / "none.png").write_bytes(b"")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of the kind\n")
    (tmp_path / "locked.pdf").write_bytes(LOCKED)
    huge = bytearray(good.read_bytes())
    huge[16:24] = (60000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(bytes(huge[12:29])).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(bytes(huge))
    project = make_project(tmp_path / "p", "eng", "spa")
    found = {finding.files[0].rpartition("/")[2]: finding for finding in add(project, sorted(tmp_path.glob("*.p??")))}
    said = {name: str(finding.problems[0]) for name, finding in found.items() if finding.problems}
    assert "cannot be read" in said["cut.png"]
    assert "empty" in said["none.png"]
    assert "not a PDF that can be read" in said["broken.pdf"]
    assert "protected by a password" in said["locked.pdf"]
    assert "too large" in said["huge.png"]
    assert set(found) - set(said) == ({"good.png"} if "eng" in tesseract.installed() else set())


LOCKED = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"3 0 obj<</Filter/Standard/V 1/R 2/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">/P -4>>endobj\n"
    b"trailer<</Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]/Size 4>>\n%%EOF\n"
)


def test_lines_are_joined_as_they_were_parted():
    assert scan.joined(["comen-", "zar de", "otra"]) == "comenzar de otra"
    assert scan.joined(["Buenos-", "Aires"]) == "Buenos- Aires"
    assert scan.joined(["1879-", "1894"]) == "1879- 1894"
    assert scan.joined(["ሰላም", "ለዓለም"]) == "ሰላም ለዓለም"


def naive(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(st.text(alphabet="abሀ", max_size=70), st.text(alphabet="abሀ", max_size=70))
def test_edit_distance_is_that_of_the_table(a, b):
    assert distance(a, b) == naive(a, b)


def test_pages_of_a_book_keep_their_order(tmp_path, recogniser):
    recogniser += [reading([word]) for word in ("one", "two", "ten") * 2]
    folder = tmp_path / "given"
    folder.mkdir()
    for name in ("p10", "p1", "p2"):
        drawn().save(folder / f"{name}.png")
    project = make_project(tmp_path / "p", "eng", "spa")
    (finding,) = add(project, [folder])
    assert [Path(name).stem for name in finding.files] == ["p1", "p2", "p10"]
    shutil.rmtree(folder)


def test_the_review_page_lets_only_its_owner_in(tmp_path, recogniser):
    import threading
    from http.client import HTTPConnection

    from endonym.cli.review_page import make_server

    recogniser.append(reading(["what it sazs"], sure=40))
    project = scanned(tmp_path / "p")
    data = run_ingest(project)
    queue = list(review.waiting(data.ledger(), review.Decisions(project.path)))
    server = make_server(project, queue, "Ana")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_address[1]}"

    def ask(method, path, body=None, **headers):
        connection = HTTPConnection(host, timeout=10)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    try:
        key = {"X-Token": server.token}
        assert ask("GET", "/queue")[0] == 401
        assert ask("GET", "/queue", **key, Host="evil.example")[0] == 403
        assert ask("POST", "/decide", "{}", **key, Origin="http://evil.example")[0] == 403
        assert ask("GET", "/../endonym.toml", **key)[0] == 404
        (item,) = json.loads(ask("GET", "/queue", **key)[1])
        status, png, headers = ask("GET", f"/piece/{item['id']}?token={server.token}")
        assert status == 200 and png.startswith(b"\x89PNG")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        for path in ("/", "/review.js", "/review.css"):
            status, body, _ = ask("GET", path)
            assert status == 200 and b"http" not in body
        assert ask("POST", "/decide", "[1]", **key)[0] == 400
        decision = json.dumps({"id": item["id"], "verdict": "correct", "text": "what it says"})
        assert ask("POST", "/decide", decision, **key)[0] == 200
    finally:
        server.shutdown()
        server.server_close()
    assert [doc.text for doc in run_ingest(project).records()] == ["what it says"]


def test_review_on_the_command_line(tmp_path, recogniser, capsys, monkeypatch):
    from endonym.cli.commands import review as command
    from endonym.cli.main import main

    recogniser.append(reading(["rigth"], ["wromg"], ["noize"], sure=40))
    project = scanned(tmp_path / "p")
    data = run_ingest(project)
    monkeypatch.setattr(Project, "newest", lambda self, kind: data.folder)
    assert main(["review", "--project", str(project.path), "--json"]) == 0
    items = json.loads(capsys.readouterr().out)["waiting"]
    assert [item["text"] for item in items] == ["rigth", "wromg", "noize"]
    assert {"page", "box", "confidence", "why"} <= set(items[0])
    answers = iter(["s", "r", "b", "c", "wrong", "a", "q"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["review", "--project", str(project.path)]) == 0
    assert main(["review", "--project", str(project.path), "--correct", items[0]["id"], "right"]) == 0
    assert [doc.text for doc in run_ingest(project).records()] == ["right", "wrong", "noize"]
    assert main(["review", "--project", str(project.path), "--accept", items[0]["id"]]) == 2
    assert command.review.queue(project) == []


def kinds(items):
    return [item.reason if isinstance(item, Drop) else item.kind for item in items]


def test_records_without_a_place_pass_decisions_untouched(tmp_path):
    record = Doc("a", "text", "eng", "x.txt:1")
    place = Doc("b", "text", "eng", "x.png:1", {"hash": "h", "page": 1, "box": [0, 0, 9, 9]})
    review.decide(tmp_path, place, "reject")
    assert kinds(review.Decisions(tmp_path).apply([record, Drop(record, "ocr.review"), place])) == [
        "doc", "ocr.review", "review.rejected",
    ]  # fmt: skip
