"""The error family: every error says what happened and carries a hint that says what to do.

EndonymError              exit 1
├── UsageError            exit 2   the command or a name in it is off
├── ConfigError           exit 2   settings; all problems at once
├── MissingError          exit 3   an extra, a model, a system program is not there
├── DataError             exit 4   user data: file, line, field, repair
├── LeakError             exit 5   the same thing on both sides of a split, or the sealed test opened
├── ParityError           exit 6   an export is not the model that was trained
└── JobError              exit 7   a job failed, was cancelled, or needs recovery
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class EndonymError(Exception):
    """Base of all errors a user can act on; `hint` is one sentence with the repair."""

    exit_code = 1

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"error: {self.message}\n\nhint: {self.hint}" if self.hint else f"error: {self.message}"


class UsageError(EndonymError):
    """The command, or a name in it, is off."""

    exit_code = 2


class ConfigError(EndonymError):
    """One or more settings are wrong; the message lists every problem."""

    exit_code = 2


class MissingError(EndonymError):
    """Something that must be installed or fetched first is not there."""

    exit_code = 3


@dataclass(frozen=True)
class Problem:
    """One thing wrong in user data."""

    file: str
    line: int
    """1-based; 0 when it concerns the whole file."""
    field: str
    what: str
    repair: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        field = f", field {self.field}" if self.field else ""
        return f"{place}{field}: {self.what}\n    repair: {self.repair}"


class DataError(EndonymError):
    """User data that cannot be read as it is; `problems` names file, line, field and repair of each."""

    exit_code = 4

    def __init__(self, problems: Problem | Iterable[Problem], hint: str = ""):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        shown = [f"  {p}" for p in self.problems[:8]]
        if len(self.problems) > 8:
            shown.append(f"  ... and {len(self.problems) - 8} more")
        noun = "problem" if len(self.problems) == 1 else "problems"
        super().__init__(f"{len(self.problems)} {noun} in the data\n" + "\n".join(shown), hint)


class LeakError(EndonymError):
    """Test material would reach training, or the sealed test split was opened by the wrong verb."""

    exit_code = 5


class ParityError(EndonymError):
    """An exported model does not answer as the trained one does; nothing was published."""

    exit_code = 6


class JobError(EndonymError):
    """A job failed, was cancelled, or lost its worker."""

    exit_code = 7


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the closest known name, or the list of known names, as a hint."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else "None are available."
