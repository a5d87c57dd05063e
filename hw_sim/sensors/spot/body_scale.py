"""A body-composition scale: it tells nobody anything before one of its users consents over a bonded link.

Each user has a code. After a consent it tells what it has of that user: the weight with its time, then the composition,
which has none and belongs to it. Until it has measured the composition, it sends zeros.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from bumble.att import ATT_Error, AttributeValue
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import ENCRYPTED, Properties, uuid16
from hw_sim.sensors.spot.device import Packet, Quirks, SpotDevice, Taken, Use
from hw_sim.sensors.spot.notifying import weight
from protocols import body_composition, user_data, uuids
from protocols.body_composition import BodyComposition
from protocols.errors import DecodeError

SCALE_QUIRKS: Final = Quirks(needs_bond=True, lingers_s=5.0)
_ERROR_CCCD: Final = 0xFD


class BodyScale(SpotDevice):
    """`codes`: of its users, by their number on the scale. `consents` counts those that were accepted."""

    def __init__(
        self,
        air: SensorAir,
        address: str,
        uses: Iterable[Use] = (),
        *,
        begin_s: float,
        codes: Mapping[int, int],
        quirks: Quirks = SCALE_QUIRKS,
        placeholders: int = 2,
    ) -> None:
        """`placeholders`: how many zeros it sends before a composition."""
        self.codes = dict(codes)
        self.consents = 0
        self._placeholders = placeholders
        self._user: tuple[Connection, int] | None = None
        indicate = Properties.INDICATE
        self._weight = Characteristic[bytes](uuid16(uuids.WEIGHT_MEASUREMENT), indicate, ENCRYPTED)
        self._measurement = Characteristic[bytes](
            uuid16(uuids.BODY_COMPOSITION_MEASUREMENT), indicate, ENCRYPTED
        )
        self._control = Characteristic[bytes](
            uuid16(uuids.USER_CONTROL_POINT),
            Properties.WRITE | indicate,
            ENCRYPTED,
            AttributeValue[bytes](write=self._on_control),
        )
        self._data = [self._weight, self._measurement]
        super().__init__(
            air,
            address,
            "Vitalgate Body",
            Service(uuid16(uuids.BODY_COMPOSITION_SERVICE), [self._measurement]),
            uses,
            begin_s=begin_s,
            quirks=quirks,
            others=[
                Service(uuid16(uuids.WEIGHT_SCALE_SERVICE), [self._weight]),
                Service(uuid16(uuids.USER_DATA_SERVICE), [self._control]),
            ],
        )

    def is_ready(self, link: Connection) -> bool:
        return super().is_ready(link) and self._user is not None and self._user[0] is link

    def packets(self, taken: Taken) -> list[Packet]:
        if self._user is None or taken.user != self._user[1]:
            return []
        stamp = self.date_time(taken.shown_s) if self.quirks.is_stamped else None
        values = taken.values
        composition = BodyComposition(
            round(10 * values["body_fat"]),
            basal_metabolism_kj=round(values["basal_metabolism"]),
            muscle_tenths=round(10 * values["muscle"]),
            impedance_tenths=round(10 * values["impedance"]),
        )
        nothing = BodyComposition(
            0, basal_metabolism_kj=round(values["basal_metabolism"]), muscle_tenths=0, impedance_tenths=0
        )
        whole = [nothing] * self._placeholders + [composition]
        return [
            Packet(self._weight, weight(values, stamp, taken.user)),
            *(Packet(self._measurement, body_composition.MEASUREMENT.encode(one)) for one in whole),
        ]

    def _on_control(self, link: Connection, payload: bytes) -> None:
        if link not in self.subscribed(self._control):
            raise ATT_Error(_ERROR_CCCD)
        try:
            consent = user_data.CONSENT.decode(payload)
        except DecodeError:
            code = user_data.Code.OP_CODE_UNSUPPORTED
        else:
            is_right = self.codes.get(consent.user_index) == consent.consent_code
            code = user_data.Code.SUCCESS if is_right else user_data.Code.USER_NOT_AUTHORIZED
            if is_right:
                self.consents += 1
                self._user = link, consent.user_index
        response = user_data.Response(payload[0] if payload else 0, code)
        if self._contact is not None:
            answer = self.indicate(link, self._control, user_data.RESPONSE.encode(response))
            self._spawn(self._contact, answer)
