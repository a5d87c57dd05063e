"""The phones and servers that the feeds of a configuration would ask, simulated where the gateway is.

Contract: whoever has these feeds sends nothing to the addresses that the configuration names, and no secret leaves the
process. Each server is what the feed's address and secret make likeliest, and takes that secret. All tell what one
wearer's glucose sensor measures from now on, which is what a simulated CGM measures that is put on at the same moment.
A server that is away goes on collecting.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final
from urllib.parse import urlsplit

from edge.config import SensorConfig
from edge.feeds import servers
from edge.feeds.client import Web
from edge.feeds.servers import Server
from hw_sim import recordings
from hw_sim.followers.answering import Follower
from hw_sim.followers.carrying import Coming, Network
from hw_sim.followers.diary import Diary, Uploader
from hw_sim.followers.nightscout import Nightscout
from hw_sim.followers.phone import Phone
from hw_sim.physiology.glucose import GlucoseBody
from tools.rig.home.recordings import DemoRecordings

# So old is the first measurement when the gateway begins: it has come by then.
FIRST_S: Final = 10.0
_PHONE: Final = (Uploader("xDrip-DexcomG5"),)


class SimulatedFeeds:
    """The servers of one home, whose wearer begins to be measured now."""

    def __init__(self, worn: DemoRecordings, utc_s: Callable[[], float], seed: int = 0) -> None:
        self._diary = Diary()
        self._utc_s = utc_s
        self._begin_utc_s = utc_s() - FIRST_S
        self._readings = GlucoseBody(seed) if worn.glucose is None else recordings.repeat_days(worn.glucose)
        self._next = next(self._readings)
        self._servers: dict[str, Follower] = {}
        self.away: set[str] = set()

    @property
    def measured(self) -> dict[int, float]:
        """What is true: mg/dL by second of UTC, until now."""
        self._measured()
        return self._diary.truth

    def web(self, sensor: SensorConfig) -> Web:
        """The way to one feed, as long as it is not `away`."""
        parts, root = urlsplit(sensor.address), servers.base(sensor.address)
        follower = self._servers.setdefault(sensor.id, self._server(sensor))
        there, nowhere = Network({parts.netloc: follower}), Network({})
        server = f"{parts.scheme}://{parts.netloc}"

        def way(url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Coming]:
            network = nowhere if sensor.id in self.away else there
            return network.open(server + url.removeprefix(root), headers)

        return way

    def _server(self, sensor: SensorConfig) -> Follower:
        likeliest = servers.candidates(sensor.address, sensor.secret)[0]
        server = Server(sensor.server) if sensor.server else likeliest
        if server in servers.PHONES:
            is_juggluco = server is Server.JUGGLUCO
            return Phone(self._diary, self._measured, sensor.secret, is_juggluco=is_juggluco)
        return Nightscout(self._diary, self._measured, secret=sensor.secret, token=sensor.secret)

    def _measured(self) -> float:
        """The time. What the sensor has measured until then is in the diary."""
        now_utc_s = self._utc_s()
        while self._begin_utc_s + self._next[0] <= now_utc_s:
            at_s, glucose_mg_dl = self._next
            self._diary.measure(self._begin_utc_s + at_s, round(glucose_mg_dl), _PHONE)
            self._next = next(self._readings)
        return now_utc_s
