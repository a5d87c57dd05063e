"""All the tables of the store, over one connection."""

from edge.store.alerts import Alerts
from edge.store.blobs import Blobs
from edge.store.boots import Boots
from edge.store.database import Database
from edge.store.deliveries import Deliveries
from edge.store.raw_chunks import RawChunks
from edge.store.readings import Readings
from edge.store.sensors import Sensors
from edge.store.sessions import Sessions
from edge.store.stream_figures import StreamFigures
from edge.store.summaries import Dirty, Summaries


class Tables:
    """The tables over one connection. Reads need no transaction; writes need one of its database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.boots = Boots(database)
        self.blobs = Blobs(database)
        self.raw_chunks = RawChunks(database)
        self.stream_figures = StreamFigures(database)
        self.sessions = Sessions(database, self.blobs)
        self.sensors = Sensors(database, self.sessions, self.blobs)
        self.readings = Readings(database)
        self.summaries = Summaries(database)
        self.dirty = Dirty(database)
        self.deliveries = Deliveries(database)
        self.alerts = Alerts(database)

    def store_id(self) -> str:
        """What tells this store from another of the same gateway, such as the one before it was lost."""
        ((store_id,),) = self.database.read("SELECT value FROM meta WHERE key = 'id'")
        return str(store_id)

    def newest_arrival(self, sensor_no: int) -> tuple[int, int] | None:
        """When the newest of what is stored of a sensor came: the boot, and the time since it. None if nothing is."""
        chunk = self.raw_chunks.newest(sensor_no)
        came = [] if chunk is None else [(chunk.boot_no, chunk.packets[-1].arrival_boot_ns)]
        for session in self.sessions.of_sensor(sensor_no)[-1:]:
            names = self.readings.measurements(session.no)
            newest = (self.readings.newest(session.no, name) for name in names)
            came += [(one.boot_no, one.boot_ns) for one in newest if one is not None]
        return max(came, default=None)
