"""The tables of the store, written once.

Times are integers: `boot_ns` counts from a boot and means something only with its `boot_id`; `utc_s` is wall
time. A sensor is its local name; its address stands in `sensors` alone. A change here is a new version.
"""

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE sensors (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    address TEXT NOT NULL UNIQUE
) STRICT;

-- In the order the boots happened.
CREATE TABLE boots (seq INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE time_anchors (
    boot_id TEXT NOT NULL REFERENCES boots (boot_id),
    boot_ns INTEGER NOT NULL,
    utc_ns INTEGER NOT NULL,
    error_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (boot_id, boot_ns)
) STRICT;

-- Appended as time goes on: an older chunk has a smaller seq, across boots too.
CREATE TABLE heart_chunks (
    seq INTEGER PRIMARY KEY,
    sensor_id TEXT NOT NULL REFERENCES sensors (id),
    boot_id TEXT NOT NULL REFERENCES boots (boot_id),
    first_boot_ns INTEGER NOT NULL,
    last_boot_ns INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    arrival_boot_ns BLOB NOT NULL,
    last_beat_boot_ns BLOB NOT NULL,
    lengths BLOB NOT NULL,
    payloads BLOB NOT NULL
) STRICT;
CREATE INDEX heart_chunks_in_time ON heart_chunks (sensor_id, boot_id, last_boot_ns);

CREATE TABLE cgm_sessions (
    id INTEGER PRIMARY KEY,
    sensor_id TEXT NOT NULL REFERENCES sensors (id),
    number INTEGER NOT NULL,
    start_utc_s INTEGER NOT NULL,
    run_time_h INTEGER NOT NULL,
    UNIQUE (sensor_id, number)
) STRICT;

-- Glucose is infinite beyond the sensor's scale and NULL where the sensor measured nothing.
CREATE TABLE cgm_records (
    session_id INTEGER NOT NULL REFERENCES cgm_sessions (id),
    time_offset_min INTEGER NOT NULL,
    glucose_mg_dl REAL,
    trend_mg_dl_min REAL,
    quality_pct REAL,
    status INTEGER NOT NULL,
    received_boot_ns INTEGER NOT NULL,
    backfilled INTEGER NOT NULL,
    received_boot_id TEXT NOT NULL REFERENCES boots (boot_id),
    PRIMARY KEY (session_id, time_offset_min)
) STRICT;

CREATE TABLE cursors (stream TEXT PRIMARY KEY, watermark INTEGER NOT NULL) STRICT;

CREATE TABLE summaries (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    sensor_id TEXT NOT NULL REFERENCES sensors (id),
    start_utc_s INTEGER NOT NULL,
    end_utc_s INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('preliminary', 'final', 'amended')),
    body TEXT NOT NULL
) STRICT;
CREATE INDEX summaries_in_time ON summaries (kind, start_utc_s);

CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    sensor_id TEXT NOT NULL REFERENCES sensors (id),
    value REAL,
    raised_boot_id TEXT NOT NULL REFERENCES boots (boot_id),
    raised_boot_ns INTEGER NOT NULL,
    cleared_boot_id TEXT REFERENCES boots (boot_id),
    cleared_boot_ns INTEGER
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (kind, sensor_id) WHERE cleared_boot_ns IS NULL;

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'inflight', 'acked', 'parked')),
    sent_rev INTEGER,
    -- After a rejection the row travels in a batch of at most this many.
    batch_max INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    enqueued_boot_id TEXT NOT NULL REFERENCES boots (boot_id),
    enqueued_boot_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_state ON outbox (state, seq);

-- The one batch in flight, as sent.
CREATE TABLE outbox_batch (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
"""
