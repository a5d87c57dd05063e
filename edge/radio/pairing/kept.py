"""What the store remembers of bonds, and what is done with those that nobody needs any more.

Contract: of each bond that the gateway made, the store says how it was made. The bond of a device that the
configuration no longer names is deleted, because BlueZ loses the keys of all devices when it has more than about 14.
Only bonds that the gateway made are touched.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from edge.errors import StoreUnavailable
from edge.radio.diagnosis import FORESEEN
from edge.radio.pairing.security import Made
from edge.radio.pairing.system import Pairing
from edge.store.door import Store
from edge.store.sensors import SensorRow
from edge.store.tables import Tables

log = logging.getLogger(__name__)

MADE_TRAIT: Final = "bond"
# How long to wait when a bond could not be deleted.
RETRY_S: Final = 3600.0


class KeptBond:
    """The bond of one device, as the store knows it."""

    def __init__(self, store: Store, sensor_no: int) -> None:
        self._store = store
        self._no = sensor_no
        kept = store.tables.sensors.trait(sensor_no, MADE_TRAIT)
        self.made = None if kept is None else Made(kept)

    def keep(self, made: Made | None) -> None:
        self.made = made
        no = self._no
        if made is None:
            self._store.post(partial(_drop, no))
        else:
            self._store.post(lambda tables: tables.sensors.keep_trait(no, MADE_TRAIT, made.value))


async def prune(store: Store, pairing: Pairing) -> None:
    """Delete the bonds that the gateway made with devices that it no longer knows; ends when that is done."""
    while True:
        try:
            for row in await store.read(_superfluous):
                await pairing.forget(row.address)
                await store.write(partial(_drop, row.no))
                log.info("the bond with a sensor that was called %s is deleted", row.id)
            return
        except (*FORESEEN, StoreUnavailable):
            await asyncio.sleep(RETRY_S)


def _drop(no: int, tables: Tables) -> None:
    tables.sensors.drop_trait(no, MADE_TRAIT)


def _superfluous(tables: Tables) -> list[SensorRow]:
    rows = tables.sensors.all()
    used = {row.address for row in rows if not row.retired}
    return [
        row
        for row in rows
        if row.address not in used and tables.sensors.trait(row.no, MADE_TRAIT) is not None
    ]
