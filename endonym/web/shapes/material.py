"""What the API tells of projects, their files and their datasets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from endonym.web.shapes.shape import Counts, Open, Said, Shape


class Language(Shape):
    """A language; `own` is what it calls itself."""

    code: str = Field(description="ISO 639-3.")
    name: str
    own: str
    direction: Literal["ltr", "rtl"]


class Languages(Shape):
    languages: list[Language]


# Projects


class Newest(Shape):
    """The newest artifact of its kind."""

    job: int
    created: float = Field(description="Seconds since 1970, as all times are.")
    hash: str


class Experience(Shape):
    """Motivation, apart from science; null where quality was not measured."""

    items: int
    quality: float | None
    points: float | None
    level: int | None
    name: str
    next_level_at: float | None


class Project(Shape):
    """A project: its languages, base and what it has."""

    id: str = Field(description="Name of its folder.")
    name: str
    description: str
    language: Language
    pivot: Language
    base: str
    sources: int
    jobs: Counts = Field(description="By state.")
    artifacts: dict[str, Newest] = Field(description="By kind.")
    experience: Experience | None
    changed: float


class Unopened(Shape):
    """A project that cannot be opened, and why."""

    id: str
    name: str
    problem: str


class Projects(Shape):
    projects: list[Project | Unopened]


class Artifact(Shape):
    """What a job made."""

    job: int
    verb: str
    plugin: str
    kind: str
    hash: str
    created: float
    parents: list[str] = Field(description="Hashes of what it was made of.")


class Artifacts(Shape):
    artifacts: list[Artifact]


# Files


class File(Shape):
    """A file of a source; `bytes` is null where it is gone."""

    id: str
    name: str
    path: str
    bytes: int | None


class Found(Shape):
    """What is wrong in a file, where, and what repairs it."""

    file: str
    line: int
    field: str
    what: str
    repair: str


class Tongue(Open):
    """A language that a file was found to be in; empty where it is not known."""

    language: str
    name: str


class Source(Shape):
    """Files that belong together, what they were found to be when they were added, and what may be done with them."""

    files: list[File]
    reader: str = ""
    encoding: str = ""
    delimiter: str = ""
    languages: list[Tongue] = Field([])
    scripts: Counts = Field({}, description="Letters by ISO 15924 code.")
    records: Counts = Field({}, description="By kind.")
    characters: int = 0
    good_for: str = ""
    settings: dict[str, Any] = Field({})
    licence: str = ""
    attribution: str = ""
    consent: str = ""
    restrictions: list[str] = Field([])
    notes: list[str] = Field([])
    problems: list[Found] = Field([])
    added: bool = True
    ok: bool = True


class Restriction(Shape):
    """What owners may ask for."""

    name: str
    says: str
    forbids_publication: bool


class Sources(Shape):
    sources: list[Source]
    restrictions: list[Restriction]


class Uploaded(Shape):
    sources: list[Source]
    added: int


class Learned(Shape):
    """A job whose result holds what was learned from a source."""

    job: int
    kind: str
    name: str
    folder: str


class Withdrawn(Shape):
    removed: dict[str, Any] = Field(description="Its table in endonym.toml.")
    models: list[Learned]


# Datasets


class Dataset(Shape):
    """A dataset: how much it has, what it left out and why."""

    job: int
    name: str
    kind: str
    created: float
    hash: str
    splits: Counts
    kinds: dict[str, Counts] = Field(description="Records by kind, for each split.")
    read: int | None
    dropped: Counts = Field(description="By reason.")
    licences: dict[str, Any]
    restrictions: dict[str, Any]
    characters: dict[str, Any] = Field(description="By Unicode block.")
    problem: Said | None = Field(description="Why nothing can be told of it.")


class Datasets(Shape):
    datasets: list[Dataset]


class Record(Open):
    """A record as its file has it, with its line."""

    line: int
    id: str


class Records(Shape):
    split: str
    total: int
    next: int | None = Field(description="The offset to go on with.")
    records: list[Record]


class Dropped(Shape):
    """A record that was left out; what may be of the test is not shown."""

    line: int
    reason: str
    detail: str
    record: dict[str, Any] = Field({})


class Ledger(Shape):
    reasons: Counts
    total: int
    next: int | None
    dropped: list[Dropped]
