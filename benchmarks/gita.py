"""Fifteen modules of a field against one adapter of as many parameters: Sanskrit texts, their translations, questions and answers.

    python benchmarks/gita.py FOLDER --work DIR [--texts 160] [--steps 150] [--part modules|lora|measure] [--json]

FOLDER holds Sanskrit texts of mixed rights, which are read where they are and never copied into the project's own files: `gita/verses.jsonl`,
`qa/gita_qa.jsonl`, `parallel/itihasa.tsv`. The rest is from `examples/gita`. Both models learn from the same rows in the same order
on SmolLM2-135M: `modules` with 15 modules of rank 8 on the upper 24 layers, `lora` with one adapter of rank 120 on the same layers. Measured on the
test split: bits a byte by kind of text, and bits a byte of English that neither learned from: of a kind the router was shown (`general`),
and, with `--unseen FILE`, of one it was not. Beside them `--questions` English questions about verses that no question to learn from is about: bits a
byte of the true answers, and chrF of those given.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sacrebleu.metrics.chrf import CHRF

from endonym.config import to_toml
from endonym.data.dataset import Dataset
from endonym.evaluate.items import sealed
from endonym.models.adopt import arithmetic
from endonym.models.generate import Sampling, answer_nll, generate_batch
from endonym.models.load import Loaded, load_artifact, load_model
from endonym.project import Project
from endonym.retrieve.context import Context
from endonym.train.domains import declared, label, plain
from endonym.train.rows import evenly
from endonym.types import Chat, Message

EXAMPLE = Path(__file__).parent.parent / "examples" / "gita"
RANK = 8
RIGHTS = {"licence": "see the folder", "attribution": "measured by path, not distributed"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the project, train what is asked for, and print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="The folder of Sanskrit texts.")
    parser.add_argument("--work", type=Path, required=True, help="Folder for the project, kept between calls.")
    parser.add_argument("--steps", type=int, default=150, help="Steps of 16 rows.")
    parser.add_argument("--texts", type=int, default=160, help="Texts of each kind, at most.")
    parser.add_argument("--part", choices=["modules", "lora", "measure"], help="Do this alone.")
    parser.add_argument(
        "--unseen", type=Path, help="Text file of general English the router was not shown, a text a line."
    )
    parser.add_argument("--questions", type=int, default=100, help="Questions about other verses.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    project = made(options.folder, options.work, options.texts)
    runs = {}
    for recipe, settings in recipes(project, options.steps).items():
        if options.part in (None, "measure", recipe):
            runs[recipe] = project.output(project.train(recipe, **settings).id)
    if options.part in (None, "measure"):
        questions = other_questions(options.folder, options.questions)
        found = measured(project, runs, options.unseen, questions)
        print(json.dumps(found, indent=1) if options.json else "\n".join(lines(found)))
    return 0


def kinds(folder: Path) -> dict[str, Iterable[Any]]:
    """Texts of each kind by its name; question and answer where it is one of conversations."""
    verses, asked = json_lines(folder / "gita" / "verses.jsonl"), json_lines(folder / "qa" / "gita_qa.jsonl")
    pairs = [
        line.split("\t") for line in (folder / "parallel" / "itihasa.tsv").read_text(encoding="utf-8").splitlines()
    ]
    found: dict[str, Iterable[Any]] = {
        "gita-verse": (v["san"] for v in verses), "gita-roman": (v["translit"] for v in verses),
        "gita-purohit": (v["eng_purohit"] for v in verses), "gita-sivananda": (v["eng_sivananda"] for v in verses),
        "epic-san": (p[1] for p in pairs[1:]), "epic-eng": (p[0] for p in pairs[1:]),
    }  # fmt: skip
    for kind in ("eng", "hin"):
        found[f"qa-{kind}"] = [a for a in asked if a["lang"] == kind[:2] and not kept_back(a)]
    for name in ("rigveda", "yajurveda", "gatitos", "chapters.eng", "chapters.hin", "news.san", "news.hin"):
        text = (EXAMPLE / "raw" / f"{name}.txt").read_text(encoding="utf-8")
        found[name.replace(".", "-")] = text.splitlines()
    return found


def json_lines(file: Path) -> list[dict[str, Any]]:
    """The objects of a file, one a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def kept_back(asked: dict[str, Any]) -> bool:
    """Whether a question is about a verse of those that no question to learn from is about: every tenth of a chapter."""
    return int(asked["verse"]) % 10 == 0


def other_questions(folder: Path, number: int) -> list[Chat]:
    """English questions that were kept back, at equal distances."""
    asked = [a for a in json_lines(folder / "qa" / "gita_qa.jsonl") if a["lang"] == "en" and kept_back(a)]
    return [
        Chat(a["qid"], (Message("user", a["question"]), Message("assistant", a["answer"])), "")
        for a in evenly(asked, number)
    ]


def made(folder: Path, work: Path, number: int) -> Project:
    """The project in `work` with its chats, at most `number` texts a kind; a module for each kind of text, told by its file."""
    if not (work / "endonym.toml").is_file():
        raw = work / "raw"
        raw.mkdir(parents=True)
        sources, modules = [], []
        for name, texts in kinds(folder).items():
            spread = list(texts)
            some = evenly(spread, number)
            chats = name.startswith("qa-")
            file = raw / (f"{name}.jsonl" if chats else f"{name}.txt")
            rows = (
                ({k: a[k] for k in ("question", "answer")} for a in some)
                if chats
                else (" ".join(t.split()) for t in some)
            )
            file.write_text(
                "".join((json.dumps(r, ensure_ascii=False) if chats else str(r)) + "\n" for r in rows), encoding="utf-8"
            )
            language = {"hin": "hin", "eng": "eng"}.get(name.rpartition("-")[2], "san")
            settings = {"language": language} if chats else {"language": language, "paragraphs": "line"}
            sources.append(
                {"files": [f"raw/{file.name}"], "reader": "chat" if chats else "text", **RIGHTS, "settings": settings}
            )
            modules.append({"name": name, "sources": [f"raw/{file.name}"], "rank": RANK})
        general = [
            line
            for path in sorted((EXAMPLE / "raw").glob("topic-*"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        (work / "general.txt").write_text("\n".join(general[::2]), encoding="utf-8")
        (work / "general-held.txt").write_text("\n".join(general[1::2]), encoding="utf-8")
        (work / "modules.toml").write_text(to_toml({"module": modules}), encoding="utf-8")
        about = {"name": "Gita", "language": "san", "pivot": "eng", "base": "smollm2-135m", "seed": 20}
        stages = {
            "clean": {"plugins": ["unicode", "duplicate", "length"]},
            "split": {"test_size": 300, "valid_size": 150, "document": {"block": 4}},
            "compose": {"plugins": ["complete", "chat"], "complete": {"every_language": True, "weight": 1.0}},
        }
        (work / "endonym.toml").write_text(to_toml({"project": about, "sources": sources, **stages}), encoding="utf-8")
    project = Project(work)
    for verb in ("ingest", "clean", "align", "split", "compose"):
        getattr(project, verb)()
    return project


def recipes(project: Project, steps: int) -> dict[str, dict[str, Any]]:
    """Settings of both runs: the same rows, tokens and rate, and as many parameters."""
    number = len(declared(["modules.toml"], project.path))
    alike = {
        "steps": steps,
        "batch_size": 16,
        "max_length": 256,
        "evaluate_every": max(1, steps // 3),
        "save_every": 50,
        "valid_rows": 30,
        "samples": 0,
    }
    return {
        "modules": {**alike, "general": ["general.txt"], "router_rows": 100, "measured": 90},
        "lora": {**alike, "rank": RANK * number, "alpha": 2.0 * RANK * number, "first_layer": 6},
    }


def measured(project: Project, runs: dict[str, Path], unseen: Path | None, questions: Sequence[Chat]) -> dict[str, Any]:
    """Bits a byte and answers of the base and both runs on the test split, and on English that none learned from."""
    chats_folder, split = project.newest("chats"), project.newest("split")
    assert chats_folder is not None and split is not None
    items = sealed(Dataset(split, "evaluate"), Context.load(chats_folder, project.path), [], 0, 20)
    test = [item.chat for item in items]
    module = label(test, declared(["modules.toml"], project.path)).module
    texts: dict[str, Sequence[Chat]] = {
        name: [c for c in test if module.get(c.id) == name] for name in sorted(set(module.values()))
    }
    texts["all of the field"] = [chat for own in texts.values() for chat in own]
    texts["questions about other verses"] = questions
    general = (project.path / "general-held.txt").read_text(encoding="utf-8").splitlines()
    texts["general, a kind shown"] = [plain(line) for line in general[::6]]
    if unseen:
        texts["general, a kind not shown"] = [
            plain(t) for t in unseen.read_text(encoding="utf-8").splitlines()[:100] if t
        ]
    found: dict[str, Any] = {"texts": {name: len(own) for name, own in texts.items()}}
    for name, output in {"base": None, **runs}.items():
        loaded = load_artifact(output, "float32") if output else load_model(project.base, dtype="float32")
        found[name] = {"bits_per_byte": {kind: bits(loaded, own) for kind, own in texts.items()},
                       "answers_chrf": answered(loaded, questions)}  # fmt: skip
        if output:
            about = json.loads((output / "model.json").read_text(encoding="utf-8"))
            found[name] |= {
                key: about[key] for key in ("trained_parameters", "tokens", "steps", "best_step", "seconds")
            }
    return found


def bits(loaded: Loaded, chats: Sequence[Chat]) -> float:
    """Bits a byte of their answers, all together."""
    with arithmetic(loaded.device):
        nats = answer_nll(loaded, chats)
    return sum(n for n, _ in nats) / math.log(2) / max(1, sum(size for _, size in nats))


def answered(loaded: Loaded, chats: Sequence[Chat]) -> float:
    """chrF of greedy answers of at most 64 tokens."""
    prompts = [loaded.renderer.prompt_ids(c.prompt) for c in chats]
    with arithmetic(loaded.device):
        said = [texts[0] for texts in generate_batch(loaded, prompts, Sampling(max_new_tokens=64))]
    return float(CHRF().corpus_score(said, [[c.answer for c in chats]]).score)


def lines(found: dict[str, Any]) -> list[str]:
    """What was found as the rows of a table."""
    systems = [name for name in found if name != "texts"]
    rows = [f"| bits a byte | texts | {' | '.join(systems)} |", "| --- | ---: |" + " ---: |" * len(systems)]
    for kind, number in found["texts"].items():
        rows.append(
            f"| {kind} | {number} | " + " | ".join(f"{found[s]['bits_per_byte'][kind]:.3f}" for s in systems) + " |"
        )
    for what in ("answers_chrf", "trained_parameters", "tokens", "best_step", "seconds"):
        rows.append(f"| {what} | | " + " | ".join(f"{found[s].get(what, 0):,.1f}" for s in systems) + " |")
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
