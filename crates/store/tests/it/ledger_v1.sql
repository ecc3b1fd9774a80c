-- The ledger of version 1, as it was made then.
CREATE TABLE _sync_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE _sync_runs (
    id INTEGER PRIMARY KEY, plan TEXT NOT NULL, state TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER,
    frozen_now INTEGER NOT NULL, vars TEXT NOT NULL, full_refresh INTEGER NOT NULL, first_task INTEGER NOT NULL
);
CREATE TABLE _sync_specs (
    run INTEGER NOT NULL, spec INTEGER NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
    watermark INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0, records INTEGER NOT NULL DEFAULT 0, absent INTEGER NOT NULL DEFAULT 0,
    every INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, spec)
) WITHOUT ROWID;
CREATE TABLE _sync_tasks (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, spec INTEGER NOT NULL, chain INTEGER NOT NULL,
    combination INTEGER, page INTEGER NOT NULL, position TEXT, bindings TEXT, cursor TEXT,
    state TEXT NOT NULL, attempt INTEGER, status INTEGER, bytes INTEGER, rows INTEGER,
    sent_at INTEGER, ms INTEGER, waited_ms INTEGER, error TEXT,
    cursored INTEGER, owed INTEGER, origin INTEGER
);
CREATE INDEX _sync_tasks_open ON _sync_tasks (run, spec) WHERE state = 'open';
CREATE INDEX _sync_tasks_failed ON _sync_tasks (run, spec) WHERE state = 'failed';
CREATE INDEX _sync_tasks_owed ON _sync_tasks (run) WHERE owed IS NOT NULL;
CREATE INDEX _sync_tasks_pages ON _sync_tasks (chain) WHERE chain <> id;
CREATE INDEX _sync_tasks_unsettled ON _sync_tasks (chain) WHERE cursored IS NOT NULL AND state IN ('open', 'failed');
CREATE TABLE _sync_cursors (
    plan TEXT NOT NULL, task TEXT NOT NULL, combination TEXT NOT NULL,
    value TEXT, run INTEGER, previous TEXT, pending TEXT, pending_run INTEGER, debt_run INTEGER,
    PRIMARY KEY (plan, task, combination)
) WITHOUT ROWID;
CREATE TABLE _sync_boundary (
    plan TEXT NOT NULL, task TEXT NOT NULL, combination TEXT NOT NULL, hash BLOB NOT NULL, run INTEGER NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (plan, task, combination, hash, run)
) WITHOUT ROWID;
CREATE TABLE _sync_tables (
    name TEXT PRIMARY KEY COLLATE NOCASE, plan TEXT NOT NULL, mode TEXT NOT NULL, key TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE _sync_columns (
    target TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL COLLATE NOCASE, source TEXT NOT NULL,
    type TEXT NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (target, name)
) WITHOUT ROWID;
CREATE VIEW _sync_requests AS
SELECT t.id AS id, r.plan AS plan, t.run AS run, s.name AS task, t.page AS page, t.attempt AS attempt,
       t.state AS state, t.status AS status, t.bytes AS bytes, t.rows AS rows, t.waited_ms AS waited_ms,
       strftime('%Y-%m-%dT%H:%M:%fZ', t.sent_at / 1000.0, 'unixepoch') AS sent, t.ms AS ms,
       json_extract(t.error, '$.kind') AS error, json_extract(t.error, '$.message') AS message,
       t.bindings AS bindings
FROM _sync_tasks t
JOIN _sync_runs r ON r.id = t.run
LEFT JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
WHERE t.sent_at IS NOT NULL;
INSERT INTO _sync_meta (key, value) VALUES ('version', 1);
