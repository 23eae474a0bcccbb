"""Heads on real texts: on the plain base and on a foundation of one's own, which stays as it is or learns too, for as long.

    python benchmarks/heads.py classify sib200.tsv --columns san category --language san --work DIR [--foundation RUN]
    python benchmarks/heads.py tag entities.jsonl.gz --language amh --work DIR
    python benchmarks/heads.py answer news.tsv --columns doc_id eng --language eng --work DIR
    python benchmarks/heads.py embed questions.jsonl --columns question answer --language eng --work DIR

`classify` takes a table with a column of texts and one of labels, `embed` one with two columns that belong together (`--document` names the column that
says where a row is from). `tag` takes JSON lines with `text` and `entities`, a list of [start, end, label] in characters, and reads sentences of at most
`WORDS` words that name something. `answer` takes paragraphs of articles and makes questions of them as Hermann and others (2015) did: a
sentence with a name left out, to be found in the next or the last paragraph. RUN is the folder of a run that wrote whole weights,
such as one of `train modules`. Each is trained in a process of its own; seconds are those from its start to its end. With `--steps-all` the weights below learn
too, for so many steps each. The test is sealed, and nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from endonym.config import to_toml
from endonym.project import Project
from endonym.train.rows import evenly

WORDS = 25
CONTEXT = 1000
"""Characters of a text that an answer is looked for in, at most."""
NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]+(?: (?:of |the )?[A-Z][a-z]+)*")
"""A name of an English text: words with capitals that do not begin a sentence."""
GAP = "____"
RIGHTS = {"licence": "see the file", "attribution": "measured by path, not distributed"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the project, train each head, and print what it scores on the sealed test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("head", choices=list(MATERIAL))
    parser.add_argument("file", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="Folder for the project, kept between calls.")
    parser.add_argument("--columns", nargs=2, default=["", ""], metavar=("A", "B"))
    parser.add_argument("--document", default="", help="Column that names the document a row is from.")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="Only rows that have this."
    )
    parser.add_argument("--language", required=True)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--foundation", type=Path, help="Folder of a run whose weights a head is put on too.")
    parser.add_argument("--on", choices=["both", "base", "foundation"], default="both")
    parser.add_argument("--number", type=int, default=800, help="Rows in all, at equal distances.")
    parser.add_argument("--test", type=int, default=150)
    parser.add_argument("--steps", type=int, default=0, help="Steps where only the head learns; 0 is the default.")
    parser.add_argument(
        "--steps-all", type=int, nargs="*", default=[], help="Steps of runs where what is below learns too."
    )
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    project = made(options)
    starts = {"base": ""} if options.on != "foundation" else {}
    starts |= {"foundation": str(options.foundation.resolve())} if options.foundation and options.on != "base" else {}
    rows: list[dict[str, Any]] = []
    for start, base in starts.items():
        for steps in [None, *options.steps_all]:
            found = trained(project, options, base, steps)
            name = f"{start}, " + ("head alone" if steps is None else f"all weights, {steps} steps")
            rows += [{"system": name, **found}] if rows else [*baselines(found), {"system": name, **found}]
            if not options.json:
                print(line(rows[-1]), flush=True)
    print(json.dumps(rows, indent=1) if options.json else table(rows))
    return 0


def table_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a TSV without quotes, or of JSON lines; `.gz` too."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
        if ".tsv" in file.suffixes:
            yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        else:
            yield from map(json.loads, lines)


def wanted(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows that `--where` leaves, at equal distances."""
    asked = [one.partition("=")[::2] for one in options.where]
    found = [row for row in table_rows(options.file) if all(str(row[key]) == value for key, value in asked)]
    return evenly(found, options.number)


def of_classes(options: argparse.Namespace, raw: Path) -> dict[str, Any]:
    """A table of texts and labels."""
    text, label = options.columns
    lines = ["text\tlabel", *(f"{' '.join(row[text].split())}\t{row[label]}" for row in wanted(options))]
    (raw / "texts.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"files": ["raw/texts.tsv"], "reader": "labelled", "settings": {"language": options.language}}


def of_tags(options: argparse.Namespace, raw: Path) -> dict[str, Any]:
    """Sentences that name something, a word a line, each text a document."""
    documents = []
    for row in table_rows(options.file):
        text, tags = row["text"], {}
        for start, end, label in row["entities"]:
            for n, word in enumerate(re.finditer(r"\S+", text[start:end])):
                tags[start + word.start()] = ("I-" if n else "B-") + label
        sentences: list[list[str]] = [[]]
        for word in re.finditer(r"\S+", text):
            tag = next((tags[at] for at in range(*word.span()) if at in tags), "O")
            sentences[-1].append(f"{word[0]}\t{tag}")
            if word[0].endswith(("።", "፡፡", "?", "!")):
                sentences.append([])
        good = [s for s in sentences if 3 <= len(s) <= WORDS and any(not one.endswith("\tO") for one in s)]
        documents.append("\n\n".join(["-DOCSTART-\tO", *("\n".join(s) for s in good)]))
    text = "\n\n".join(documents)
    picked = text.count("\n\n") - 2 * len(documents)
    share = evenly(documents, max(1, len(documents) * options.number // max(1, picked)))
    (raw / "words.conll").write_text("\n\n".join(share) + "\n", encoding="utf-8")
    return {"files": ["raw/words.conll"], "reader": "conll", "settings": {"language": options.language}}


def of_answers(options: argparse.Namespace, raw: Path) -> dict[str, Any]:
    """Questions with a gap for a name that stands in the paragraph before or after, as SQuAD writes them."""
    document, text = options.columns
    articles: dict[str, list[str]] = {}
    for row in table_rows(options.file):
        articles.setdefault(row[document], []).append(" ".join(row[text].split()))
    asked = []
    for title, paragraphs in articles.items():
        for n, paragraph in enumerate(paragraphs):
            beside = [p[:CONTEXT] for p in (*paragraphs[n + 1 : n + 2], *paragraphs[max(0, n - 1) : n])]
            found = gap(re.split(r"(?<=[.!?]) ", paragraph), beside)
            if found:
                asked.append((title, *found))
    data = [
        {"title": title, "paragraphs": [{"context": context, "qas": [
            {"id": str(n), "question": question, "answers": [{"text": name, "answer_start": start}]}]}]}
        for n, (title, question, context, name, start) in enumerate(evenly(asked, options.number))
    ]  # fmt: skip
    (raw / "questions.json").write_text(json.dumps({"data": data}, ensure_ascii=False), encoding="utf-8")
    return {"files": ["raw/questions.json"], "reader": "squad", "settings": {"language": options.language}}


def gap(sentences: Sequence[str], beside: Sequence[str]) -> tuple[str, str, str, int] | None:
    """The first sentence with a name that another text has too: the sentence with a gap, the text, the name and where it stands there."""
    for sentence in sentences:
        for name in NAME.findall(sentence):
            word = re.compile(rf"\b{name}\b")
            for context in beside:
                found = word.search(context)
                if found and len(name) > 3 and 30 < len(sentence) < 300:
                    return word.sub(GAP, sentence), context, name, found.start()
    return None


def of_pairs(options: argparse.Namespace, raw: Path) -> dict[str, Any]:
    """A table of two texts that belong together."""
    first, second = options.columns
    lines = ["first\tsecond\tdocument"]
    for row in wanted(options):
        where = "-".join(str(row[name]) for name in options.document.split(",") if name)
        lines.append("\t".join(" ".join(str(cell).split()) for cell in (row[first], row[second], where)))
    (raw / "pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"text": "second", "translation": "first", "language": options.language, "pivot": "eng"}
    known = {**settings, "document": "document"} if options.document else settings
    return {"files": ["raw/pairs.tsv"], "reader": "pairs", "settings": known}


MATERIAL = {"classify": of_classes, "tag": of_tags, "answer": of_answers, "embed": of_pairs}


def made(options: argparse.Namespace) -> Project:
    """The project in `--work` with its chats."""
    work: Path = options.work
    if not (work / "endonym.toml").is_file():
        (work / "raw").mkdir(parents=True)
        source = MATERIAL[options.head](options, work / "raw")
        about = {"name": options.head, "language": options.language, "pivot": "eng" if options.language != "eng" else "spa",
                 "base": options.base, "seed": 20}  # fmt: skip
        split = {"test_size": options.test, "valid_size": options.test // 2, "largest_share": 0.3}
        settings = {
            "clean": {"plugins": ["unicode", "duplicate"]},
            "split": {**split, **({"document": {"block": 1}} if options.head == "classify" else {})},
            "compose": {"plugins": [options.head]},
        }
        text = to_toml({"project": about, "sources": [{**source, **RIGHTS}], **settings})
        (work / "endonym.toml").write_text(text, encoding="utf-8")
    project = Project(work)
    for verb in ("ingest", "clean", "align", "split", "compose"):
        getattr(project, verb)()
    return project


def trained(project: Project, options: argparse.Namespace, base: str, steps: int | None) -> dict[str, Any]:
    """Train a head and let it answer the sealed test; only the head, or all weights for so many steps."""
    settings: dict[str, Any] = {"head": options.head, "plain": False, "max_length": options.max_length}
    settings |= {"base": base} if base else {}
    if steps is None:
        settings |= {"steps": options.steps} if options.steps else {}
    else:
        settings |= {"frozen": False, "steps": steps, "batch_size": 16, "evaluate_every": max(1, steps // 4)}
    begun = time.perf_counter()
    job = project.train("heads", **settings)
    seconds = time.perf_counter() - begun
    about = json.loads((project.output(job.id) / "model.json").read_text(encoding="utf-8"))
    scores = project.evaluate(inputs={"model": job.id})
    found = json.loads((project.output(scores.id) / "scores.json").read_text(encoding="utf-8"))
    return {
        "seconds": seconds, "steps": about["steps"], "best_step": about["best_step"], "items": found["items"], "trained_parameters": about["trained_parameters"],
        "scores": [{k: row[k] for k in ("system", "name", "direction", "value", "low", "high")} for row in found["rows"]],
    }  # fmt: skip


def baselines(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of what was scored beside the model."""
    names = dict.fromkeys(row["system"] for row in found["scores"] if row["system"] not in ("tuned", "base"))
    return [{"system": name, "scores": found["scores"]} for name in names]


def cells(row: dict[str, Any]) -> dict[str, str]:
    """The scores of a row by metric and direction."""
    own = [s for s in row["scores"] if s["system"] == ("tuned" if "seconds" in row else row["system"])]
    return {f"{s['name']} {s['direction']}": f"{s['value']:.1f} [{s['low']:.1f}, {s['high']:.1f}]" for s in own}


def line(row: dict[str, Any]) -> str:
    """One system as a line."""
    return f"{row['system']}: {', '.join(f'{name} {cell}' for name, cell in cells(row).items())}; {row.get('seconds', 0):.0f} s"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The systems as a table."""
    names = list(dict.fromkeys(name for row in rows for name in cells(row)))
    head = [f"| system | {' | '.join(names)} | seconds |", "|---|" + "---:|" * (len(names) + 1)]
    return "\n".join(
        head
        + [
            f"| {row['system']} | {' | '.join(cells(row).get(name, '-') for name in names)} | {row.get('seconds', 0):.0f} |"
            for row in rows
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
