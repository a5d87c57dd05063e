"""From items of the outbox to the bytes of a batch: finds what each item names and has it put into FHIR."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from edge.clock import NS_PER_S, Clock
from edge.config import Config
from edge.identity import Identity
from edge.outbox import Item
from edge.store import Store
from edge.upstream.resources import (
    Origin,
    Resource,
    bundle,
    cgm_reading,
    gateway_device,
    glucose_observations,
    heart_observations,
    sensor_device,
)


def reading_ref(session_id: int, time_offset_min: int) -> str:
    """How an item names a glucose reading of the store."""
    return f"{session_id}/{time_offset_min}"


class Composer:
    """Renders batches for one gateway."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        store: Store,
        clock: Clock,
        *,
        version: str,
        simulated: bool,
    ) -> None:
        self._config = config
        self._identity = identity
        self._store = store
        self._clock = clock
        self._version = version
        self._simulated = simulated

    def compose(self, items: Sequence[Item]) -> tuple[str, bytes]:
        """Name and bytes of the batch. The name begins with the time and ends with what is inside."""
        utc_s = self._clock.utc_ns() // NS_PER_S
        devices: dict[str, Resource] = {}
        observations: list[Resource] = []
        for item in items:
            kind, sensor_id, found = self._find(item)
            sensor = self._identity.sensor(self._store.address(sensor_id))
            devices.setdefault(sensor_id, sensor_device(sensor, kind))
            observations += found
        gateway = gateway_device(self._config.gateway.id, self._version)
        body = bundle([gateway, *devices.values(), *observations], utc_s, simulated=self._simulated)
        stamp = datetime.fromtimestamp(utc_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{stamp}-{hashlib.sha256(body).hexdigest()[:16]}", body

    def _find(self, item: Item) -> tuple[str, str, list[Resource]]:
        """Kind of the sensor, its id, and the resources the item stands for."""
        if item.kind == "cgm_reading":
            session_id, time_offset_min = map(int, item.ref.split("/"))
            session = self._store.session(session_id)
            record = self._store.record(session, time_offset_min)
            origin = self._origin(session.sensor_id)
            return (
                "cgm",
                session.sensor_id,
                [cgm_reading(item.id, session.utc_s(time_offset_min), record, origin)],
            )
        summary = self._store.summary(UUID(item.ref))
        assert summary is not None
        origin = self._origin(summary.sensor_id)
        if item.kind == "heart_5min":
            return "heart_rate", summary.sensor_id, heart_observations(summary, origin)
        return "cgm", summary.sensor_id, glucose_observations(summary, origin)

    def _origin(self, sensor_id: str) -> Origin:
        sensor = self._identity.sensor(self._store.address(sensor_id))
        return Origin(self._config.patient.pseudonym, self._config.gateway.id, sensor)
