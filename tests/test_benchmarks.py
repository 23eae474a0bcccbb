"""The speed benchmark compares like with like: its rows are what they say, unequal jobs are refused, ratios are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
EXAMPLE = Path(__file__).parent / "data" / "tseltal"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_rows_are_short_translations_and_no_pair_is_on_both_sides():
    from peers import rows

    train, valid = rows.tseltal(EXAMPLE, 41, 20, seed=1)
    assert (len(train), len(valid)) == (41, 20)
    assert (train, valid) == rows.tseltal(EXAMPLE, 41, 20, seed=1) != rows.tseltal(EXAMPLE, 41, 20, seed=2)
    texts = {m["content"] for chat in train for m in chat if m["role"] != "system"}
    for chat in train + valid:
        assert [m["role"] for m in chat] == ["system", "user", "assistant"]
        assert chat[0]["content"].startswith("Translate from ") and "\n" not in chat[1]["content"]
    assert not any(m["content"] in texts for chat in valid for m in chat[1:])
    directions = [chat[0]["content"] for chat in train]
    assert abs(directions.count(directions[0]) - directions.count(directions[1])) == 1
    with pytest.raises(SystemExit, match="--rows"):
        rows.tseltal(EXAMPLE, 100_000, 20, seed=1)


def test_rows_of_a_file_are_divided_and_conversations_of_many_turns_refused(tmp_path):
    from peers import rendering, rows

    chats = [[{"role": "user", "content": f"ke {n}"}, {"role": "assistant", "content": "ሰላም"}] for n in range(9)]
    rows.write(tmp_path / "chats.jsonl", chats)
    assert rendering.read(tmp_path / "chats.jsonl") == chats
    train, valid = rows.from_file(tmp_path / "chats.jsonl", 6, 3, seed=1)
    assert sorted(train + valid, key=lambda c: c[0]["content"]) == chats
    strange = [[{"role": "user", "content": "a\u2028b"}, {"role": "assistant", "content": "c\u0085d\x0ce"}]]
    rows.write(tmp_path / "chats.jsonl", strange)
    assert rows.from_file(tmp_path / "chats.jsonl", 1, 0, seed=1) == (strange, [])
    rows.write(tmp_path / "chats.jsonl", [[*chats[0], *chats[1]]])
    with pytest.raises(SystemExit, match="one question with one answer"):
        rows.from_file(tmp_path / "chats.jsonl", 1, 0, seed=1)


def test_the_curves_that_a_browser_is_shown_are_as_long_as_asked(tmp_path):
    import studio

    from endonym.store import events, jobs

    project = studio.prepare(tmp_path / "p", 2, 7)
    assert [len(events.curve(project.db, row.id, "loss")) for row in jobs.listing(project.db)] == [7, 7]
    told = studio._counted([0, 10, 20, 50])
    assert (told["frames_per_second"], told["longest_milliseconds"], told["p95_milliseconds"]) == (60.0, 30, 10)


def test_rows_of_all_steps_hold_every_row_as_often():
    from peers import rows

    drawn = rows.repeated(["a", "b", "c"], 9, seed=1)
    assert sorted(drawn) == sorted("aaabbbccc") and all(set(drawn[i : i + 3]) == set("abc") for i in (0, 3, 6))


def test_the_judge_renders_what_training_does(tiny_model, tmp_path):
    """Ids and learned positions are those of the one renderer, and no token stands behind the end marker."""
    from peers import rendering, rows
    from transformers import AutoTokenizer

    from endonym.models.render import Renderer
    from endonym.types import Chat, Message

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = rendering.TEMPLATE
    renderer = Renderer(tokenizer)
    train, _ = rows.tseltal(EXAMPLE, 20, 0, seed=1)
    for messages in train:
        ids, labels = rendering.render(tokenizer, messages)
        chat = Chat("c", tuple(Message(m["role"], m["content"]) for m in messages), "x")
        example = renderer.example(chat, every_turn=True)
        assert (ids, labels) == (example.ids, example.labels)
        assert labels[-1] == ids[-1] == renderer.stop_ids[0]


def test_packed_rows_are_taken_apart_again():
    from measured import rows_of
    from rendering import IGNORE, about

    first, second = ([1, 2, 3], [IGNORE, 2, 3]), ([4, 5], [IGNORE, 5])
    laid = {"input_ids": [1, 2, 3, 4, 5], "labels": [IGNORE, 2, 3, IGNORE, 5]}
    assert list(rows_of({**laid, "seq_lengths": [3, 2]})) == [first, second]
    padded = {
        "input_ids": [*laid["input_ids"], 0],
        "labels": [*laid["labels"], IGNORE],
        "attention_mask": [1, 1, 1, 2, 2, 0],
    }
    assert list(rows_of(padded)) == [first, second]
    assert list(rows_of({"input_ids": [1, 2, 3], "completion_mask": [0, 1, 1]})) == [first]
    assert about([first, second]) == about([second, first])
    assert about([first, second])["learned"] == 3
    assert about([first])["digest"] != about([([1, 2, 3], [IGNORE, IGNORE, 3])])["digest"]


@pytest.mark.parametrize(
    ("changed", "packed", "complaint"),
    [
        ({}, False, ""),
        ({"prepared": {"digest": "other"}}, False, "digest"),
        ({"prepared": {"tokens": 99}}, False, "tokens"),
        ({"seen": {"learned": 49}}, False, "49 learned"),
        ({"seen": {"rows": 11}}, False, "11 rows"),
        ({"times": [0.0] * 6}, False, "5 steps"),
        ({"times": [0.0] * 6}, True, ""),
        ({"times": [0.0] * 7}, True, "6 steps"),
    ],
)
def test_a_run_that_did_another_job_is_refused(changed, packed, complaint):
    import train_speed

    expected = {"rows": 12, "tokens": 100, "learned": 50, "digest": "d", "first": [[1, 2], [1]]}
    result = {"prepared": dict(expected), "seen": {"rows": 12, "learned": 50}, "times": [0.0] * 5}
    for name, value in changed.items():
        result[name] = {**result[name], **value} if isinstance(value, dict) else value
    job = {"steps": 4, "judged": {"expected": expected}}
    if complaint:
        with pytest.raises(train_speed.DifferentError, match=complaint):
            train_speed.check(result, job, packed)
    else:
        train_speed.check(result, job, packed)


def test_the_table_has_medians_ratios_and_failures():
    import train_speed

    def run(system: str, setting: str, speed: float) -> dict:
        return {
            "system": system, "setting": setting, "tokens_per_second": speed, "tokens_per_second_whole": speed / 2, "steps": 25,
            "step_seconds": 10.0, "mfu": 0.4, "seconds": 20.0, "peak_bytes": 1_500_000_000, "loss": 2.5, "versions": {"torch": "2.13.0"},
        }  # fmt: skip

    runs = [run("ours", "default", speed) for speed in (380.0, 400.0, 900.0)]
    runs += [
        run("ours", "best", 500.0),
        run("trl", "default", 80.0),
        run("trainer", "default", 100.0),
        run("trl", "best", 160.0),
    ]
    runs += [{"system": "llamafactory", "setting": "default", "failed": "UnavailableError: no such version"}]
    table = train_speed.summarise(runs)
    by_name = {(row["system"], row["setting"]): row for row in table}
    assert by_name["ours", "default"]["tokens_per_second"] == 400
    assert by_name["ours", "default"]["slowest"] == 380 and by_name["ours", "default"]["fastest"] == 900
    assert by_name["trl", "default"]["of_ours"] == pytest.approx(0.2)
    assert by_name["ours", "best"]["of_ours"] == pytest.approx(1.25)
    assert train_speed.times_faster(table) == [
        ("default", "default", "trainer", 4.0),
        ("default", "best", "trl", 2.5),
        ("best", "default", "trainer", 5.0),
        ("best", "best", "trl", 3.125),
    ]
    text = train_speed.drawn(table)
    assert "| trainer | default | 100 | 0.25 | 40% | 50 | 25 | 10.0 | 20.0 | 1500 | 2.5000 |" in text
    assert "ours default: 4.00 times the fastest default (trainer)" in text
    assert "llamafactory default failed: UnavailableError: no such version" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_memory_counts_the_marked_processes_and_their_children_alone():
    import train_speed

    held = "import subprocess, sys, time; held = bytearray(150_000_000); time.sleep(1.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}], start_new_session=True)"
    with train_speed.Memory("mine", pause=0.05) as memory, train_speed.Memory("other", pause=0.05) as other:
        subprocess.run([sys.executable, "-c", parent], env={**os.environ, train_speed.MARK: "mine"}, check=True)
    assert 150e6 < memory.peak < 400e6
    assert other.peak == 0


@pytest.mark.parametrize(
    ("requirements", "without", "pip", "python"),
    [
        (["torch==3"], ["torchvision"], ["--index-url", "x"], ""),
        (["torch==2"], [], ["--index-url", "x"], ""),
        (["torch==2"], ["torchvision"], [], ""),
        (["torch==2"], ["torchvision"], ["--index-url", "x"], "3.99.0"),
    ],
)
def test_an_environment_is_reused_only_when_made_from_the_same(
    tmp_path, monkeypatch, requirements, without, pip, python
):
    """One that cannot be made is reported and leaves no stamp behind."""
    from peers import environments

    def run(command, **unused):
        return subprocess.CompletedProcess(command, 0, "", "")

    folder = tmp_path / "peer"
    with monkeypatch.context() as made:
        made.setattr(environments.subprocess, "run", run)
        made.setattr(environments.shutil, "rmtree", lambda path, **unused: path.mkdir(exist_ok=True))
        environments.ready(folder, ["torch==2"], ["torchvision"], ["--index-url", "x"])
    monkeypatch.setattr(environments.sys, "executable", "false")
    assert environments.ready(folder, ["torch==2"], ["torchvision"], ["--index-url", "x"]) == folder / "bin" / "python"
    if python:
        monkeypatch.setattr(environments.platform, "python_version", lambda: python)
    with pytest.raises(environments.UnavailableError, match="ended with 1"):
        environments.ready(folder, requirements, without, pip)
    assert not (folder / environments.STAMP).exists()


def test_wrong_settings_and_rows_that_cannot_be_divided_are_refused_before_anything_starts(tmp_path, monkeypatch):
    import train_speed

    def started(*unused):
        raise AssertionError("something was started")

    monkeypatch.setattr(train_speed, "prepare", started)
    monkeypatch.setattr(train_speed.os, "sched_setaffinity", lambda *unused: None, raising=False)
    common = ["--environments", str(tmp_path), "--systems", "ours,trainer"]
    with pytest.raises(SystemExit, match="none of ours, trainer has a setting bset; there are default, best, whole"):
        train_speed.main([*common, "--settings", "default,bset"])
    with pytest.raises(SystemExit, match=r"trainer default: 20 rows a step .* --batch 16 or --batch 24"):
        train_speed.main([*common, "--rows", "40", "--steps", "2", "--settings", "whole,default"])
    for fine in (["--rows", "48", "--steps", "2"], ["--rows", "6", "--steps", "2"], ["--settings", "whole"]):
        with pytest.raises(AssertionError, match="was started"):
            train_speed.main([*common, "--rows", "40", "--steps", "2", *fine])
    options = train_speed.parsed([*common, "--settings", "whole,default"])
    systems = {"ours": {"settings": {"default": {}}}, "trainer": {"settings": {"default": {}, "whole": {}}}}
    assert train_speed.plan(["ours", "trainer"], options, systems) == [
        ("ours", "default"), ("trainer", "whole"), ("trainer", "default"),
    ]  # fmt: skip


def test_nothing_of_a_run_outlives_its_timeout(tmp_path):
    """Our system trains in a detached worker, which does not end with the process that asked for it."""
    from argparse import Namespace

    import psutil
    import train_speed

    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "sleeper = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
        "child = subprocess.Popen(sleeper, start_new_session=True)\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(300)\n"
    )
    told = {"result": str(tmp_path / "result.json")}
    with pytest.raises(subprocess.TimeoutExpired):
        train_speed.process(Path(sys.executable), str(script), told, Namespace(threads=1, timeout=4.0, device="cpu"))
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("max_length", [1024, 70])
def test_what_our_run_computed_is_counted_by_training_itself(tiny_model, tmp_path, monkeypatch, max_length):
    """A row that training leaves out is rendered all the same, so only what training counted can betray it."""
    import shutil

    import train_speed
    import with_endonym
    from peers import rendering, rows
    from transformers import AutoTokenizer

    shutil.copytree(tiny_model, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text(rendering.TEMPLATE, encoding="utf-8")
    train, valid = rows.tseltal(EXAMPLE, 8, 4, seed=1)
    rows.write(tmp_path / "train.jsonl", train)
    rows.write(tmp_path / "valid.jsonl", valid)
    job = {
        **train_speed.SHARED, "base": str(tmp_path / "base"), "train": str(tmp_path / "train.jsonl"), "work": str(tmp_path),
        "valid": str(tmp_path / "valid.jsonl"), "batch_size": 4, "steps": 2, "packages": [], "setting": {}, "rank": 2,
        "max_length": max_length, "result": str(tmp_path / "result.json"), "device": "cpu",
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["with_endonym.py", str(tmp_path / "job.json")])
    with_endonym.main()
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    expected = rendering.about(rendering.render(tokenizer, messages) for messages in train)
    job["judged"] = {"expected": expected}
    assert result["prepared"] == expected
    if max_length == 1024:
        assert result["seen"] == {name: expected[name] for name in ("tokens", "learned")}
        train_speed.check(result, job)
    else:
        with pytest.raises(train_speed.DifferentError, match="it computed"):
            train_speed.check(result, job)


def test_every_system_is_pinned_and_has_both_settings():
    systems = tomllib.loads((BENCHMARKS / "peers" / "settings.toml").read_text(encoding="utf-8"))
    torch = {r for system in systems.values() for r in system.get("requirements", ()) if r.startswith("torch=")}
    assert len(torch) == 1
    for name, system in systems.items():
        # Ours has no setting that is faster than its default.
        assert ({"default"} if name == "ours" else {"default", "best"}) <= set(system["settings"]), name
        assert system["settings"]["default"] == {}
        assert (BENCHMARKS / "peers" / system["runner"]).is_file()
        assert all("==" in requirement for requirement in system.get("requirements", ()))
    assert json.loads(json.dumps(systems)) == systems


def test_kills_that_met_nothing_do_not_count_as_proof(monkeypatch, tmp_path, capsys):
    """0 of 50 differ says nothing where every run had ended before it was killed."""
    import resume

    trials = [
        {"killed": True, "saving": True, "equal": True},
        {"killed": True, "saving": False, "equal": True},
        {"killed": False, "saving": True, "equal": False},
    ]
    assert resume.summed(trials) == {"kills": 3, "killed_alive": 2, "while_saving": 1, "different": 1}
    row = SimpleNamespace(id=1)
    points = [SimpleNamespace(kind="metric", data={"name": "loss"}, time=float(n)) for n in range(3)]
    monkeypatch.setattr(resume, "copy", lambda project, folder: folder)
    monkeypatch.setattr(resume, "Project", lambda folder: Path(folder).mkdir() or SimpleNamespace(db=None))
    monkeypatch.setattr(resume, "submit", lambda *args, **settings: row)
    monkeypatch.setattr(resume.events, "since", lambda db, job: points)
    monkeypatch.setattr(resume, "weights", lambda project, job: "same")
    for killed, code in ((True, 0), (False, 1)):
        made = {"killed": killed, "step": 2, "saving": False, "hash": "same"}
        monkeypatch.setattr(resume, "kill_once", lambda *args, made=made: dict(made))
        assert resume.main([str(tmp_path), "--kills", "2"]) == code
    assert "0 of 2 differ; 2 were killed while they ran" in capsys.readouterr().out


def test_a_run_that_hardly_learned_is_not_flagged_and_the_benchmark_says_so(tmp_path, monkeypatch, capsys, tseltal):
    import memorisation

    lines = [" ".join(pair[1] for pair in tseltal[4 * n : 4 * n + 4]) for n in range(24)]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    few = ["--seeds", "1", "--tokens", "bytes", "--texts", "4", "--passes", "2", "--width", "16"]
    monkeypatch.setattr(sys, "argv", ["memorisation.py", str(tmp_path / "text.txt"), *few, "--json"])
    # None of the two is memorising: right for the one, wrong for the other.
    assert memorisation.main() == 1
    report = json.loads(capsys.readouterr().out)
    assert {k: report[k] for k in ("by_heart", "flagged", "once", "falsely")} == {
        "by_heart": 1, "flagged": 0, "once": 1, "falsely": 0,
    }  # fmt: skip
    assert {"bits/byte, train", "repeated, held out", "copied, samples"} <= report["trials"][0]["measures"].keys()


def test_models_over_bytes_are_measured_on_documents_that_none_has_read(tmp_path, capsys):
    import bytes as benchmark

    documents = [f"{n} ሰላም ነህ። hello there, {n}. " * 12 for n in range(80)]
    parts = benchmark.divided(documents)
    assert sum(map(len, parts.values())) == 80 == len({text for texts in parts.values() for text in texts}) and all(
        parts.values()
    )
    cut = benchmark.windows(documents)
    assert "".join(cut) == "".join(documents) and 254 <= max(len(text.encode()) for text in cut) <= 256
    assert benchmark.dropped(documents[0], 1) != documents[0]
    assert benchmark.cased("ab ሰላም", 1) == "Ab ሰላም" and benchmark.respelled("Ab ለም", 1) == "Ab ለም"
    respelled = {benchmark.respelled("ኃይሉ", seed) for seed in range(20)}
    assert respelled == {"ኃይሉ", "ሓይሉ", "ሃይሉ"}
    (tmp_path / "texts.txt").write_text("\n".join(documents), encoding="utf-8")
    settings = [f"--set={one}" for one in ("width=32", "layers=3", "trunk_width=32", "ngram_rows=64")]
    few = ["--seconds=1", "--held=3", "--members=2", "--json", "--only", "PPMd-8", "hierarchical, dynamic"]
    assert benchmark.main([str(tmp_path / "texts.txt"), *settings, *few]) == 0
    compressor, first, second, both, last = json.loads(capsys.readouterr().out)["rows"]
    assert 0 < compressor["bits"] < 1 and 0 < first["bits"] < 8.1 and first["steps"] >= 1 <= last["steps"]
    assert first["bytes_per_chunk"] >= 1 and first["generated_bytes_per_second"] > 0
    assert both["name"].endswith("mean of 2") and both["bits"] <= (first["bits"] + second["bits"]) / 2
    assert set(both["noise_bits"]) == set(compressor["noise_bits"]) == {"dropped", "case", "homophones"}


def test_questions_and_tags_are_made_of_what_stands_in_a_text(tmp_path):
    import heads

    beside = ["The Ethiopians came.", "A man of Ethiopia spoke to the press."]
    question, context, name, start = heads.gap(["Foreigners who live in Ethiopia may invest in Ethiopia now."], beside)
    assert question == "Foreigners who live in ____ may invest in ____ now."
    assert (context, name, context[start : start + len(name)]) == (beside[1], "Ethiopia", "Ethiopia")
    assert heads.gap(["Ethiopia said that it would not."], beside) is None, "a capital that begins a sentence"
    text = "ከአቶ ዘለዓለም ጋር ሄደ። ዝናብ ዛሬ ነው።"
    file = tmp_path / "entities.jsonl"
    line = {"text": text, "entities": [[0, 3, "TTL"], [4, 8, "PER"]]}
    file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    heads.of_tags(SimpleNamespace(file=file, number=9, language="amh"), tmp_path)
    lines = (tmp_path / "words.conll").read_text(encoding="utf-8").split("\n\n")
    assert lines[1].splitlines() == ["ከአቶ\tB-TTL", "ዘለዓለም\tB-PER", "ጋር\tO", "ሄደ።\tO"], "and no sentence without a name"
    assert len(lines) == 2
