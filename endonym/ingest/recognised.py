"""Keep what a recogniser made of a page or recording, so that it is not computed twice and an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from endonym.store.files import cache_folder, write_json


def once(compute: Callable[[], dict[str, Any]], *key: str) -> dict[str, Any]:
    """Return what was kept under `key` (hash of the file, place in it, everything that decides the result), or compute it.

    `endonym add` looks at pages that `endonym ingest` reads again; they lie in the cache folder, for this user only.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    path = cache_folder() / "recognised" / digest[:2] / f"{digest}.json"
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    except (OSError, ValueError):
        found = compute()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.parent.chmod(0o700)
    write_json(path, found)
    return found
