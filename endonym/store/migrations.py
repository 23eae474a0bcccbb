"""The database schema, as numbered steps that are applied once each, in order."""

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        verb TEXT NOT NULL,
        plugin TEXT NOT NULL DEFAULT '',
        key TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'needs_recovery')),
        settings TEXT NOT NULL,
        inputs TEXT NOT NULL,
        folder TEXT NOT NULL,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        attempt INTEGER NOT NULL DEFAULT 0,
        worker TEXT NOT NULL DEFAULT '',
        lease_until REAL,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '',
        summary TEXT NOT NULL DEFAULT '{}'
    );
    CREATE INDEX jobs_key ON jobs (key);
    CREATE TRIGGER jobs_succeeded_is_final BEFORE UPDATE OF state ON jobs
        WHEN OLD.state = 'succeeded' AND NEW.state != 'succeeded'
        BEGIN SELECT RAISE(ABORT, 'a job that succeeded stays so'); END;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL REFERENCES jobs (id),
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX events_job ON events (job, id);
    CREATE TABLE metrics (
        job INTEGER NOT NULL REFERENCES jobs (id),
        name TEXT NOT NULL,
        step INTEGER NOT NULL,
        value REAL NOT NULL
    );
    CREATE INDEX metrics_job ON metrics (job, name, step);
    CREATE TABLE artifacts (
        job INTEGER PRIMARY KEY REFERENCES jobs (id),
        kind TEXT NOT NULL,
        hash TEXT NOT NULL,
        parents TEXT NOT NULL,
        created REAL NOT NULL
    );
    CREATE INDEX artifacts_kind ON artifacts (kind, job);
    """,
    """
    CREATE TABLE jobs_now (
        id INTEGER PRIMARY KEY,
        verb TEXT NOT NULL,
        plugin TEXT NOT NULL DEFAULT '',
        key TEXT NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('queued', 'running', 'paused', 'needs_recovery', 'succeeded', 'failed', 'cancelled')),
        settings TEXT NOT NULL,
        inputs TEXT NOT NULL,
        folder TEXT NOT NULL,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        attempt INTEGER NOT NULL DEFAULT 0,
        worker TEXT NOT NULL DEFAULT '',
        lease_until REAL,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        pause_requested INTEGER NOT NULL DEFAULT 0,
        asked REAL,
        rung INTEGER NOT NULL DEFAULT 0,
        lost INTEGER NOT NULL DEFAULT 0,
        parent INTEGER,
        continues INTEGER,
        needs TEXT NOT NULL DEFAULT '{}',
        logged INTEGER,
        error TEXT NOT NULL DEFAULT '',
        summary TEXT NOT NULL DEFAULT '{}'
    );
    INSERT INTO jobs_now (id, verb, plugin, key, state, settings, inputs, folder, created, started, finished, attempt, worker,
        lease_until, cancel_requested, error, summary)
        SELECT id, verb, plugin, key, state, settings, inputs, folder, created, started, finished, attempt, worker,
        lease_until, cancel_requested, error, summary FROM jobs;
    DROP TABLE jobs;
    ALTER TABLE jobs_now RENAME TO jobs;
    CREATE INDEX jobs_key ON jobs (key);
    CREATE INDEX jobs_state ON jobs (state);
    CREATE INDEX jobs_parent ON jobs (parent);
    CREATE UNIQUE INDEX jobs_continues ON jobs (continues) WHERE continues IS NOT NULL;
    CREATE TRIGGER jobs_end_is_final BEFORE UPDATE OF state ON jobs
        WHEN OLD.state IN ('succeeded', 'failed', 'cancelled') AND NEW.state != OLD.state
        BEGIN SELECT RAISE(ABORT, 'a job that has ended stays as it ended'); END;
    """,
)
