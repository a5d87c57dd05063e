"""The tables of the store.

Times are integers: `boot_ns` counts from a boot and has a meaning only together with `boot_no`; `utc_s` is wall time. A
sensor is a device worn by one person. Its address is stored in `sensors` only. A device that was replaced stays there
with its data, as retired. A change of this file needs a new version number and a step in `migrations`.

Pages are small, because a commit writes whole pages. Tables with short rows are stored in the order of their key
(WITHOUT ROWID). Tables with long rows are stored in the order in which rows come, and have an index, because WITHOUT
ROWID limits a row to about a fifth of a page. Large tables have no foreign keys to `boots` and `sensors`: to delete a
boot, SQLite would search the whole table. Instead `retention` deletes a boot only when nothing can refer to it.
"""

from edge.store.database import Database

SCHEMA_VERSION = 4

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE sensors (
    no INTEGER PRIMARY KEY,
    -- Its name in the configuration; one device at a time has it, besides retired ones.
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    -- The pseudonym of who wears it; NULL in a store of version 1 until the configuration has said it.
    person TEXT,
    retired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX sensors_in_use ON sensors (id) WHERE retired = 0;

-- What was learned of a device and takes long to learn again.
CREATE TABLE traits (
    sensor_no INTEGER NOT NULL REFERENCES sensors (no),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (sensor_no, key)
) STRICT, WITHOUT ROWID;

-- In the order the boots happened.
CREATE TABLE boots (no INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE) STRICT;

-- error_ms is NULL where nothing vouched for the clock that was read.
CREATE TABLE anchors (
    boot_no INTEGER NOT NULL REFERENCES boots (no),
    boot_ns INTEGER NOT NULL,
    utc_ns INTEGER NOT NULL,
    error_ms INTEGER,
    source TEXT NOT NULL,
    PRIMARY KEY (boot_no, boot_ns)
) STRICT, WITHOUT ROWID;

-- What arrived from a sensor that stores nothing itself, some seconds of it per row.
CREATE TABLE raw_chunks (
    no INTEGER PRIMARY KEY,
    sensor_no INTEGER NOT NULL,
    boot_no INTEGER NOT NULL,
    first_boot_ns INTEGER NOT NULL,
    last_boot_ns INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (sensor_no, boot_no, last_boot_ns, first_boot_ns)
) STRICT;

-- Chunks of this boot have no trustworthy wall time yet, so they mark no period.
CREATE TABLE unplaced (
    sensor_no INTEGER NOT NULL REFERENCES sensors (no),
    boot_no INTEGER NOT NULL REFERENCES boots (no),
    PRIMARY KEY (sensor_no, boot_no)
) STRICT, WITHOUT ROWID;

-- One wearing of one sensor.
CREATE TABLE sessions (
    no INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    sensor_no INTEGER NOT NULL REFERENCES sensors (no),
    number INTEGER NOT NULL,
    -- Its beginning: as the sensor says; by the time since boot (before 0 where it began earlier); and in wall time,
    -- as good as it is known. start_error_ms is NULL while nothing vouches for it: nothing of it is placed then.
    told_start_utc_s INTEGER,
    start_boot_no INTEGER REFERENCES boots (no),
    start_boot_ns INTEGER,
    start_utc_s INTEGER,
    start_error_ms INTEGER,
    run_time_h INTEGER,
    -- Every record up to this sequence is stored or given up.
    watermark INTEGER NOT NULL DEFAULT -1,
    -- Why nothing more can come of it; NULL while something can.
    ended TEXT,
    UNIQUE (sensor_no, number)
) STRICT;

-- A reading is (session, measurement, sequence). The value is infinite beyond the sensor's scale and NULL where it
-- measured nothing; not_counted says why a reading does not count, NULL where it does.
CREATE TABLE readings (
    session_no INTEGER NOT NULL REFERENCES sessions (no),
    measurement TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    value REAL,
    trend REAL,
    quality_pct REAL,
    status INTEGER NOT NULL,
    not_counted TEXT,
    boot_no INTEGER NOT NULL,
    boot_ns INTEGER NOT NULL,
    fetched INTEGER NOT NULL,
    PRIMARY KEY (session_no, measurement, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX readings_in_time ON readings (session_no, measurement, at_s);

-- Records between two sequences, both included, that were asked for and will not be asked for again.
CREATE TABLE given_up (
    session_no INTEGER NOT NULL REFERENCES sessions (no),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reason TEXT NOT NULL,
    tries INTEGER NOT NULL,
    boot_no INTEGER NOT NULL,
    boot_ns INTEGER NOT NULL,
    PRIMARY KEY (session_no, first)
) STRICT, WITHOUT ROWID;

-- A summary keeps its id for good; another result is a new revision of the same thing.
CREATE TABLE summaries (
    kind TEXT NOT NULL,
    sensor_no INTEGER NOT NULL,
    start_utc_s INTEGER NOT NULL,
    end_utc_s INTEGER NOT NULL,
    id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('preliminary', 'final', 'amended')),
    body TEXT NOT NULL,
    UNIQUE (kind, sensor_no, start_utc_s)
) STRICT;

-- Periods that have data their summary does not know yet.
CREATE TABLE dirty (
    kind TEXT NOT NULL,
    sensor_no INTEGER NOT NULL REFERENCES sensors (no),
    start_utc_s INTEGER NOT NULL,
    PRIMARY KEY (kind, sensor_no, start_utc_s)
) STRICT, WITHOUT ROWID;

-- A delivery is an item on its way by one route; `ref` is where the store has the item, and unique for its kind.
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    item TEXT NOT NULL,
    person TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'inflight', 'acked', 'parked')),
    sent_rev INTEGER,
    -- After a rejection the row travels in a batch of at most this many.
    batch_max INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    boot_no INTEGER NOT NULL,
    boot_ns INTEGER NOT NULL,
    -- When it was acknowledged, at the earliest; NULL in what a store of version 1 had sent.
    acked_utc_s INTEGER,
    UNIQUE (route, kind, ref)
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (route, state, person, kind, seq) WHERE state <> 'acked';
CREATE INDEX deliveries_acked ON deliveries (acked_utc_s) WHERE state = 'acked';

-- How many deliveries there are of each kind: the database keeps it, because counting them takes longer every year.
CREATE TABLE delivery_counts (
    route TEXT NOT NULL,
    state TEXT NOT NULL,
    person TEXT NOT NULL,
    kind TEXT NOT NULL,
    items INTEGER NOT NULL,
    PRIMARY KEY (route, state, person, kind)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER delivery_added AFTER INSERT ON deliveries BEGIN
    INSERT INTO delivery_counts VALUES (new.route, new.state, new.person, new.kind, 1)
    ON CONFLICT DO UPDATE SET items = items + 1; END;
CREATE TRIGGER delivery_entered AFTER UPDATE OF state, person ON deliveries BEGIN
    INSERT INTO delivery_counts VALUES (new.route, new.state, new.person, new.kind, 1)
    ON CONFLICT DO UPDATE SET items = items + 1; END;
CREATE TRIGGER delivery_left AFTER UPDATE OF state, person ON deliveries BEGIN
    UPDATE delivery_counts SET items = items - 1
    WHERE route = old.route AND state = old.state AND person = old.person AND kind = old.kind; END;
CREATE TRIGGER delivery_deleted AFTER DELETE ON deliveries BEGIN
    UPDATE delivery_counts SET items = items - 1
    WHERE route = old.route AND state = old.state AND person = old.person AND kind = old.kind; END;

-- The one batch in flight of each route, deflated; an empty name while there is none. The row stays and most bodies fit
-- into its page, so that a batch that begins and one that ends write one page each.
CREATE TABLE batches (route TEXT PRIMARY KEY, name TEXT NOT NULL, body BLOB NOT NULL) STRICT;

-- What each route has carried since the store began.
CREATE TABLE carried (
    route TEXT PRIMARY KEY,
    batches INTEGER NOT NULL,
    items INTEGER NOT NULL,
    last_utc_s INTEGER
) STRICT, WITHOUT ROWID;
"""

NEW_IN_3 = """
-- Tells this store from others of the same gateway: each counts its alerts from one.
INSERT INTO meta VALUES ('id', lower(hex(randomblob(8))));

-- What programs keep of themselves, to go on from after a restart. A blob belongs to a sensor, to a session or to the
-- gateway; which program reads it, and in which form, only its kind and its version say.
CREATE TABLE blobs (
    kind TEXT NOT NULL,
    owner_no INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, owner_no)
) STRICT;

-- What happened to alerts, in order. An alert is (rule, sensor_no, ordinal), and each event of it has a step; sensor_no
-- is NULL where the gateway itself is meant. at_s is the time of the alerts, which goes on over boots; 0 in what comes
-- from a store of version 2.
CREATE TABLE alert_events (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    rule TEXT NOT NULL,
    sensor_no INTEGER REFERENCES sensors (no),
    person TEXT,
    what TEXT NOT NULL,
    tier INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at_s REAL NOT NULL,
    value REAL,
    unit TEXT,
    urgent INTEGER NOT NULL,
    reason TEXT,
    boot_no INTEGER NOT NULL REFERENCES boots (no),
    boot_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX alert_events_of ON alert_events (rule, sensor_no, no);

-- How far each channel has come with an event, and when it came there.
CREATE TABLE alert_deliveries (
    event TEXT NOT NULL REFERENCES alert_events (id),
    channel TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('issued', 'delivered', 'acknowledged', 'retracted', 'failed')),
    tries INTEGER NOT NULL,
    boot_no INTEGER NOT NULL REFERENCES boots (no),
    boot_ns INTEGER NOT NULL,
    PRIMARY KEY (event, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_deliveries_open ON alert_deliveries (event) WHERE state = 'issued';
"""


NEW_IN_4 = """
-- What the streams of a sensor said in a stretch of time that ended at boot_ns; nothing else is kept of them. Seconds
-- of acceleration, and of those without movement; seconds of ECG, and of those that can be trusted; and intervals
-- between beats that lie in those, and that the ECG confirms.
CREATE TABLE stream_figures (
    sensor_no INTEGER NOT NULL,
    boot_no INTEGER NOT NULL,
    boot_ns INTEGER NOT NULL,
    motion_s REAL NOT NULL,
    still_s REAL NOT NULL,
    ecg_s REAL NOT NULL,
    clear_s REAL NOT NULL,
    intervals INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    PRIMARY KEY (sensor_no, boot_no, boot_ns)
) STRICT, WITHOUT ROWID;
"""


def create(database: Database) -> None:
    """Make the tables, inside a transaction of an empty database."""
    for statement in statements(SCHEMA + NEW_IN_3 + NEW_IN_4):
        database.write(statement)
    database.write(f"PRAGMA user_version = {SCHEMA_VERSION}")


def statements(script: str) -> list[str]:
    """The statements of a script, one by one. (SQLite's `executescript` would commit by itself.)"""
    return [statement for statement in script.split(";\n") if statement.strip()]
