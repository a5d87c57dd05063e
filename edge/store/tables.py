"""All the tables of the store, over one connection."""

from edge.store.alerts import Alerts
from edge.store.boots import Boots
from edge.store.database import Database
from edge.store.deliveries import Deliveries
from edge.store.raw_chunks import RawChunks
from edge.store.readings import Readings
from edge.store.sensors import Sensors
from edge.store.sessions import Sessions
from edge.store.summaries import Dirty, Summaries


class Tables:
    """The tables over one connection. Reads need no transaction; writes need one of its database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.boots = Boots(database)
        self.raw_chunks = RawChunks(database)
        self.sessions = Sessions(database)
        self.sensors = Sensors(database, self.sessions)
        self.readings = Readings(database)
        self.summaries = Summaries(database)
        self.dirty = Dirty(database)
        self.deliveries = Deliveries(database)
        self.alerts = Alerts(database)
