"""Rebuild the database from the run folders, which hold everything it indexes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from endonym.store.db import transaction


def rebuild(db: sqlite3.Connection, runs: Path) -> int:
    """Insert every run folder's job, events, metrics and artifact into an empty database; returns how many jobs.

    A job whose last recorded state is `queued` or `running` becomes `needs_recovery`: its worker cannot be known any more.
    """
    number = 0
    with transaction(db):
        for file in sorted(runs.glob("*/job.json")):
            about = json.loads(file.read_text(encoding="utf-8"))
            events, size = _events(file.with_name("events.jsonl"))
            states = [e for e in events if e["kind"] == "state"]
            last = states[-1] if states else {"time": about["created"], "data": {"state": "queued"}}
            state = last["data"]["state"]
            begun = [e["time"] for e in states if e["data"]["state"] == "running"]
            state = "needs_recovery" if state in ("running", "queued") else state
            if state == "succeeded" and not file.with_name("artifact.json").is_file():
                state = "needs_recovery"
            error = last["data"].get("error")
            db.execute(
                "INSERT INTO jobs (id, verb, plugin, key, state, settings, inputs, folder, created, started, finished, attempt,"
                " parent, continues, logged, error, summary) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    about["id"], about["verb"], about["plugin"], about["key"], state, json.dumps(about["settings"]),
                    json.dumps(about["inputs"]), file.parent.name, about["created"], begun[0] if begun else None,
                    last["time"], len(begun), about.get("parent"), about.get("continues"), size,
                    json.dumps(error) if error else "", json.dumps(last["data"].get("summary", {}), ensure_ascii=False),
                ),
            )  # fmt: skip
            for event in events:
                data = event["data"]
                db.execute(
                    "INSERT INTO events (job, time, kind, data) VALUES (?,?,?,?)",
                    (about["id"], event["time"], event["kind"], json.dumps(data, ensure_ascii=False)),
                )
                if event["kind"] == "metric":
                    db.execute(
                        "INSERT INTO metrics (job, name, step, value) VALUES (?,?,?,?)",
                        (about["id"], data["name"], data["step"], data["value"]),
                    )
            if state == "succeeded":
                made = json.loads(file.with_name("artifact.json").read_text(encoding="utf-8"))
                db.execute(
                    "INSERT INTO artifacts (job, kind, hash, parents, created) VALUES (?,?,?,?,?)",
                    (about["id"], made["kind"], made["hash"], json.dumps(made["parents"]), last["time"]),
                )
            number += 1
    return number


def _events(path: Path) -> tuple[list[dict], int]:
    """Read the event lines, and how many bytes they are; a half-written last line, left by a kill, is passed over."""
    whole = path.read_bytes().rpartition(b"\n") if path.is_file() else (b"", b"", b"")
    events = []
    for line in whole[0].decode("utf-8", errors="replace").split("\n"):
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events, len(whole[0] + whole[1])
