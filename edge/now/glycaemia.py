"""The glucose of one CGM's wearer at this moment: smoothed, its rate, forecasts, early alerts, label of compression.

Contract: the result is that of `dsp.glucose.realtime` over the records of the session in the order of their offsets,
whenever they came: the same as `vitalgate analyse glucose` says of them. A record that is newer than all others is
taken in at once, and nothing waits for the store. If an older one comes, from the sensor's storage, the session is
computed anew in the reader's thread, from its beginning. Until that is done the result goes on from the records that it
knows. What was learnt before the session is in `wearers`. Ages are counted to the moment that is asked for.

    the result is | event                                          | and becomes
    --------------|------------------------------------------------|-----------------------------------------
    any           | a session that is stored is gone on with       | loading; of another session nothing stays
    any           | another session begins                         | right, from what this process knows
    any           | that session is stored                         | loading
    right         | a record newer than all                        | right
    right         | an older one that is new                       | late, computed anew after `DEBOUNCE_S`
    right         | any record, before the kernels are ready       | late, computed anew when they are
    loading, late | any record                                     | as it is; the record is taken in, too
    loading, late | it was computed                                | right, or late if older records have come
    loading, late | the store cannot be read                       | as it is, tried again after `RETRY_S`
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

from dsp.glucose import realtime
from dsp.glucose.realtime import Live
from edge.clock import NS_PER_S
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.now import wearers
from edge.now.glycaemia_state import GlycaemiaState
from edge.now.known import GlucoseKnown
from edge.now.present import NoInsight
from edge.sensors.means import Means
from edge.store.door import Tables
from edge.store.readings import Reading

DEBOUNCE_S: Final = 5
RETRY_S: Final = 30


class Computed(NamedTuple):
    """A session computed from its beginning.

    Attributes:
        state: after the records that were known.
        keep_no: number of the session if the store had nothing, or nothing readable, for its beginning.
    """

    state: GlycaemiaState
    keep_no: int | None


class Glycaemia(NoInsight):
    """What follows from one CGM's readings."""

    def __init__(
        self, sensor_id: str, sensor_no: int, means: Means, start_boot_ns: Callable[[], int | None]
    ) -> None:
        """`start_boot_ns` says when the session began."""
        self._sensor_no = sensor_no
        self._store = means.store
        self._agenda = means.agenda
        self._clock = means.clock
        self._start_boot_ns = start_boot_ns
        self._kernels = means.kernels
        self._on_renewed = partial(means.facts.renew, sensor_id)
        means.insights[sensor_id] = self
        self._uuid: UUID | None = None
        self._is_loading = False
        self._is_computing = False
        self._start(None)
        self._kernels.when(self._on_kernels)

    def _start(self, learnt: bytes | None) -> None:
        self._state = GlycaemiaState(learnt)
        self._late = 0  # how many records have come that were not newer than all others

    # Sessions

    def resume(self, uuid: UUID) -> None:
        """The sensor was in this session, which is stored."""
        if uuid != self._uuid:
            self._uuid = uuid
            self._start(None)  # the records of another session have offsets of their own
        self._load()

    def begin(self, uuid: UUID) -> None:
        """Another session begins; the store does not have it yet."""
        self._uuid = uuid
        learnt = self._state.learnt
        if self._state.newest is not None:
            realtime.begin_session(self._state.wearer)
            learnt = realtime.dump(self._state.wearer)
        self._is_loading = False
        self._start(learnt)

    def on_stored(self, uuid: UUID) -> None:
        """The session that began is stored now, with what was learnt before it."""
        if uuid == self._uuid:
            self._load()

    def _load(self) -> None:
        self._is_loading = True
        self._compute_in(0)

    # Records

    def take(self, readings: Sequence[Reading]) -> None:
        """New records of the session."""
        late, is_ready = self._late, self._kernels.is_ready
        for reading in sorted(readings, key=attrgetter("at_s")):
            value, is_calibration = wearers.value_of(reading), wearers.is_calibration(reading)
            self._late += self._state.add(
                wearers.minute_of(reading), value, is_calibration=is_calibration, is_followed=is_ready
            )
        if self._late > late:
            self._compute_in(DEBOUNCE_S)

    def calibrate(self, offset_min: float) -> None:
        """A person has calibrated the sensor."""
        self._state.calibrate(offset_min)
        self._on_renewed()

    # Computed anew

    def _on_kernels(self) -> None:
        if self._is_loading or self._late:
            self._compute_in(0)

    def _compute_in(self, seconds: int) -> None:
        due_boot_ns = self._clock.boot_ns() + seconds * NS_PER_S
        self._agenda.set_earlier(f"{wearers.KIND} {self._sensor_no}", due_boot_ns, self._compute)

    def _compute(self) -> None:
        if self._is_computing or self._uuid is None or not self._kernels.is_ready:
            return  # whoever computes looks afterwards whether there is more to do, and who gets them ready as well
        self._is_computing = True
        job: Callable[[Tables], Computed | None]
        if self._is_loading:
            job = partial(_load, sensor_no=self._sensor_no, uuid=self._uuid)
        else:
            job = partial(_computed, learnt=self._state.learnt, records=self._state.records)
        done = partial(self._on_computed, self._uuid, self._late, self._is_loading)
        asyncio.ensure_future(self._store.read(job)).add_done_callback(done)

    def _on_computed(
        self, uuid: UUID, late: int, is_load: bool, done: "asyncio.Future[Computed | None]"
    ) -> None:
        self._is_computing = False
        if done.cancelled():
            return
        failure = done.exception()
        if isinstance(failure, StoreUnavailable):
            self._compute_in(RETRY_S)
        elif isinstance(failure, StoreCorrupt | StoreGone):
            return  # the gateway ends
        elif failure is not None:
            raise failure
        elif uuid != self._uuid or is_load != self._is_loading:
            self._compute_in(0)
        else:
            self._install(done.result(), late, is_load=is_load)

    def _install(self, computed: Computed | None, late: int, *, is_load: bool) -> None:
        """Go on from what was computed, with what has come meanwhile."""
        self._is_loading = False
        if computed is None:
            return  # the session is not stored after all; `on_stored` will come
        if computed.keep_no is not None:
            learnt = computed.state.learnt
            assert learnt is not None, "it is computed from something, if only the population"
            keep = partial(wearers.keep_learnt, session_no=computed.keep_no, learnt=learnt)
            self._store.post(keep)
        if not is_load and late != self._late:
            self._compute_in(DEBOUNCE_S)
            return
        here = self._state.records
        self._state = computed.state
        self._late = int(self._state.add_all(here))
        if self._late:
            self._compute_in(DEBOUNCE_S)
        self._on_renewed()

    # What is known

    @property
    def newest(self) -> tuple[float, Live] | None:
        """The offset of the newest record that counts, and what was said of it."""
        return self._state.newest

    def glucose(self, boot_ns: int) -> GlucoseKnown | None:
        """What is known at a moment; None without a record that counts, or if nobody knows when the session began."""
        start_boot_ns = self._start_boot_ns()
        return None if start_boot_ns is None else self._state.known((boot_ns - start_boot_ns) / NS_PER_S)


def _load(tables: Tables, *, sensor_no: int, uuid: UUID) -> Computed | None:
    """A session as the store has it; None if it does not have it yet."""
    session = next((s for s in tables.sessions.of_sensor(sensor_no) if s.uuid == uuid), None)
    if session is None:
        return None
    is_kept = wearers.kept(tables, session.no) is not None
    learnt = wearers.learnt_before(tables, session)
    records = wearers.records_with_lead_in(tables, session)
    computed = _computed(tables, learnt=learnt, records=records)
    return computed._replace(keep_no=None if is_kept else session.no)


def _computed(_: Tables, *, learnt: bytes | None, records: wearers.Records) -> Computed:
    return Computed(GlycaemiaState(learnt, records), None)
