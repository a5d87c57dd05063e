"""Migrations from the schemas of earlier versions to the present one.

Contract: either the old version or the new one is complete, whatever interrupts a migration. No data are lost. What an
earlier version did not record stays unknown, or is filled in with what that version assumed.

| from | way |
|---|---|
| 1 | a new file is made beside the old one, because its pages are larger, and replaces it when it is complete |
| 2 | tables are added and replaced, and summaries extended, in one transaction |
| 3 | a table is added |
"""

from contextlib import suppress
from pathlib import Path

from edge import durable
from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.errors import StoreUnavailable
from edge.identity import Identity
from edge.store.boots import Boots
from edge.store.database import Database
from edge.store.raw_chunks import HeartChunk, Packet, RawChunks
from edge.store.schema import NEW_IN_3, NEW_IN_4, SCHEMA_VERSION, create, statements
from edge.store.summaries import Dirty

COPIED_VERSION = 1
# This is also the cipher's default.
OLD_PAGE_BYTES = 4096

_CHUNKS_AT_A_TIME = 200
_HEART_WINDOW_S = 300
_REPORTED_WITHIN_S = 10
# Every local midnight falls on a whole quarter of an hour of UTC.
_QUARTER_S = 900
_EPOCH_ORDINAL = 719_163

_COPY = """
INSERT INTO meta SELECT key, value FROM v1.meta WHERE key NOT GLOB 'rr_unit/*';

INSERT INTO sensors (no, id, kind, address) SELECT rowid, id, kind, upper(address) FROM v1.sensors;

INSERT INTO traits SELECT no, 'rr_unit', value FROM v1.meta JOIN sensors ON key = 'rr_unit/' || id;

INSERT INTO boots SELECT seq, boot_id FROM v1.boots;

-- Version 1 placed the whole of a boot by its newest anchor and asked nobody whether the clock was right: what does not
-- agree with that one, or was before there were gateways, is not trusted.
INSERT INTO anchors
SELECT no, a.boot_ns, a.utc_ns,
    CASE WHEN abs((a.utc_ns - a.boot_ns) - (newest.utc_ns - newest.boot_ns)) <= 60000000000
        AND a.utc_ns >= 1577836800000000000 THEN a.error_ms END,
    a.source
FROM v1.time_anchors AS a JOIN boots USING (boot_id) JOIN
    (SELECT boot_id, utc_ns, boot_ns, max(boot_ns) FROM v1.time_anchors GROUP BY boot_id) AS newest USING (boot_id);

-- The start was what the sensor said, or else what the gateway's clock said. What had been fetched up to the watermark
-- could have gaps: the session that may still go on is fetched again.
INSERT INTO sessions
    (no, uuid, sensor_no, number, told_start_utc_s, start_utc_s, start_error_ms, run_time_h, watermark, ended)
SELECT c.id, lower(substr(u, 1, 8) || '-' || substr(u, 9, 4) || '-4' || substr(u, 14, 3) || '-a' || substr(u, 18, 3)
        || '-' || substr(u, 21, 12)),
    sensors.no, number, start_utc_s, start_utc_s, 600000, run_time_h,
    CASE WHEN is_current THEN -1 ELSE coalesce(cursors.watermark, -1) END,
    CASE WHEN NOT is_current THEN 'superseded' END
FROM (SELECT *, hex(randomblob(16)) AS u,
        number = max(number) OVER (PARTITION BY sensor_id) AS is_current FROM v1.cgm_sessions) AS c
    JOIN sensors ON sensors.id = c.sensor_id
    LEFT JOIN v1.cursors AS cursors ON stream = 'cgm_session/' || c.id;

INSERT INTO readings (session_no, measurement, sequence, at_s, value, trend, quality_pct, status, not_counted, boot_no,
    boot_ns, fetched)
SELECT session_id, 'glucose', time_offset_min, 60 * time_offset_min, glucose_mg_dl, trend_mg_dl_min, quality_pct,
    status,
    CASE WHEN status & 8 THEN 'sensor malfunction'
        WHEN status & 32 THEN 'general fault'
        WHEN status & 4 THEN 'wrong type of sensor'
        WHEN status & 1 THEN 'session stopped'
        WHEN status & 4096 THEN 'sensor too hot'
        WHEN status & 8192 THEN 'sensor too cold'
        WHEN status & 2048 THEN 'calibration required'
        WHEN status & 16384 THEN 'calibration pending'
        WHEN glucose_mg_dl IS NULL THEN 'no measurement'
        WHEN quality_pct < 20 THEN 'low quality'
        WHEN abs(glucose_mg_dl) < 1e9 AND glucose_mg_dl NOT BETWEEN 20 AND 600 THEN 'out of range' END,
    no, received_boot_ns, backfilled
FROM v1.cgm_records JOIN boots ON boot_id = received_boot_id;

-- Where two of a period have different names, as after a change of pseudonym, the later one stays.
INSERT OR REPLACE INTO summaries (kind, sensor_no, start_utc_s, end_utc_s, id, rev, status, body)
SELECT s.kind, no, start_utc_s, end_utc_s, s.id, rev, status, body
FROM v1.summaries AS s JOIN sensors ON sensors.id = sensor_id ORDER BY s.rowid;

-- As version 2 had them; `_ALERTS` makes events of them.
CREATE TABLE alerts (
    no INTEGER PRIMARY KEY, kind TEXT, sensor_no INTEGER, value REAL, raised_boot_no INTEGER, raised_boot_ns INTEGER,
    cleared_boot_no INTEGER, cleared_boot_ns INTEGER
);
INSERT INTO alerts
SELECT a.id, a.kind, sensors.no, value, raised.no, raised_boot_ns, cleared.no, cleared_boot_ns
FROM v1.alerts AS a JOIN sensors ON sensors.id = sensor_id
    JOIN boots AS raised ON raised.boot_id = raised_boot_id
    LEFT JOIN boots AS cleared ON cleared.boot_id = cleared_boot_id;

-- Version 1 had one route upstream. An item keeps its id, so that nothing goes up under a second one. What names a
-- thing that is not here cannot be composed any more.
INSERT INTO deliveries (seq, route, kind, ref, item, person, rev, state, sent_rev, batch_max, attempts, reason, boot_no,
    boot_ns)
SELECT seq, 'files', o.kind,
    coalesce(
        r.session_no || '/' || r.measurement || '/' || r.sequence,
        s.kind || '/' || s.sensor_no || '/' || s.start_utc_s, o.ref),
    o.id, 'sensor/' || coalesce(c.sensor_no, s.sensor_no, 0), o.rev,
    CASE WHEN state = 'pending' AND r.status IS NULL AND s.status IS NULL THEN 'parked' ELSE state END,
    sent_rev, batch_max, attempts,
    CASE WHEN state = 'pending' AND r.status IS NULL AND s.status IS NULL
        THEN 'what it names is not in the store' ELSE reason END,
    boots.no, enqueued_boot_ns
FROM v1.outbox AS o JOIN boots ON boot_id = enqueued_boot_id
    LEFT JOIN readings AS r ON o.kind = 'cgm_reading' AND measurement = 'glucose'
        AND session_no = CAST(substr(ref, 1, instr(ref, '/') - 1) AS INTEGER)
        AND sequence = CAST(substr(ref, instr(ref, '/') + 1) AS INTEGER)
    LEFT JOIN sessions AS c ON c.no = r.session_no
    LEFT JOIN v1.summaries AS was ON was.id = o.ref
    LEFT JOIN sensors ON sensors.id = was.sensor_id
    LEFT JOIN summaries AS s ON s.kind = was.kind AND s.sensor_no = sensors.no
        AND s.start_utc_s = was.start_utc_s AND s.id = was.id
ORDER BY seq;

INSERT INTO batches SELECT 'files', name, body FROM v1.outbox_batch;

-- How many batches it took is not known any more.
INSERT INTO carried
SELECT 'files', 0, count(*), NULL FROM v1.outbox WHERE state = 'acked' HAVING count(*) > 0;
"""

# Version 2 stored of an alert when it was raised and when it ended, and told everything once, in the log.
_ALERTS = """
WITH numbered AS (
    SELECT a.*, person, row_number() OVER (PARTITION BY a.kind, sensor_no ORDER BY a.no) AS ordinal
    FROM main.alerts AS a JOIN main.sensors AS s ON s.no = sensor_no)
INSERT INTO alert_events
    (id, rule, sensor_no, person, what, tier, ordinal, step, at_s, value, urgent, boot_no, boot_ns)
SELECT lower(substr(u, 1, 8) || '-' || substr(u, 9, 4) || '-4' || substr(u, 14, 3) || '-a' || substr(u, 18, 3)
        || '-' || substr(u, 21, 12)),
    kind, sensor_no, person, what, 0, ordinal, step, 0.0, value, kind = 'glucose_urgent_low', boot_no, boot_ns
FROM (SELECT *, hex(randomblob(16)) AS u FROM (
        SELECT *, 'raised' AS what, 0 AS step, raised_boot_no AS boot_no, raised_boot_ns AS boot_ns FROM numbered
        UNION ALL
        SELECT *, 'over', 1, cleared_boot_no, cleared_boot_ns FROM numbered WHERE cleared_boot_ns IS NOT NULL))
ORDER BY boot_no, boot_ns, step;
"""

# What version 2 called SDNN and RMSSD was of all intervals. It knew nothing of normal ones; with the packets they can
# be computed anew.
_BODIES = """
UPDATE summaries SET body = json_remove(
    json_set(body, '$.sdrr_ms', json(body -> '$.sdnn_ms'), '$.rmssd_rr_ms', json(body -> '$.rmssd_ms'),
        '$.normal_pct', NULL, '$.mean_nn_ms', NULL, '$.pnn50_pct', NULL, '$.lf_ms2', NULL, '$.hf_ms2', NULL,
        '$.dfa_a1', NULL, '$.af_pct', NULL, '$.breathing_bpm', NULL, '$.breathing_confidence', NULL),
    '$.sdnn_ms', '$.rmssd_ms')
WHERE kind = 'heart_5min';
UPDATE summaries SET body = json_set(body, '$.sdnn_ms', NULL, '$.rmssd_ms', NULL) WHERE kind = 'heart_5min';
"""


def bring_up(database: Database, version: int) -> None:
    """Bring an open database of version 2 or later to the present version, in one transaction.

    Raises:
        StoreUnavailable, StoreCorrupt: the database is unchanged.
    """
    with database.transaction():
        if version < 3:
            _write_all(database, NEW_IN_3)
            _replace_alerts(database)
            _write_all(database, _BODIES)
        _write_all(database, NEW_IN_4)
        database.write(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _replace_alerts(database: Database) -> None:
    _write_all(database, _ALERTS)
    database.write("DROP TABLE alerts")


def _write_all(database: Database, script: str) -> None:
    for statement in statements(script):
        database.write(statement)


def migrate(path: Path, identity: Identity) -> None:
    """Bring a database of version 1 to the present version. It must not be open anywhere.

    Raises:
        StoreUnavailable, StoreCorrupt: the database is unchanged.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        _discard(new)
        _copy(path, new, identity)
        durable.replace(new, path)
    except OSError as fault:
        raise StoreUnavailable(f"the database cannot be migrated: {fault.strerror or fault}") from fault
    finally:
        # What cannot be deleted now is by the next migration.
        with suppress(OSError):
            _discard(new)


def _copy(path: Path, new: Path, identity: Identity) -> None:
    new.touch(mode=0o600)
    database = Database(new, identity)
    try:
        with database.attached(path, identity, "v1"):
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            with database.transaction():
                create(database)
                for statement in statements(_COPY):
                    database.write(statement)
                _replace_alerts(database)
                _write_all(database, _BODIES)
                _repack_chunks(database, Boots(database).timeline())
                _mark_days(database)
            # A log of the old file must not be left beside the new file.
            ((busy, *_),) = database.execute("PRAGMA v1.wal_checkpoint(TRUNCATE)")
            if busy:
                raise StoreUnavailable("the database cannot be migrated: somebody uses it")
    finally:
        database.close()


def _discard(new: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        new.with_name(new.name + suffix).unlink(missing_ok=True)


def _repack_chunks(database: Database, timeline: Timeline) -> None:
    """Convert chunks, which had a column for each kind of value. Mark the windows that are not closed yet."""
    raw_chunks, dirty, seq = RawChunks(database), Dirty(database), -1
    cursors = database.read(
        "SELECT no, watermark FROM v1.cursors JOIN sensors ON stream = 'heart_5min/' || id"
    )
    closed_s: dict[int, int] = dict(cursors)
    while rows := database.read(
        "SELECT seq, sensors.no, boots.no, arrival_boot_ns, last_beat_boot_ns, lengths, payloads FROM v1.heart_chunks"
        " JOIN sensors ON sensors.id = sensor_id JOIN boots USING (boot_id) WHERE seq > ? ORDER BY seq LIMIT ?",
        seq,
        _CHUNKS_AT_A_TIME,
    ):
        seq = rows[-1][0]
        for _, sensor_no, boot_no, *columns in rows:
            chunk = HeartChunk(sensor_no, boot_no, _packets(*columns))
            raw_chunks.append(chunk)
            windows = _windows(timeline, chunk)
            if windows is None:
                raw_chunks.note_unplaced(sensor_no, boot_no)
            else:
                first_s = closed_s.get(sensor_no, 0)
                dirty.mark("heart_5min", sensor_no, [start_s for start_s in windows if start_s >= first_s])


def _packets(arrivals: bytes, beats: bytes, lengths: bytes, payloads: bytes) -> tuple[Packet, ...]:
    packets, end = [], 0
    columns = (memoryview(arrivals).cast("q"), memoryview(beats).cast("q"), memoryview(lengths).cast("H"))
    for arrival_ns, beat_ns, length in zip(*columns, strict=True):
        start, end = end, end + length
        packets.append(Packet(payloads[start:end], arrival_ns, beat_ns))
    return tuple(packets)


def _windows(timeline: Timeline, chunk: HeartChunk) -> range | None:
    """Starts of the windows of five minutes that contain beats of a chunk; None if its wall time is unknown."""
    first = timeline.place(chunk.boot_no, chunk.packets[0].arrival_boot_ns)
    last = timeline.place(chunk.boot_no, chunk.packets[-1].arrival_boot_ns)
    if first is None or last is None or not first.trusted:
        return None
    first_s = (first.utc_ns // NS_PER_S - _REPORTED_WITHIN_S) // _HEART_WINDOW_S * _HEART_WINDOW_S
    return range(first_s, last.utc_ns // NS_PER_S + 1, _HEART_WINDOW_S)


def _mark_days(database: Database) -> None:
    """Mark the days that were open. The store does not know the time zone, so each quarter of an hour with readings is
    marked, for any of them may begin a day.

    The cursor is the ordinal of the first open day. That day begins between 14 h before and 12 h after the UTC day of
    the same date begins. A summary that ends up to 10 h after that moment is of an earlier day.
    """
    for sensor_no, ordinal in database.read(
        "SELECT no, watermark FROM sensors LEFT JOIN v1.cursors ON stream = 'glucose_day/' || id WHERE kind = 'cgm'"
    ):
        day_utc_s = 0 if ordinal is None else (ordinal - _EPOCH_ORDINAL) * 86_400
        ((closed_s,),) = database.read(
            "SELECT max(end_utc_s) FROM summaries WHERE kind = 'glucose_day' AND sensor_no = ? AND end_utc_s <= ?",
            sensor_no,
            day_utc_s + 10 * 3600,
        )
        database.write(
            "INSERT INTO dirty SELECT DISTINCT 'glucose_day', sensor_no, (start_utc_s + at_s) / ?1 * ?1"
            " FROM sessions JOIN readings ON session_no = no WHERE sensor_no = ?2 AND start_utc_s + at_s >= ?3",
            _QUARTER_S,
            sensor_no,
            max(day_utc_s - 14 * 3600, closed_s or 0),
        )
