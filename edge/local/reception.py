"""Answers what is asked of the running gateway: how it is, and what people do about alerts.

Contract: the answers are put together here from what the parts of the gateway say; nothing is decided. A question waits
for the store's reader at most; if the store cannot be read, the rest of the answer is complete.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from msgspec import Struct

from edge.alerts.board import AlertBoard
from edge.alerts.channels import Listener, Socket
from edge.alerts.delivery import Result
from edge.alerts.snooze import Refusal
from edge.clock import NS_PER_S
from edge.config import Config
from edge.contact import Contact, ContactState, Phase
from edge.errors import StoreUnavailable
from edge.history.periods import Periods
from edge.local import survey
from edge.local.alerts_kept import alert_status, snooze_status
from edge.local.calibrating import calibrated
from edge.local.pairing import pair, pairing_status, tell_passkey
from edge.local.radio_shown import radio_status
from edge.local.recording import recorded
from edge.local.status import Live, LiveSensor, Moment, StatusDocument, Trouble
from edge.local.verbs import AlertList, Calibration
from edge.local.verbs import Refusal as NotDone
from edge.now.facts import Facts
from edge.now.present import Present
from edge.radio.adapter import Radio
from edge.radio.inbox import Inbox
from edge.radio.intake import Intake
from edge.radio.pairing.bond import Bond
from edge.sensors.sensor import Sensor
from edge.store.door import Store
from edge.timekeeper import Timekeeper
from edge.upstream.routes import FILES
from edge.upstream.uploader import Uploader


def moment(timekeeper: Timekeeper) -> Moment:
    """The present moment, as a running gateway knows it."""
    timeline = timekeeper.timeline
    newest = timeline.newest(timekeeper.boot_no)
    return Moment(
        timekeeper.boot_no,
        timekeeper.boot_ns(),
        timekeeper.utc_ns(),
        timekeeper.trusted_error_ms(),
        newest.source if newest else "system",
        timeline,
    )


@dataclass(frozen=True, slots=True)
class Reception:
    """What the socket asks, with the parts of the gateway that know."""

    config: Config
    store: Store
    timekeeper: Timekeeper
    sensors: Mapping[str, Sensor]
    contacts: Mapping[str, Contact]
    bonds: Mapping[str, Bond]
    facts: Facts
    inbox: Inbox
    intake: Intake
    uploader: Uploader
    periods: Periods
    alerts: AlertBoard
    present: Present
    socket: Socket
    radio: Radio

    async def status(self) -> StatusDocument:
        """Everything there is to say about the gateway at this moment."""
        now, config, simulated = moment(self.timekeeper), self.config, self.store.simulated
        try:
            document = await self.store.read(
                lambda tables: survey.stored(config, now, tables, simulated=simulated)
            )
        except StoreUnavailable:
            document = survey.unread(config, now, simulated=simulated)
        return survey.running(document, now, self._live())

    def listen(self) -> AbstractContextManager[Listener]:
        return self.socket.listen()

    def alert_list(self) -> AlertList:
        alerts, snoozes = self.alerts.shown(), self.alerts.snoozes()
        return AlertList(list(map(alert_status, alerts)), list(map(snooze_status, snoozes)))

    def snooze(self, rule: str, sensor: str | None, for_s: float, unless: float | None) -> Refusal | None:
        return self.alerts.snooze(rule, sensor, for_s, unless)

    def acknowledge(self, rule: str, sensor: str) -> Refusal | None:
        return self.alerts.acknowledge(rule, sensor)

    async def test_alerts(self) -> list[Result]:
        return await self.alerts.test()

    def pair(self, sensor: str, passkey: int | None) -> AsyncGenerator[Struct, None]:
        return pair(self.sensors, self.bonds, self.contacts, sensor, passkey)

    def tell_passkey(self, sensor: str, passkey: int) -> Struct:
        return tell_passkey(self.sensors, self.bonds, self.contacts, sensor, passkey)

    def recorded(self) -> AsyncGenerator[Struct, None]:
        keeper = self.timekeeper
        return recorded(self.inbox.tap, self.config.sensors, keeper.boot_ns, keeper.utc_ns)

    async def calibrate(self, sensor: str, glucose_mg_dl: float, reason: str) -> Calibration | NotDone:
        return await calibrated(self.sensors, sensor, glucose_mg_dl, reason)

    def _live(self) -> Live:
        return Live(
            sensors={name: self._live_sensor(name, sensor) for name, sensor in self.sensors.items()},
            alerts=self.alerts.shown(),
            snoozes=self.alerts.snoozes(),
            routes={FILES: self.uploader.state.trouble},
            store_trouble=self.store.trouble,
            not_summarised=len(self.periods.parked),
            known=self.present.known(),
            radio=radio_status(self.radio, asyncio.get_running_loop().time()),
        )

    def _live_sensor(self, name: str, sensor: Sensor) -> LiveSensor:
        state, live = self.contacts[name].state, sensor.live()
        return LiveSensor(
            phase=state.phase,
            connects=state.connects,
            losses=state.losses,
            facts={
                measurement: fact
                for measurement in sensor.kind.measurements
                if (fact := self.facts.newest(name, measurement)) is not None
            },
            trouble=self._trouble(state),
            battery_pct=sensor.battery_pct,
            worn=self.facts.worn(name),
            packets=live.records,
            dropped=live.dropped + self.inbox.dropped[name],
            undecodable=self.intake.undecodable[name],
            oddities=live.oddities,
            missing=live.missing,
            warm_up_left_s=live.warm_up_left_s,
            pairing=pairing_status(self.bonds[name]) if name in self.bonds else None,
            streams=live.streams,
        )

    def _trouble(self, state: ContactState) -> Trouble | None:
        """What keeps a sensor from sending; nothing does while it streams."""
        if state.trouble is None or state.trouble_boot_ns is None or state.phase is Phase.STREAMING:
            return None
        age_s = (self.timekeeper.boot_ns() - state.trouble_boot_ns) / NS_PER_S
        return Trouble(state.trouble.cause, state.trouble.remedy, state.detail, age_s)
