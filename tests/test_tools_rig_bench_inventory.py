"""tools.rig.bench.inventory: what a file says that lies on a bench, and what is wrong with it."""

from pathlib import Path

import pytest

from edge.errors import ConfigError
from tools.rig.bench.inventory import Inventory, load, parse

FULL = """
leases = "shared/leases"

[[dongles]]
id = "nrf-1"
transport = "serial:/dev/ttyACM0,1000000"

[[dongles]]
id = "csr"
transport = "usb:0"

[[gateways]]
id = "pi"
config = "pi.toml"
state_dir = "forwarded/pi"
bundles = "/srv/bundles"
start = ["ssh", "pi", "sudo systemctl start vitalgate"]
stop = ["ssh", "pi", "sudo systemctl stop vitalgate"]

[[gateways]]
id = "desk"
config = "/etc/vitalgate/gateway.toml"
"""


def read(text: str) -> Inventory:
    return parse(text.encode(), Path("lab/bench.toml"))


def test_paths_are_relative_to_the_file() -> None:
    inventory = read(FULL)
    pi, desk = inventory.gateways
    assert inventory.leases == Path("lab/shared/leases")
    assert (pi.config, pi.state_dir, pi.bundles) == (
        Path("lab/pi.toml"),
        Path("lab/forwarded/pi"),
        Path("/srv/bundles"),
    )
    assert (desk.config, desk.state_dir) == (Path("/etc/vitalgate/gateway.toml"), None)
    assert [one.transport for one in inventory.dongles] == ["serial:/dev/ttyACM0,1000000", "usb:0"]


def test_a_gateway_is_chosen_by_its_name_or_is_the_only_one() -> None:
    inventory = read(FULL)
    assert inventory.gateway("desk").id == "desk"
    for name, cause in ((None, "there are several"), ("mars", "there is no gateway 'mars'")):
        with pytest.raises(ConfigError, match=f"{cause}.*use one of: pi, desk"):
            inventory.gateway(name)
    alone = read('[[gateways]]\nid = "pi"\nconfig = "pi.toml"')
    assert alone.gateway(None).id == "pi"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"bench.toml: gateways: there is no gateway to test; add a section \[\[gateways\]\]"),
        ("[[gateways]]\nid = 'pi'", "config"),
        ("[[gateways]]\nid = 'a b'\nconfig = 'x'", "letters, digits"),
        ("[[gateways]]\nid = 'pi'\nconfig = 7", "not a path"),
        ("[[gateways]]\nid = 'pi'\nconfig = 'x'\nstart = []", 'like ."systemctl"'),
        ("[[gateways]]\nid = 'pi'\nconfig = 'x'\ncolour = 'red'", "colour"),
        (
            "[[gateways]]\nid = 'pi'\nconfig = 'x'\nstart = ['x']",
            r"gateways\[0\]: it can be started, and not",
        ),
        ("[[dongles]]\nid = 'a'\ntransport = 'bluetooth'", 'like "usb:0"'),
        ("[[dongles]]\nid = 'a'\ntransport = 'vhci:'", "where its HCI is"),
        (FULL + "[[gateways]]\nid = 'pi'\nconfig = 'x'", "gateways: two have the id 'pi'"),
        (FULL + "[[dongles]]\nid = 'csr'\ntransport = 'usb:1'", "dongles: two have the id 'csr'"),
        (FULL + "[[dongles]]\nid = 'x'\ntransport = 'usb:0'", "dongles: two have the transport 'usb:0'"),
        ("[[dongles]\n", "bench.toml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    assert "lab/bench.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "bench.toml")
