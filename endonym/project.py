"""One project folder: its settings, sources, runs and database, and a method for every verb."""

from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

from endonym.config import Layer, raise_problems, read_toml, to_toml
from endonym.errors import ConfigError, UsageError, did_you_mean
from endonym.store import db as database
from endonym.store import jobs as rows
from endonym.store.files import write_text

SETTINGS_FILE = "endonym.toml"
STATE_FOLDER = ".endonym"
Inputs = Mapping[str, int | list[int]]
"""Job numbers by name of input, as `--input NAME=JOB` gives them: what those jobs made is taken, not the newest of its kind."""
_PROJECT_KEYS = {
    "name": "", "language": "", "pivot": "eng", "base": "smollm2-135m", "seed": 20, "description": "", "licence": "",
}  # fmt: skip


class Project:
    """An open project folder. Settings are read once; open it again after editing `endonym.toml`."""

    def __init__(self, path: Path | str):
        self.path = Path(path).resolve()
        self.file = self.path / SETTINGS_FILE
        if not self.file.is_file():
            raise UsageError(
                f"{self.path} is not an Endonym project: it has no {SETTINGS_FILE}", "Make one with: endonym init NAME"
            )
        self.settings = read_toml(self.file)
        self._check()

    @classmethod
    def create(
        cls, path: Path | str, *, language: str, pivot: str = "eng", base: str = "smollm2-135m", name: str = ""
    ) -> Project:
        """Make a new project folder with `endonym.toml` and `raw/`. Raises UsageError when there is one already."""
        folder = Path(path)
        file = folder / SETTINGS_FILE
        if file.exists():
            raise UsageError(f"{folder} is already an Endonym project", f"Edit {file}, or choose another folder.")
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        about = {"name": name or folder.resolve().name, "language": language, "pivot": pivot, "base": base, "seed": 20}
        file.write_text(to_toml({"project": about}), encoding="utf-8")
        return cls(folder)

    @classmethod
    def find(cls, start: Path | str = ".") -> Project:
        """Open the project `start` lies in: the nearest folder upward with an `endonym.toml`."""
        here = Path(start).resolve()
        for folder in (here, *here.parents):
            if (folder / SETTINGS_FILE).is_file():
                return cls(folder)
        raise UsageError(
            f"no {SETTINGS_FILE} in {here} or above it",
            "Change into a project, pass --project DIR, or: endonym init NAME",
        )

    @property
    def about(self) -> dict[str, Any]:
        """The `[project]` table with its defaults filled in."""
        return {**_PROJECT_KEYS, **self.settings.get("project", {})}

    @property
    def name(self) -> str:
        return str(self.about["name"] or self.path.name)

    @property
    def language(self) -> str:
        """ISO 639-3 code of the language being taught."""
        return str(self.about["language"])

    @property
    def pivot(self) -> str:
        """ISO 639-3 code of the language it is taught through."""
        return str(self.about["pivot"])

    @property
    def base(self) -> str:
        """Catalog alias, hub id or folder of the base model."""
        return str(self.about["base"])

    def with_base(self, base: str) -> Project:
        """The same project on another base model, as a job works with it that asked for one; nothing is written. Empty changes nothing."""
        if base in ("", self.base):
            return self
        other = copy(self)
        other.settings = {**self.settings, "project": {**self.settings["project"], "base": base}}
        return other

    def choose_base(self, base: str) -> None:
        """Write `base` under [project] of `endonym.toml`, and leave every other line. Raises ConfigError where that is not safe."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        heads = [i for i, line in enumerate(lines) if line.lstrip().startswith("[")]
        start = next((i for i in heads if re.match(r"\s*\[\s*project\s*\]\s*(#.*)?$", lines[i])), len(lines))
        end = next((i for i in heads if i > start), len(lines))
        said = [i for i in range(start + 1, end) if re.match(r"\s*base\s*=", lines[i])]
        at = said[0] if said else start + 1
        text = "\n".join([*lines[:at], to_toml({"base": base}).strip(), *lines[at + len(said) :]])
        if not self.rewrite(text, {**self.settings, "project": {**self.settings["project"], "base": base}}):
            raise ConfigError(
                f"the base cannot be changed in {self.file} safely",
                f"Write it by hand, under [project]: {to_toml({'base': base}).strip()}",
            )

    def rewrite(self, text: str, settings: dict[str, Any]) -> bool:
        """Write `text` as `endonym.toml` if these settings are what it says; returns whether it was written."""
        text = text.rstrip("\n") + "\n"
        try:
            same = tomllib.loads(text) == settings
        except tomllib.TOMLDecodeError:
            return False
        if same:
            write_text(self.file, text)
            self.settings = settings
        return same

    @property
    def seed(self) -> int:
        return int(self.about["seed"])

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The `[[sources]]` tables: `files`, `reader`, `licence`, `attribution`, `consent`, `restrictions`, `settings`."""
        return list(self.settings.get("sources", []))

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @cached_property
    def db(self) -> sqlite3.Connection:
        """The project's database, opened on first use and rebuilt from the run folders when it was deleted."""
        fresh = not (self.path / STATE_FOLDER / "endonym.db").exists()
        connection = self.connect()
        if fresh and self.runs.is_dir():
            from endonym.store.rebuild import rebuild

            rebuild(connection, self.runs)
        return connection

    def connect(self) -> sqlite3.Connection:
        """Another connection to the project's database, for a thread."""
        return database.connect(self.path / STATE_FOLDER / "endonym.db")

    def layer(self, verb: str) -> Layer:
        """The settings of one verb in `endonym.toml`."""
        return Layer(SETTINGS_FILE, self.settings.get(verb, {}), self.file)

    def output(self, job: int) -> Path:
        """Folder of the artifact job `job` made."""
        return self.runs / rows.get(self.db, job).folder / "output"

    def job(self, word: str) -> int:
        """Job number of a run given as number or as name of its folder; raises UsageError for what is none."""
        if word.isdecimal():
            return rows.get(self.db, int(word)).id
        for row in rows.listing(self.db):
            if row.folder == word.rstrip("/").rpartition("/")[2]:
                return row.id
        raise UsageError(f"there is no run '{word}'", "Name a job number or a folder of runs/. See: endonym jobs ls")

    def folders(self, inputs: Inputs) -> dict[str, Path | list[Path]]:
        """Folders of a job's input artifacts."""
        return {
            name: [self.output(i) for i in ids] if isinstance(ids, list) else self.output(ids)
            for name, ids in inputs.items()
            if name != "files"
        }

    def newest(self, kind: str) -> Path | None:
        """Folder of the newest artifact of `kind`, None when there is none."""
        job = rows.newest_artifact(self.db, kind)
        return self.output(job) if job is not None else None

    def ancestry(self, folder: Path) -> dict[str, Path]:
        """Artifact folders that `folder` was made from, itself included, by kind; the nearest one where a kind recurs."""
        found: dict[str, Path] = {}
        waiting = [folder.parent]
        while waiting:
            run = waiting.pop(0)
            record = run / "artifact.json"
            if not record.is_file():
                continue
            data = json.loads(record.read_text(encoding="utf-8"))
            found.setdefault(data["kind"], run / "output")
            for ids in data["inputs"].values():
                waiting += [self.runs / rows.get(self.db, i).folder for i in (ids if isinstance(ids, list) else [ids])]
        return found

    def add_source(self, source: dict[str, Any]) -> None:
        """Append one `[[sources]]` table to `endonym.toml`, keeping everything the user wrote there."""
        text = self.file.read_text(encoding="utf-8").rstrip("\n")
        self.file.write_text(f"{text}\n\n{to_toml({'sources': [source]}).strip()}\n", encoding="utf-8")
        self.settings = read_toml(self.file)

    def ingest(self, **settings: Any) -> rows.JobRow:
        """Read the project's sources into records."""
        return self._submit("ingest", "", settings)

    def clean(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Keep each record, or drop it with a reason."""
        return self._submit("clean", "", settings, inputs)

    def align(self, aligner: str = "", *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Turn parallel documents into sentence pairs."""
        return self._submit("align", aligner, settings, inputs)

    def split(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Seal the test split."""
        return self._submit("split", "", settings, inputs)

    def augment(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Make more training pairs of those there are, and measure which kinds of them help."""
        return self._submit("augment", "", settings, inputs)

    def compose(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Turn records into chat examples."""
        return self._submit("compose", "", settings, inputs)

    def score(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Grade the training rows from easy to hard."""
        return self._submit("score", "", settings, inputs)

    def tokenizer(self, action: str = "", *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Measure what the tokenizer makes of the language."""
        return self._submit("tokenizer", action, settings, inputs)

    def train(self, recipe: str = "", *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Train a model with a recipe."""
        return self._submit("train", recipe, settings, inputs)

    def evaluate(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Score base, baselines and tuned model on the sealed test split."""
        return self._submit("evaluate", "", settings, inputs)

    def diagnose(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Tell whether a trained model learned, learned by heart, or had too little to learn from."""
        return self._submit("diagnose", "", settings, inputs)

    def grade(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Ask a model a set of questions and grade its answers."""
        return self._submit("grade", "", settings, inputs)

    def compare(self, *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Test the differences and write the report."""
        return self._submit("compare", "", settings, inputs)

    def export(self, format: str = "", *, inputs: Inputs | None = None, **settings: Any) -> rows.JobRow:
        """Write files to ship, certified against the trained model."""
        return self._submit("export", format, settings, inputs)

    def teach(self, preset: str = "", **settings: Any) -> rows.JobRow:
        """Teach the base in nine steps, measured before and after."""
        return self._submit("teach", "", settings | ({"preset": preset} if preset else {}))

    def run(self, plan: Path | str | None = None) -> list[rows.JobRow]:
        """Run the whole plan; steps whose result exists are skipped."""
        from endonym.jobs.plan import run_plan

        return run_plan(self, Path(plan) if plan else None)

    def _submit(self, verb: str, plugin: str, settings: dict[str, Any], inputs: Inputs | None = None) -> rows.JobRow:
        from endonym.jobs.submit import submit

        return submit(self, verb, plugin, settings, inputs=inputs, wait=True)

    def _check(self) -> None:
        from endonym.jobs.stage import verbs

        problems = []
        known = {"project", "sources", "steps", "serve", *verbs()}
        for key in self.settings:
            if key not in known:
                problems.append(f"{SETTINGS_FILE}: unknown table [{key}]. {did_you_mean(key, known)}")
        table = self.settings.get("project", {})
        for key in table:
            if key not in _PROJECT_KEYS:
                problems.append(
                    f"{SETTINGS_FILE} [project]: unknown setting '{key}'. {did_you_mean(key, _PROJECT_KEYS)}"
                )
        if not isinstance(table.get("seed", 0), int):
            problems.append(f"{SETTINGS_FILE} [project]: 'seed' must be a whole number")
        if not table.get("language"):
            problems.append(f"{SETTINGS_FILE} [project]: 'language' is missing; give an ISO 639-3 code such as \"tzh\"")
        problems += [
            f'{SETTINGS_FILE} [project]: \'{key}\' is "{table[key]}", which is no ISO 639-3 code; give three small letters such as "tzh"'
            for key in ("language", "pivot")
            if table.get(key) and not re.fullmatch(r"[a-z]{3}", str(table[key]))
        ]
        for number, source in enumerate(self.settings.get("sources", []), 1):
            if not isinstance(source, dict) or not source.get("files"):
                problems.append(f"{SETTINGS_FILE} [[sources]] number {number}: 'files' is missing")
        try:
            raise_problems(problems)
        except ConfigError as error:
            error.hint = f"Correct {self.file} and run the command again."
            raise
