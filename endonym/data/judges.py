"""Where a judge of answers is found that nobody named in the settings."""

from __future__ import annotations

import os


def named_url() -> str:
    """What ENDONYM_JUDGE_URL says when settings are read: it becomes one of them, so that another judge is another job."""
    return os.environ.get("ENDONYM_JUDGE_URL", "")
