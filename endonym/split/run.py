"""Set aside a sealed test and a validation set, so that nothing in them was seen in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset, DatasetWriter
from endonym.errors import LeakError
from endonym.types import Drop, Record

if TYPE_CHECKING:
    from endonym.data.leaks import Overlap
    from endonym.jobs.job import Job
    from endonym.split.components import Quota

KIND = "grouper"
CHOICE = "many"
DEFAULT = ["headword", "document", "near_duplicate"]
INPUTS = {"dataset": "aligned"}
PRODUCES = "split"


class Config(BaseModel):
    """Settings of splitting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test_size: int = Field(300, ge=1, description="Records of each kind (pairs, entries, ...) in the test set.")
    valid_size: int = Field(150, ge=1, description="Records of each kind in the validation set.")
    largest_share: float = Field(
        0.1, gt=0, le=0.5, description="Largest share of all records of a kind that a held-out set takes."
    )
    seed: int = Field(0, description="Draws another test set when changed; 0 is the project's seed.")


def run(cfg: Config, job: Job) -> None:
    """Write `train`, `valid` and `test`, and `drift.json` with what differs between them."""
    from endonym.data.leaks import check, overlaps
    from endonym.split.drift import describe

    dataset = Dataset.of(job, "dataset")
    records = list(dataset.records())
    job.tick(0, 4, "steps")
    split_of, about = assign(records, cfg, job.plugins, cfg.seed or job.project.seed)
    job.tick(1, 4, "steps")
    splits: dict[str, list[Record]] = {"train": [], "valid": [], "test": []}
    for record, split in zip(records, split_of):
        splits[split].append(record)
    dropped: dict[str, Overlap] = {}
    while found := overlaps(splits):
        dropped |= {overlap.record.id: overlap for overlap in found}
        for split, kept in splits.items():
            splits[split] = [record for record in kept if record.id not in dropped]
    job.tick(2, 4, "steps")
    drift = describe(splits)
    job.tick(3, 4, "steps")
    with DatasetWriter(job.output, parents=[dataset.hash], groups=about) as out:
        for split in splits:
            out.keep_empty(split)
        for record, split in zip(records, split_of):
            out.read(record)
            if record.id in dropped:
                out.drop(Drop(record, "split.overlap", f"{split}: {dropped[record.id]}"))
            else:
                out.keep(record, split)
    # The seal is not taken on trust from the code above: it is looked at again, on what was written.
    check(job.output)
    drift.write(job.output / "drift.json")
    for line in (*_sentences(about), *drift.sentences):
        job.log(line)
    counts = {
        f"{split}_{kind}": n for split, kept in splits.items() for kind, n in Counter(r.kind for r in kept).items()
    }
    job.summary(**counts, dropped=len(dropped), **about)
    job.tick(4, 4, "steps")


def assign(records: Sequence[Record], cfg: Config, groupers: Any, seed: int) -> tuple[list[str], dict[str, Any]]:
    """Choose a split for every record; returns them with what is to be told about the groups.

    Records that share text are kept together. Where that leaves too few small groups for a test set (formulas that run through a
    whole corpus), only the groupers join, and training records that share text with the test go to the ledger. Raises LeakError when
    no group at all can be held out.
    """
    from endonym.split.components import choose, filled, join

    wanted = quotas(records, cfg)
    for spans in (True, False):
        groups = join(records, groupers, spans)
        splits = choose(records, groups, wanted, seed)
        shares = [filled(records, groups, splits, quota) for quota in wanted]
        if min(shares) >= 0.5:
            break
    if "test" not in splits:
        raise LeakError(
            f"no test set can be sealed: the {len(records)} records hang together in {len(groups)} groups",
            "Add material from another source, or cut long documents into blocks: [split.document] block = 10",
        )
    split_of = ["train"] * len(records)
    for group, split in zip(groups, splits):
        for i in group:
            split_of[i] = split
    largest = max(len(group) for group in groups)
    about = {
        "num_groups": len(groups),
        "largest_group": largest,
        "largest_share": round(largest / max(1, len(records)), 4),
        "joined_by_shared_text": spans,
    }
    return split_of, about


def quotas(records: Sequence[Record], cfg: Config) -> list[Quota]:
    """What the test and validation sets want of each kind of record."""
    from endonym.split.components import quota

    counts = Counter(record.kind for record in records)
    return [
        quota("test", counts, cfg.test_size, cfg.largest_share),
        quota("valid", counts, cfg.valid_size, cfg.largest_share),
    ]


def _sentences(about: dict[str, Any]) -> list[str]:
    said = [
        f"{about['num_groups']} groups; the largest holds {about['largest_group']} records, {about['largest_share']:.1%} of all, "
        "and stays on one side"
    ]
    if not about["joined_by_shared_text"]:
        said.append(
            "groups by shared text were too large to hold any out; training records that share text with the test were dropped"
        )
    return said
