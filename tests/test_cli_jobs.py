"""Stages run from the command line: a job each, skipped when done, followed, detached, cancelled, resumed, and read as JSON."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from endonym import plugins
from endonym.cli.console import Console
from endonym.cli.follow import Watcher
from endonym.cli.main import build, main
from endonym.config import Layer
from endonym.errors import UsageError
from endonym.jobs.stage import load_stage, resolve, verbs
from endonym.project import Project
from endonym.store.events import Event

ROOT = Path(__file__).parent.parent
PLAN = 'steps = ["compose", "tokenizer report"]\n'


@pytest.fixture(scope="module")
def home(split_project, tseltal) -> Path:
    """A project with a sealed split and its own plan, on the tiny model."""
    project = split_project(tseltal[:120], PLAN)
    project.db.close()
    return project.path


@dataclass(frozen=True)
class Ran:
    """What a command printed and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def run(home: Path, *words: str) -> Ran:
    """Run a command in this process; its jobs run in theirs."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*words, "--project", str(home)])
    return Ran(code, out.getvalue(), err.getvalue())


def as_json(home: Path, *words: str) -> dict:
    ran = run(home, *words, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def test_a_stage_runs_once_and_says_so(home):
    first = as_json(home, "compose", "--tasks", "translate", "--translate.num-pairs", "2")
    again = run(home, "compose", "--tasks", "translate", "--translate.num-pairs", "2", "--json")
    other = as_json(home, "compose", "--tasks", "translate", "--translate.num-pairs", "1")
    assert not first["skipped"] and Path(first["output"], "compose.json").is_file()
    assert json.loads(again.stdout) == {**first, "skipped": True}
    assert "nothing to do" in again.stderr
    assert other["job"] != first["job"]
    settings = as_json(home, "jobs", "show", str(first["job"]))["settings"]
    assert settings["plugins"]["translate"]["num_pairs"] == 2


def test_python_names_inputs_as_the_command_line_does(home):
    """Named inputs reach the job, and every verb of the Python API that takes any lets them be named."""
    made = as_json(home, "compose", "--tasks", "translate", "--translate.num-pairs", "1", "--input", "dataset=1")
    project = Project(home)
    again = project.compose(plugins=["translate"], translate={"num_pairs": 1}, inputs={"dataset": 1})
    assert again.id == made["job"] and again.inputs == {"dataset": 1}
    with pytest.raises(UsageError, match="job 1 made nothing that 'train' takes as its 'dataset'"):
        project.train(inputs={"dataset": 1})
    for verb in (verb for verb in verbs() if load_stage(verb).inputs and verb != "serve"):
        with pytest.raises(UsageError, match=f"'{verb}' has no input 'other'"):
            getattr(project, verb)(inputs={"other": 1})
    project.db.close()


def test_all_problems_are_told_at_once_and_nothing_starts(home):
    before = len(as_json(home, "jobs")["jobs"])
    ran = run(home, "compose", "--mst", "3", "--translate.hints", "some", "--lookup.weight=heavy")
    assert ran.returncode == 2
    assert "3 problems" in ran.stderr, ran.stderr
    assert "Did you mean 'most'?" in ran.stderr
    assert len(as_json(home, "jobs")["jobs"]) == before


def test_plan_and_run_do_only_what_is_left(home):
    steps = as_json(home, "plan")["steps"]
    assert [step["name"] for step in steps] == ["compose", "tokenizer report"]
    assert all(step["state"] == "will run" for step in steps)
    ran = run(home, "run")
    assert ran.returncode == 0, ran.stderr
    assert "[1/2] compose" in ran.stderr and "2 of 2 steps ran" in ran.stderr
    assert {step["state"] for step in as_json(home, "plan")["steps"]} == {"done"}
    changed = home / "changed.toml"
    changed.write_text("[tokenizer.report]\nmax_texts = 20\n")
    plan = as_json(home, "plan", "--plan", str(changed))["steps"]
    assert [step["state"] for step in plan] == ["done", "will run"]


def test_running_again_takes_no_time_and_no_torch(home):
    run(home, "run")
    start = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "endonym", "run", "--project", str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - start < 5
    assert "nothing to do" in ran.stderr
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "endonym.jobs.plan" in imported
    assert not {"torch", "transformers"} & imported


TRAIN = ("train", "lora", "--batch-size", "4", "--samples", "0", "--save-every", "5", "--evaluate-every", "50")


def test_a_job_is_detached_paused_resumed_interrupted_and_cancelled(home):
    as_json(home, "compose")
    started = as_json(home, *TRAIN, "--steps", "4000", "--detach")
    number = str(started["job"])
    assert started["state"] in ("queued", "running")

    def state():
        return as_json(home, "jobs", "show", number)["state"]

    wait_until(lambda: list(Path(started["folder"]).glob("checkpoints/*")))
    assert as_json(home, "jobs", "pause", number)["state"] == "running"
    wait_until(lambda: state() == "paused")
    # A program started in the background of a script ignores Ctrl-C, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Resumed in the foreground, then Ctrl-C: it saves, says how to go on, and ends with the exit code of a stopped job.
    words = [sys.executable, "-m", "endonym", "jobs", "resume", number, "--project", str(home)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: state() == "running")
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 7
    assert not out
    assert "pausing" in err and f"endonym jobs resume {number}" in err
    assert {str(job["id"]): job["state"] for job in as_json(home, "jobs", "ls")["jobs"]}[number] == "paused"
    assert run(home, "jobs", "logs", number).stdout
    events = [json.loads(line) for line in run(home, "jobs", "logs", number, "--json").stdout.splitlines()]
    assert {"state", "tick"} <= {event["kind"] for event in events}
    # A job that was cancelled is over; what it did is not lost.
    assert "is cancelled" in run(home, "jobs", "cancel", number).stdout
    assert "nothing to pause" in run(home, "jobs", "pause", number).stdout
    again = run(home, "jobs", "resume", number, "--detach", "--json")
    other = json.loads(again.stdout)
    assert other["continues"] == int(number) and f"goes on as job {other['id']}" in again.stderr
    after = Path(started["folder"]).parent / other["folder"]
    wait_until(lambda: "going on from the checkpoint" in (after / "log.txt").read_text(encoding="utf-8"))
    assert not (Path(started["folder"]) / "checkpoints").exists()
    as_json(home, "jobs", "cancel", str(other["id"]))
    wait_until(lambda: as_json(home, "jobs", "show", str(other["id"]))["state"] == "cancelled")


def test_plain_progress_is_lines_without_colour(home):
    ran = run(home, "compose", "--tasks", "translate", "--most", "60")
    assert ran.returncode == 0
    assert "\x1b" not in ran.stderr + ran.stdout and "\r" not in ran.stderr


def test_a_failed_job_gives_its_error_code_and_hint(home):
    # The data has no dictionary entry, so that nothing can be defined.
    ran = run(home, "compose", "--tasks", "define", "--json")
    assert ran.returncode == 2, ran.stderr
    error = json.loads(ran.stdout)["error"]
    assert error["exit_code"] == 2 and error["hint"] and "no training example" in error["message"]
    number = re.search(r"job (\d+)", error["message"])[1]
    shown = run(home, "jobs", "show", number).stdout
    assert "failed" in shown and "no training example" in shown


def blocks() -> dict[str, str]:
    """The files that docs/add-a-plugin.md tells to write."""
    page = (ROOT / "docs" / "add-a-plugin.md").read_text(encoding="utf-8")
    return dict(re.findall(r'```python title="([^"]+)"\n(.*?)```', page, flags=re.DOTALL))


@pytest.fixture(scope="module")
def extended(home) -> Path:
    for name, text in blocks().items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return home


def test_the_page_shows_a_reader_a_metric_and_a_recipe():
    assert {Path(name).parent.name for name in blocks()} == {"reader", "metric", "recipe"}


@pytest.mark.parametrize("name", blocks())
def test_a_plugin_is_one_file(extended, name):
    kind, plugin = Path(name).parent.name, Path(name).stem
    listed = {(p["kind"], p["name"]): p for p in as_json(extended, "plugins", kind)["plugins"]}
    assert listed[(kind, plugin)]["origin"] == "project"
    assert listed[(kind, plugin)]["help"].endswith(".")
    shown = as_json(extended, "plugins", "show", kind, plugin)["settings"]
    assert shown and all(field["description"] for field in shown)
    module = plugins.load(kind, plugin, extended)
    assert callable(getattr(module, plugins.KINDS[kind][1]))


def test_own_plugins_are_in_the_help(extended, capsys, monkeypatch):
    monkeypatch.chdir(extended)
    for words, said in (
        (["evaluate", "--help"], "--ter.[no-]normalized"),
        (["train", "--help"], "Train the last layers of the base model themselves"),
        (["train", "top", "--help"], "--layers N"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert said in " ".join(capsys.readouterr().out.split())  # a narrow terminal breaks the line elsewhere


def test_the_commands_of_the_page_parse(extended, monkeypatch):
    monkeypatch.chdir(extended)
    page = (ROOT / "docs" / "add-a-plugin.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 3
    for line in lines:
        _, verb, *words = shlex.split(line)
        args = build(verb, words).parse()
        if hasattr(args, "settings"):
            resolve(load_stage(verb), args.plugin_name, [Layer("command line", args.settings)], extended)


PHRASES = """== Ta ch'iwich

¿jayebix ora?
¿Qué hora es?

lek te ixime
El maíz
está bueno.

solo
"""


def test_own_reader_reads(extended):
    path = extended / "raw" / "market.phrases"
    path.write_text(PHRASES, encoding="utf-8")
    reader = plugins.load("reader", "phrasebook", extended)
    first, second, drop = reader.read(path, reader.Config(language="tzh", pivot="spa", heading="=="))
    assert (first.text("tzh"), first.text("spa"), first.origin) == (
        "¿jayebix ora?",
        "¿Qué hora es?",
        "market.phrases:3",
    )
    assert (second.target, second.meta["heading"]) == ("El maíz está bueno.", "Ta ch'iwich")
    assert drop.reason == "phrasebook.no_translation" and drop.record.source == "solo"


def test_own_recipe_trains_through_cli_and_api(extended):
    as_json(extended, "compose")
    made = as_json(extended, "train", "top", "--layers", "1", "--steps", "2", "--batch-size", "4", "--samples", "0")
    assert Path(made["output"], "weights", "model.safetensors").is_file()
    settings = as_json(extended, "jobs", "show", str(made["job"]))["settings"]
    assert settings["plugins"]["top"]["layers"] == 1
    again = Project(extended).train("top", layers=1, steps=2, batch_size=4, samples=0)
    assert again.id == made["job"]


def test_own_metric_scores(extended):
    as_json(extended, "compose")
    made = as_json(
        extended, "evaluate", "--metric", "ter,chrf", "--systems", "base", "--baselines", "copy", "--max-items", "4",
        "--max-new-tokens", "4",
    )  # fmt: skip
    rows = json.loads(Path(made["output"], "scores.json").read_text())["rows"]
    assert {row["name"] for row in rows} >= {"TER", "chrF2++"}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_the_time_left_is_told_from_what_is_counted_now(monkeypatch, capsys):
    """A job that counts one thing after another goes at the pace of the last, which may be another by far."""
    monkeypatch.setattr("endonym.cli.follow.LINE_SECONDS", 0.0)
    watcher = Watcher(Console())
    counts = [(0, 0, "texts"), (1000, 1000, "texts"), (1001, 1, "steps, without"), (1011, 6, "steps, noise")]
    for number, (at, done, unit) in enumerate(counts):
        watcher(Event(number, 1, float(at), "tick", {"done": done, "total": 16 if done < 10 else 1000, "unit": unit}))
    assert capsys.readouterr().err.splitlines()[-1].strip() == "6/16 steps, noise, 0.5 steps/s, 20 s left"
