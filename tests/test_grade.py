"""Graded answers: what has no evidence gets no mark, words are found in any script, and improvements say how sure they are."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from endonym import plugins
from endonym.data import grades
from endonym.data.contains import says
from endonym.data.statistics import spearman
from endonym.errors import DataError, MissingError
from endonym.grade import questions
from endonym.grade import run as grade
from endonym.grade.complexity import level
from endonym.grade.graders import coherence, judge, reference
from endonym.grade.marks import Answered, Grading, Question
from endonym.jobs.submit import submit
from endonym.project import Project
from endonym.store import events
from endonym.teach.lesson import Lesson
from endonym.teach.settings import Config as TeachConfig


def answered(text: str, ended: bool = True, **about) -> Answered:
    asked = Question(about.pop("id", "q"), about.pop("question", "Name a city."), (), **about)
    return Answered(asked, text, len(text.split()), 1.0, 0.1, ended)


# Words in texts of many scripts.


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The capital is PARIS.", "paris"),
        ("Ya jk'an jna'.", "jk'an"),
        ("l'eau est froide", "eau"),
        ("caf\u0065\u0301 con leche", "caf\u00e9"),
        ("ዋና ከተማዋ አዲስ አበባ ናት።", "አዲስ አበባ"),
        ("राजधानी दिल्ली है", "दिल्ली"),
        ("首都是北京市", "北京"),
        ("བོད་ཡིག་ནི།", "ཡིག"),
        ("ភ្នំពេញគឺជារដ្ឋធានី", "ភ្នំពេញ"),
        ("it is rotating", "rotat*|spin*"),
        ("the drought", "rain|drought"),
        ("12 + 30 = 42.", "42"),
    ],
)
def test_a_word_is_found_in_any_script(text, word):
    assert says(text, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Parisian", "Paris"),
        ("1942", "42"),
        ("ከተማዋ", "ከተማ"),
        ("दिल्ली", "दिल"),
        ("ก่อน", "ก"),
        ("ʼokʼ", "ok"),
        ("བོད་ཡིག", "བོ"),
        ("anything", ""),
        ("", "x"),
    ],
)
def test_a_part_of_a_word_is_no_word(text, word):
    assert not says(text, word)


# Graders.


def test_what_has_no_evidence_gets_no_mark():
    (marks,) = reference.grade([answered("Addis Ababa")], reference.Config(), Grading({})).marks
    assert {name: mark.value for name, mark in marks.items()} == dict.fromkeys(marks)
    assert all(mark.why for mark in marks.values())


def test_references_mark_nearness_coverage_and_the_right_word():
    found = [
        answered("Paris", references=("Paris",), keywords=("Paris",)),
        answered("It is Paris, of course.", references=("Paris",), keywords=("Paris", "Seine")),
        answered("London", references=("Paris",)),
        answered("", references=("Paris",)),
    ]
    same, told, wrong, empty = reference.grade(found, reference.Config(), Grading({})).marks
    assert [mark.value for mark in same.values()] == [100, 100, 100]
    assert told["completeness"].value == 50 and told["correctness"].value == 100 and 0 < told["accuracy"].value < 60
    assert wrong["correctness"].value == 0 and wrong["accuracy"].value < 10
    assert [mark.value for mark in empty.values()] == [0, 0, 0]
    assert same["accuracy"].method == "chrF++"


def test_a_long_reference_needs_meaning(monkeypatch):
    import numpy as np

    long = answered("the sun warms the wet ground", references=("in the morning the sun dries the ground",))
    (marks,) = reference.grade([long], reference.Config(), Grading({})).marks
    assert marks["correctness"].value is None and "too long" in marks["correctness"].why
    assert marks["accuracy"].method == "chrF++"

    def vectors_of(texts):
        """An answer at 0.9 to its reference; references of other questions at 0.5 to it and at 0.25 to each other."""
        made = {
            "the sun warms the wet ground": [0.9, (1 - 0.9**2) ** 0.5],
            "in the morning the sun dries the ground": [1.0, 0.0],
        }
        others = sorted({text for text in texts if text not in made})
        rows = np.zeros((len(texts), 2 + len(others)))
        for row, text in zip(rows, texts, strict=True):
            row[:2] = made.get(text, [0.5, 0.0])
            if text in others:
                row[2 + others.index(text)] = 0.75**0.5
        return rows

    monkeypatch.setattr(reference, "_installed", lambda: True)
    monkeypatch.setattr(reference.plugins, "load", lambda kind, name: SimpleNamespace(vectors_of=vectors_of))

    def mark(answers, **settings):
        marks = reference.grade(answers, reference.Config(**settings), Grading({})).marks[0]
        assert marks["correctness"].value is None  # what is near may say the contrary
        return marks["accuracy"]

    assert mark([long]).value == pytest.approx(100 * 0.08 / 0.18) and mark([long]).method == "embedding similarity"
    assert mark([long], unlike=0.5).value == pytest.approx(80)
    # With the references of four other questions there are ten pairs: four at 0.5 and six at 0.25, whatever the answers are.
    many = [long, *(answered(f"what {n}", references=(f"a long reference of number {n}",)) for n in range(4))]
    assert mark(many).value == pytest.approx(100 * (0.9 - 0.35) / 0.65)
    other = answered(long.text, references=long.question.references, language="tzh")
    assert mark([other]).method == "chrF++"  # a language that the embedder may not know


def test_a_reference_is_text_and_no_pattern():
    (marks,) = reference.grade([answered("b", references=("a|b",))], reference.Config(), Grading({})).marks
    assert marks["correctness"].value == 0


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        (answered("Paris is the capital of France."), 100, 100),
        (answered(""), 0, 0),
        (answered("the cat the cat the cat the cat the cat the cat"), 0, 40),
        (answered("la la la la la la la la la la la", ended=False), 0, 20),
        (answered("It is a long story that", ended=False), 80, 80),
        (answered("Paris", references=("አዲስ አበባ",)), 0, 0),
        (answered("አዲስ አበባ", references=("አዲስ አበባ",)), 100, 100),
        (answered("Привет мир", language="amh"), 0, 0),
        (answered("123"), 100, 100),
        (answered("Look: ........................................"), 100, 100),
        (answered("!!!!!!!!!!!!!!!!!!!!!!!!!!"), 0, 10),
        (answered("no no no no and then a long story of other words that goes on", ended=False), 65, 75),
    ],
)
def test_coherence_is_told_from_facts(given, least, most):
    marks = coherence.grade([given], coherence.Config(), Grading({"amh": ("Ethi",)})).marks
    assert least <= marks[0]["coherence"].value <= most


@pytest.mark.parametrize(
    ("question", "task", "factor", "verb"),
    [
        ("What is the capital of France?", "", 1, "what"),
        ("Explain why the sky is blue.", "", 2, "explain"),
        ("Design a library.", "", 3, "design"),
        ("¿Qué es? Justifique su respuesta.", "", 3, "justifique"),
        ("የዝናብን መንስኤ አብራራ።", "", 2, "አብራራ"),
        ("የመንደሩን ችግር ተንትን።", "", 3, "ተንትን"),
        ("Good morning.", "translate", 2, "translate"),
        ("Good morning.", "", 2, ""),
        ("Designers", "", 2, ""),
        ("What is a plan?", "", 1, "what"),
        ("Who wrote the play, and what was the use of its design?", "", 1, "what"),
        ("Read the text. Please evaluate its argument.", "", 3, "evaluate"),
        ("List three causes and justify your choice.", "", 3, "justify"),
        ("In two days, design a bridge.", "", 3, "design"),
        ("Name colours, design and shape of a plate.", "", 1, "name"),
        ("Cree que es tarde.", "", 2, ""),
        ("¿Por qué el debate?", "", 2, "por qué"),
        ("1. Plan", "", 3, "plan"),
    ],
)
def test_the_verb_says_how_hard_a_question_is(question, task, factor, verb):
    found = level(question, task)
    assert (found.factor, found.verb) == (factor, verb)
    assert verb or "default" in found.why


def test_the_general_questions_are_of_all_three_levels():
    asked = questions.general()
    assert len(asked) >= 20 and len({q.id for q in asked}) == len(asked)
    assert {level(q.question, q.task).factor for q in asked} == {1, 2, 3}
    assert all(q.references or q.keywords for q in asked)
    for q in asked:  # a right answer must be able to get full marks
        if q.references and q.keywords:
            (marks,) = reference.grade(
                [answered(q.references[0], references=q.references, keywords=q.keywords)],
                reference.Config(),
                Grading({}),
            ).marks
            assert marks["completeness"].value == 100, q.id


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.jsonl", '{"question": "¿Qué?", "reference": "casa", "keywords": ["a|b", "c"]}\n\n{"question": "2"}\n'),
        ("q.csv", "question,reference,keywords\n¿Qué?,casa,a|b; c\n2,,\n"),
        (
            "q.toml",
            '[[questions]]\nquestion = "¿Qué?"\nreference = "casa"\nkeywords = "a|b;c"\n[[questions]]\nquestion = "2"\n',
        ),
    ],
)
def test_questions_are_read_from_three_kinds_of_files(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    first, second = questions.of_file(tmp_path / name)
    assert (first.question, first.references, first.keywords) == ("¿Qué?", ("casa",), ("a|b", "c"))
    assert (second.question, second.references, second.keywords) == ("2", (), ())


@pytest.mark.parametrize("line", ["{", "[1]", '{"question": ""}', '{"question": "a", "answr": "b"}'])
def test_a_bad_question_names_its_line(tmp_path, line):
    (tmp_path / "q.jsonl").write_text('{"question": "fine"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"q\.jsonl:2"):
        questions.of_file(tmp_path / "q.jsonl")


# From before to after.


def row(ident: str, value: float | None, factor: int = 1, method: str = "chrF++", seconds: float = 1.0) -> dict:
    marks = {"accuracy": {"value": value, "method": method if value is not None else "", "why": ""}}
    return {"id": ident, "factor": factor, "marks": marks, "seconds": seconds, "tokens": 5, "first_token_seconds": 0.1}


def test_improvements_are_in_percent_with_an_interval():
    before = [row(str(n), 20.0 + n % 3) for n in range(12)]
    after = [row(str(n), 30.0 + n % 3, seconds=0.5) for n in range(12)]
    found = grades.improvements(before, after)
    got = found["accuracy"]
    assert (got["unit"], got["n"], got["points"]) == ("percent", 12, 10.0)
    assert got["percent"] == pytest.approx(100 * 10 / 21, abs=0.01)
    assert got["low"] <= got["percent"] <= got["high"] and got["p_value"] < 0.01
    assert found["seconds"]["percent"] == -50
    assert found["completeness"]["n"] == 0 and found["completeness"]["percent"] is None and found["completeness"]["why"]


def test_a_baseline_of_zero_gives_points_and_says_so():
    found = grades.improvements([row("a", 0.0), row("b", 0.0)], [row("a", 40.0), row("b", 60.0)])["accuracy"]
    assert (found["percent"], found["unit"], found["points"], found["n"]) == (None, "points", 50.0, 2)
    assert found["why"] and found["low"] <= 50 <= found["high"]
    assert json.dumps(found)


def test_only_marks_of_one_method_are_compared():
    before = [row("a", 10.0), row("b", 10.0), row("c", None), row("gone", 1.0)]
    after = [row("a", 20.0), row("b", 90.0, method="judge"), row("c", 50.0)]
    assert grades.improvements(before, after)["accuracy"]["n"] == 1


def test_the_total_counts_hard_questions_more():
    found = grades.summary([row("a", 100.0, 1), row("b", 0.0, 3), row("c", None, 2)])
    assert found["total"]["value"] == 25 and found["total"]["n"] == 2
    assert found["total"]["weights"] == {"x1": 1, "x2": 1, "x3": 1}
    assert found["criteria"]["accuracy"]["n"] == 2 and found["criteria"]["coherence"]["value"] is None
    assert grades.summary([])["total"]["value"] is None


# The judge.


class Endpoint:
    """An OpenAI-compatible endpoint that marks by a function of the answer and the round."""

    def __init__(self, mark):
        self.requests = requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                requests.append((self.path, self.headers.get("Authorization"), body))
                answer = body["messages"][1]["content"].rpartition("Answer:\n")[2]
                marks = mark(answer, len(requests))
                reply = {"choices": [{"message": {"content": f"Here: {json.dumps(marks)}"}}]}
                content = json.dumps(reply).encode()
                self.send_response(400 if outer.refuses(body) else outer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words):
                pass

        self.status, self.refuses = 200, lambda body: False
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint():
    made = []

    def make(mark) -> Endpoint:
        made.append(Endpoint(mark))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def test_nobody_is_asked_without_an_address(monkeypatch):
    monkeypatch.delenv("ENDONYM_JUDGE_URL", raising=False)
    graded = judge.grade([answered("a")], judge.Config(), Grading({}))
    assert graded.about["used"] is False and graded.marks == [{}]


def test_the_judge_marks_twice_in_turned_order_and_tells_its_agreement(endpoint, monkeypatch):
    there = endpoint(lambda answer, n: {"accuracy": 60 + 10 * (n % 2), "coherence": 90, "correctness": None})
    monkeypatch.setenv("ENDONYM_JUDGE_KEY", "secret")
    cfg = judge.Config(url=there.url, model="m")
    graded = judge.grade([answered("{reference} Paris")], cfg, Grading({}))
    (marks,) = graded.marks
    assert marks["accuracy"].value == 65 and marks["accuracy"].method == "judge" and marks["coherence"].value == 90
    assert marks["correctness"].value is None and marks["completeness"].value is None  # null, and not said at all
    assert graded.about["agreement"]["accuracy"] == {"n": 1, "mean_gap": 10, "alpha": 0.0}
    assert graded.about["checked_against_people"] is False
    first, second = (body["messages"] for _, _, body in there.requests)
    assert first[0]["content"] != second[0]["content"] and "{reference} Paris" in first[1]["content"]
    path, key, body = there.requests[0]
    assert (path, key, body["temperature"]) == ("/v1/chat/completions", "Bearer secret", 0)
    assert "secret" not in json.dumps(graded.about)


def test_a_judge_that_contradicts_itself_gives_no_mark(endpoint):
    there = endpoint(lambda answer, n: {"accuracy": 90 * (n % 2)})
    (marks,) = judge.grade([answered("x")], judge.Config(url=there.url), Grading({})).marks
    assert marks["accuracy"].value is None and "itself" in marks["accuracy"].why


@pytest.mark.parametrize(("sign", "used"), [(1, True), (-1, False)])
def test_a_judge_that_does_not_follow_people_is_switched_off(endpoint, tmp_path, sign, used):
    there = endpoint(lambda answer, n: {"accuracy": 50 + sign * int(answer)})
    rows = [{"question": "q", "answer": str(n), "rating": n * n} for n in range(12)]
    file = tmp_path / "ratings.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    graded = judge.grade([answered("7")], judge.Config(url=there.url, ratings=file.name), Grading({}, tmp_path))
    assert graded.about["used"] is used and graded.about["people"] == {
        "ratings": 12,
        "n": 12,
        "correlation": float(sign),
    }
    assert used or "people" in graded.about["reason"]


@pytest.mark.parametrize(("marked", "rated", "why"), [(7, 12, "7 of 12"), (7, 9, ""), (0, 0, "none of its 2 replies")])
def test_a_judge_that_does_not_keep_to_the_form_is_switched_off(endpoint, tmp_path, marked, rated, why):
    """It marks the answers below `marked`; what it says of the others is no form."""
    there = endpoint(lambda answer, n: {"accuracy": 5 * int(answer)} if int(answer) < marked else "fine")
    rows = [{"question": "q", "answer": str(n), "rating": n} for n in range(rated)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    cfg = judge.Config(url=there.url, ratings="r.jsonl" if rated else "")
    graded = judge.grade([answered("3")], cfg, Grading({}, tmp_path))
    assert graded.about["used"] is (why == "") and why in graded.about.get("reason", "")
    if not why:
        assert graded.about["checked_against_people"] is False and graded.about["replies"]["in_form"] == 2 * marked + 2


def test_the_form_is_asked_for_as_a_schema_until_that_is_refused(endpoint):
    there = endpoint(lambda answer, n: {"accuracy": 50})
    there.refuses = lambda body: "response_format" in body
    graded = judge.grade([answered("x"), answered("y")], judge.Config(url=there.url), Grading({}))
    assert [m["accuracy"].value for m in graded.marks] == [50, 50]
    forms = [body.get("response_format", {}).get("json_schema", {}).get("schema") for _, _, body in there.requests]
    assert forms[0]["required"][0] == "accuracy" and forms[1:] == [None] * 4


def test_a_judge_that_fails_is_no_zero(endpoint):
    there = endpoint(lambda answer, n: {})
    there.status = 500
    graded = judge.grade([answered("x")], judge.Config(url=there.url), Grading({}))
    assert graded.about["used"] is False and "500" in graded.about["reason"] and graded.marks == [{}]
    closed = judge.grade([answered("x")], judge.Config(url="http://127.0.0.1:9/v1"), Grading({}))
    assert "cannot be reached" in closed.about["reason"]


def test_spearman_is_of_ranks():
    assert spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 2, 4], [4, 3, 3, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [1, 2, 3]) is None is spearman([float("nan")], [1])


# The stage.


@pytest.fixture(scope="module")
def project(composed, copied, tmp_path_factory) -> Project:
    return Project(copied(composed, tmp_path_factory.mktemp("grade") / "home"))


def test_the_base_is_asked_measured_and_graded(project):
    (project.path / "mine.jsonl").write_text('{"question": "Name a bird.", "task": "name"}\n', encoding="utf-8")
    settings = {"system": "base", "max_new_tokens": 6, "files": ["mine.jsonl"], "language_questions": 4}
    done = submit(project, "grade", "", settings, wait=True)
    found = json.loads((project.output(done.id) / "grades.json").read_text(encoding="utf-8"))
    rows = found["rows"]
    assert {r["set"] for r in rows} == {"general", "language", "own"} and len(rows) == len(questions.general()) + 5
    held = {c.answer for c in _valid(project)}
    assert {r["references"][0] for r in rows if r["set"] == "language"} <= held
    (mine,) = (r for r in rows if r["set"] == "own")
    assert mine["marks"]["accuracy"]["value"] is None and mine["marks"]["coherence"]["value"] is not None
    assert all(r["seconds"] > 0 and r["tokens"] <= 6 for r in rows)
    assert all(0 <= m["value"] <= 100 for r in rows for m in r["marks"].values() if m["value"] is not None)
    assert found["summary"]["speed"]["tokens_per_second"] > 0
    lines = (project.output(done.id) / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert "<|im_start|>user" in json.loads(lines[0])["prompt"]
    # The same again is not asked again; another file is another job.
    assert submit(project, "grade", "", settings, wait=True).id == done.id
    (project.path / "mine.jsonl").write_text('{"question": "Name a tree."}\n', encoding="utf-8")
    assert submit(project, "grade", "", settings, wait=True).id != done.id


def _valid(project):
    from endonym.data.dataset import Dataset

    return list(Dataset(project.newest("chats"), "grade").records("valid"))


def test_no_prompt_in_the_languages_has_hints(project):
    from endonym.data.dataset import Dataset

    asked = questions.of_language(Dataset(project.newest("chats"), "grade"), project, 12, 3)
    assert len(asked) == 12 and len({q.task for q in asked}) > 1
    assert all(len(q.messages) <= 2 for q in asked)


def test_without_a_trained_model_it_says_what_to_do():
    with pytest.raises(MissingError, match="no trained model"):
        grade._load(grade.Config(), SimpleNamespace(inputs={}))


def test_answers_go_on_where_a_kill_left_them(tiny_model, tmp_path):
    from endonym.grade import asking
    from endonym.models.generate import Sampling
    from endonym.models.load import load_model

    loaded = load_model(tiny_model, dtype="float32")
    asked, path = questions.general()[:3], tmp_path / "answers.jsonl"
    whole = asking.ask_all(loaded, asked, Sampling(4), path, lambda done: None, lambda: False)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(lines[0] + "\n" + lines[1][:20], encoding="utf-8")
    again = asking.ask_all(loaded, asked, Sampling(4), path, lambda done: None, lambda: False)
    assert [a.text for a in again] == [a.text for a in whole] and again[0].seconds == whole[0].seconds
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3
    assert asking.ask_all(loaded, asked, Sampling(4), tmp_path / "none", lambda done: None, lambda: True) == []


LINES = "one\u2028two\u0085three\u2029four\x0bfive\x1csix\r"
"""What Unicode or Python take for ends of lines, inside one text."""


def test_an_answer_may_hold_what_unicode_takes_for_the_end_of_a_line(tmp_path, monkeypatch):
    from endonym.grade import asking

    asked = questions.general()[:2]
    row = {"text": LINES, "tokens": 3, "seconds": 0.1, "first_token_seconds": 0.1, "ended": True}
    monkeypatch.setattr(asking, "_ask", lambda loaded, question, sampling: {"id": question.id, **row})
    path = tmp_path / "answers.jsonl"
    asking.ask_all(None, asked, None, path, lambda done: None, lambda: False)
    monkeypatch.setattr(asking, "_ask", lambda *_: pytest.fail("it was asked before"))
    again = asking.ask_all(None, asked, None, path, lambda done: None, lambda: False)
    assert [answer.text for answer in again] == [LINES, LINES]


def test_a_question_of_ones_own_may_hold_it_too(tmp_path):
    rows = [{"id": str(n), "question": f"{n} {LINES}end", "reference": LINES.strip()} for n in range(2)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "q.jsonl").write_text(text, encoding="utf-8", newline="")
    assert [q.question for q in questions.of_file(tmp_path / "q.jsonl")] == [row["question"] for row in rows]


def test_a_judge_can_be_chosen_as_any_grader(project, endpoint):
    assert set(plugins.available("grader")) == {"coherence", "judge", "reference"}
    there = endpoint(lambda answer, n: {"correctness": 70})
    settings = {
        "system": "base", "sets": ["general"], "max_new_tokens": 2, "plugins": ["reference", "coherence", "judge"],
        "judge": {"url": there.url, "rounds": 2},
    }  # fmt: skip
    done = submit(project, "grade", "", settings, wait=True)
    rows = json.loads((project.output(done.id) / "grades.json").read_text(encoding="utf-8"))["rows"]
    methods = {r["id"]: r["marks"]["correctness"]["method"] for r in rows}
    assert methods["general/capital-france"] == "reference in answer" and methods["general/plan-garden"] == "judge"
    (warning,) = [e.data["text"] for e in events.since(project.db, done.id) if e.kind == "warning"]
    assert "were not held against people's" in warning and "--judge.ratings" in warning


def test_a_judge_named_in_the_settings_of_teach_marks_first(endpoint, monkeypatch):
    """The first grader with evidence marks: after the others, a judge would mark only what has no reference."""
    monkeypatch.setenv("ENDONYM_JUDGE_URL", "http://judge.example/v1")
    lesson = SimpleNamespace(cfg=TeachConfig(judgeModel="m"))
    settings = Lesson.grading(lesson, "base", ["general"])
    assert settings["plugins"][0] == "judge" and settings["judge"]["url"] == "http://judge.example/v1"
    assert judge.Config().url == "http://judge.example/v1" and judge.Config(url="").url == ""
    there = endpoint(lambda answer, n: {"accuracy": 70})
    asked = [answered("Paris", references=("Paris",))]
    marks = [
        plugins.load("grader", name).grade(asked, plugins.load("grader", name).Config(**extra), Grading({})).marks[0]
        for name, extra in ((n, {"url": there.url} if n == "judge" else {}) for n in settings["plugins"])
    ]
    row = grade._row(asked[0], marks)
    assert (
        row["marks"]["accuracy"]["method"] == "judge" and row["marks"]["correctness"]["method"] == "reference in answer"
    )
    monkeypatch.delenv("ENDONYM_JUDGE_URL")
    assert "plugins" not in Lesson.grading(SimpleNamespace(cfg=TeachConfig()), "base", ["general"])
