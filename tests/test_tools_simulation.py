"""The simulated home that a configuration describes."""

from pathlib import Path

import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from simulated_gateway import CGM, configured

from hw_sim.air import Air
from hw_sim.central import PasskeyProvider, open_central
from hw_sim.clock import run
from tools.simulation import build_home, passkeys
from tools.worn import Worn

OTHER_CGM = "F0:00:00:00:00:03"
MORE = f"""passkey = 123456
[[sensors]]
id = "other-cgm"
kind = "cgm"
address = "{OTHER_CGM}"
passkey = 654321
"""


def test_each_glucose_sensor_has_the_passkey_printed_on_it(tmp_path: Path) -> None:
    config = configured(tmp_path, "cgm", more=MORE)

    async def pair_both(typed: PasskeyProvider) -> None:
        air = Air()
        home = build_home(air, config, Worn(None, None, None, None), begin_s=0.0, duration_s=60.0, seed=0)
        await home.start()
        central = await open_central(air, bonds=None, passkey=typed)
        for address in (CGM, OTHER_CGM):
            async with BleakClient(address, backend=central.client_backend) as client:
                await client.pair()
        await home.stop()

    run(pair_both(passkeys(config)))
    with pytest.raises(BleakError):
        run(pair_both(lambda _: 123_456))
