"""What a request names: the project it is about, jobs, places in a list; all within bounds before any code sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict

from endonym.project import Project
from endonym.store import jobs as rows
from endonym.web.errors import NotFoundError

LARGEST = (1 << 31) - 1
DEEPEST = 32
SYSTEM = r"base|[1-9]\d{0,8}"
"""What is asked or compared, as a pattern: the base, or the number of a training job."""


def clean(value: Any, depth: int = 0) -> Any:
    """The value as it is; raises ValueError where text in it cannot be kept in a file or an argument, or it is nested too deep."""
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise ValueError("text may not hold NUL or half a character")
    for part in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        clean(part, depth + 1)
    return value


class Body(BaseModel):
    """What a request may send: known fields only."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Text = Annotated[str, AfterValidator(clean)]
Values = Annotated[dict[str, Any], AfterValidator(clean)]
ProjectId = Annotated[str, Path(min_length=1, max_length=255, description="Name of the project's folder.")]
JobId = Annotated[int, Path(ge=1, le=LARGEST, description="Number of the job.")]
Offset = Annotated[int, Query(ge=0, le=LARGEST, description="How many to pass over.")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
After = Annotated[int, Query(ge=0, le=(1 << 62), description="Only what came after this.")]


def _opened(project: ProjectId, request: Request) -> Iterator[Project]:
    with request.app.state.home.opened(project) as found:
        yield found


Opened = Annotated[Project, Depends(_opened)]
"""The project of the address, open while the request lasts."""


def job_of(project: Project, job: int) -> rows.JobRow:
    """A job of the project. Raises NotFoundError."""
    if project.db.execute("SELECT 1 FROM jobs WHERE id = ?", (job,)).fetchone() is None:
        raise NotFoundError(f"there is no job {job} in this project", "See: GET /api/v1/projects/ID/jobs")
    return rows.get(project.db, job)
