"""What the API tells of jobs, models and ratings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from endonym.web.shapes.shape import Counts, Open, Said, Shape

State = Literal["queued", "running", "paused", "needs_recovery", "succeeded", "failed", "cancelled"]


class Made(Shape):
    """The artifact of a job."""

    kind: str
    hash: str


class Job(Shape):
    """A job as it stands."""

    id: int
    verb: str
    plugin: str
    name: str
    state: State
    settings: dict[str, Any]
    inputs: dict[str, Any] = Field(description="Job numbers by name of input.")
    folder: str = Field(description="Run folder, in `runs/`.")
    created: float
    started: float | None
    finished: float | None
    attempt: int
    cancel_requested: bool
    pause_requested: bool
    asked: float | None
    rung: int
    lost: int
    parent: int | None
    continues: int | None
    needs: dict[str, float]
    error: dict[str, Any]
    summary: dict[str, Any]
    artifact: Made | None
    children: list[int]
    progress: dict[str, Any] | None = Field(description="`done` of `total`, `unit`, and `time`.")
    waiting: dict[str, Any] | None
    problem: str
    skipped: bool = Field(False, description="Of one just asked for: it was done already.")


class Jobs(Shape):
    total: int
    jobs: list[Job]


class Step(Open):
    """A step of a lesson, with evidence that a program can check."""

    n: int
    name: str
    state: Literal["pending", "active", "completed", "failed", "skipped"]
    sentence: str
    evidence: dict[str, Any]
    job: int | None
    seconds: float | None
    time: float


class Steps(Shape):
    job: int
    state: State
    steps: list[Step]


class Event(Shape):
    """Something that happened; numbers grow over the whole project."""

    id: int
    job: int
    time: float
    kind: str
    data: dict[str, Any]


class Events(Shape):
    events: list[Event]
    next: int


class Curve(Shape):
    """A curve, thinned; `number` is how many points it has."""

    number: int
    steps: list[int]
    values: list[float | None]


class Metrics(Shape):
    names: Counts = Field(description="Points by name.")
    curves: dict[str, Curve]


class Log(Shape):
    text: str
    next: int = Field(description="The `after` to go on with.")
    size: int


class Taken(Shape):
    """A file that may be taken."""

    path: str
    bytes: int


class Files(Shape):
    files: list[Taken]
    left_out: int


# Models


class Base(Shape):
    """A base model of the list."""

    name: str
    summary: str
    licence: str
    parameters: int
    disk_bytes: int
    languages: list[str] | None
    context: int | None
    here: bool


class Getting(Shape):
    """A model that is being got, or could not be."""

    name: str
    state: Literal["getting", "failed"]
    what: str
    done: int
    total: int
    began: float
    problem: Said | None


class Bases(Shape):
    models: list[Base]
    getting: list[Getting]
    network: bool


class Got(Shape):
    """How it stands with a model that was asked for; `base` is what a project takes."""

    name: str
    state: Literal["ready", "getting", "failed"]
    base: str | None
    what: str = ""
    done: int = 0
    total: int = 0
    began: float = 0.0
    problem: Said | None = None


class Stopped(Shape):
    getting: list[Getting]


class Ground(Shape):
    """The base of a project."""

    id: Literal["base"]
    name: str
    licence: str | None
    parameters: int | None
    here: bool


class Model(Shape):
    """A model that was trained."""

    id: str
    job: int
    recipe: str
    created: float
    hash: str
    settings: dict[str, Any]
    summary: dict[str, Any]
    about: dict[str, Any]


class Models(Shape):
    base: Ground
    models: list[Model]


# Ratings


class Rated(Shape):
    kept: bool
    rated: int


class Shown(Shape):
    """Text of a side."""

    text: str


class Following(Shape):
    """What to rate next, blind; `id` is null when all was rated."""

    id: str | None
    kind: Literal["ab", "span"]
    rated: int
    total: int
    task: str = ""
    direction: str = ""
    source: str = ""
    reference: str | list[str] | None = None
    languages: dict[str, dict[str, str]] = Field({})
    left: Shown | None = None
    right: Shown | None = None
    text: Shown | None = None


class Ratings(Shape):
    """Wins, means, agreement, each with what it rests on."""

    ab: dict[str, Any]
    span: dict[str, Any]
    raters: Counts
    preferences: Counts
