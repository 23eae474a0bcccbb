"""A dataset on disk: JSONL records, the ledger of what was dropped, and a manifest that balances every character."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from endonym.data.scripts import count_blocks
from endonym.errors import DataError, LeakError, Problem
from endonym.store.files import file_hash, write_json
from endonym.types import Drop, Record, from_json, to_json

if TYPE_CHECKING:
    from endonym.jobs.job import Job

OPENS_TEST = ("split", "evaluate", "compare")
"""The verbs that may open the sealed test split; split because it makes and checks it."""


class Dataset:
    """A dataset folder opened by one verb. Reading is streaming; the test split is sealed for all but `OPENS_TEST`."""

    def __init__(self, folder: Path | str, verb: str = ""):
        self.folder = Path(folder)
        self.verb = verb
        path = self.folder / "manifest.json"
        if not path.is_file():
            raise DataError(
                Problem(str(self.folder), 0, "", "this is not a dataset folder", "run the step that makes it again")
            )
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.manifest["files"].items()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            what = "manifest.json of this dataset is damaged"
            raise DataError(Problem(str(self.folder), 0, "", what, "run the step that makes it again")) from error

    @classmethod
    def of(cls, job: Job, name: str) -> Dataset:
        """Open the dataset that is input `name` of a job, as the job's verb."""
        folder = job.inputs[name]
        assert isinstance(folder, Path)
        return cls(folder, job.verb)

    @property
    def hash(self) -> str:
        """SHA-256 over the content of all record files, in name order."""
        return str(self.manifest["hash"])

    @property
    def splits(self) -> list[str]:
        """Names of the record files; `["records"]` before splitting."""
        return list(self.manifest["files"])

    def count(self, split: str = "records") -> int:
        """Number of records in `split`, 0 when there is no such split. Counting does not open the test split."""
        return int(self.manifest["files"].get(split, {}).get("records", 0))

    def records(self, split: str | None = None) -> Iterator[Record]:
        """Stream the records of one split, or all of an unsplit dataset.

        Raises LeakError when `test` is asked for by a verb that may not see it, and when a split dataset is read
        without naming the split.
        """
        if split is None:
            if self.splits != ["records"]:
                raise LeakError(
                    f"{self.folder.name} has splits {', '.join(self.splits)}; reading them together would unseal the test set",
                    "Name the split to read: train, valid or test.",
                )
            split = "records"
        if split == "test" and self.verb not in OPENS_TEST:
            raise LeakError(
                f"'{self.verb or 'this code'}' asked for the sealed test split",
                f"Only {', '.join(OPENS_TEST)} may open it; use train or valid.",
            )
        return self._stream(split)

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Stream the dropped records: `{"reason", "detail", "record"}`."""
        path = self.folder / "ledger.jsonl"
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)

    def _stream(self, split: str) -> Iterator[Record]:
        path = self.folder / f"{split}.jsonl"
        if not path.is_file():
            return
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield from_json(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise DataError(
                        Problem(
                            str(path), number, "", f"not a record: {error}", "run the step that made this dataset again"
                        )
                    ) from error


class Tally:
    """Characters per Unicode block, counted over many texts at once: one by one they would take a third of all cleaning."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._waiting: list[str] = []

    def add(self, text: str) -> None:
        """Count the characters of a text."""
        self._waiting.append(text)
        if len(self._waiting) >= 1000:
            self.blocks()

    def blocks(self) -> Counter[str]:
        """The number of characters in each block so far."""
        self._counts.update(count_blocks("".join(self._waiting)))
        self._waiting = []
        return self._counts


class DatasetWriter:
    """Write a dataset; use as a context manager. Nothing counts as written until it closes without an exception.

    Characters are counted per Unicode block three times: as read, as kept, as dropped. `read` minus `kept` minus
    `dropped` is what the stage added or removed inside records, and the manifest shows it as `changed`.
    """

    def __init__(self, folder: Path, parents: Sequence[str] = (), **about: Any):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.parents = list(parents)
        self.about = about
        self.kept = Tally()
        self.dropped = Tally()
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, list[dict[str, Any]]] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._read = Tally()
        self._num_read = 0
        self._licences: Counter[str] = Counter()
        self._restrictions: Counter[str] = Counter()
        self._files: dict[str, IO[str]] = {}

    def __enter__(self) -> DatasetWriter:
        self._ledger = (self.folder / "ledger.jsonl").open("w", encoding="utf-8")
        return self

    def read(self, record: Record) -> None:
        """Count a record as coming in."""
        self._num_read += 1
        for _, text in record.texts():
            self._read.add(text)

    def keep(self, record: Record, split: str = "records") -> None:
        """Write a record to `split`."""
        if split not in self._files:
            self._files[split] = (self.folder / f"{split}.jsonl").open("w", encoding="utf-8")
            self._counts[split] = Counter()
        self._files[split].write(json.dumps(to_json(record), ensure_ascii=False) + "\n")
        self._counts[split][record.kind] += 1
        for _, text in record.texts():
            self.kept.add(text)
        licence = record.meta.get("licence")
        if licence:
            self._licences[str(licence)] += 1
        self._restrictions.update(record.meta.get("restrictions", ()))

    def drop(self, drop: Drop) -> None:
        """Write a dropped record and its reason to the ledger."""
        data = to_json(drop.record)
        self._ledger.write(
            json.dumps({"reason": drop.reason, "detail": drop.detail, "record": data}, ensure_ascii=False) + "\n"
        )
        self._reasons[drop.reason] += 1
        examples = self._examples.setdefault(drop.reason, [])
        if len(examples) < 5:
            examples.append({"detail": drop.detail, "texts": [text for _, text in drop.record.texts()]})
        for _, text in drop.record.texts():
            self.dropped.add(text)

    def write(self, items: Iterable[Record], split: str = "records") -> None:
        """Keep every record of `items`."""
        for record in items:
            self.keep(record, split)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (*self._files.values(), self._ledger):
            file.close()
        if kind is None:
            if not self._files:
                self.keep_empty()
            self._write_manifest()

    def keep_empty(self, split: str = "records") -> None:
        """Make sure `split` exists even when no record goes there."""
        (self.folder / f"{split}.jsonl").touch()
        self._counts.setdefault(split, Counter())

    def _write_manifest(self) -> None:
        files: dict[str, Any] = {}
        digest = hashlib.sha256()
        for split in sorted(self._counts):
            content = file_hash(self.folder / f"{split}.jsonl")
            digest.update(f"{split}:{content}\n".encode())
            files[split] = {
                "records": sum(self._counts[split].values()),
                "kinds": dict(self._counts[split]),
                "sha256": content,
            }
        read, kept, dropped = self._read.blocks(), self.kept.blocks(), self.dropped.blocks()
        characters = {
            block: {"in": read[block], "kept": kept[block], "dropped": dropped[block],
                    "changed": kept[block] + dropped[block] - read[block]}
            for block in sorted({*read, *kept, *dropped})
        }  # fmt: skip
        manifest = {
            "hash": digest.hexdigest(),
            "parents": self.parents,
            "files": files,
            "read": self._num_read,
            "dropped": dict(self._reasons.most_common()),
            "dropped_examples": self._examples,
            "licences": dict(self._licences),
            "restrictions": dict(self._restrictions),
            "characters": characters,
            **self.about,
        }
        write_json(self.folder / "manifest.json", manifest)
