"""The keys of feeds, and of sensors that name others."""

from pathlib import Path

import pytest
from feed_world import config_of, sensor

from edge.config_sensors import is_public
from edge.errors import ConfigError

STRAP = sensor("strap", "heart_rate", "A4:C1:38:00:00:01")
ARM = sensor("arm", "aidex", "LinX-22222DXJ9C")


@pytest.mark.parametrize(
    ("address", "more", "words"),
    [
        ("http://8.8.8.8", "", "public and has no https"),
        ("http://[2001:4860:4860::8888]", "", "public and has no https"),
        ("http://anna:hush@night.lan", "", "the password or token as `secret`"),
        ("http://night.lan?token=hush", "", "the password or token as `secret`"),
        ("http://anna:hush@[", "", "the password or token as `secret`"),
        ("https://[", "", "does not fit the kind"),
        ("ftp://night.lan", "", "does not fit the kind"),
        ("http://night.lan:99999", "", "no port"),
        ("http://night..lan", "", "no host"),
        ("http://" + 64 * "n", "", "no host"),
        ("http://[::ffff:8.8.8.8]", "", "public and has no https"),
        ("https://night.lan", 'heart_from = "strap"', "in this network"),
        ("http://night.lan", 'heart_from = "other"', "another sensor that anna wears"),
        ("http://night.lan", 'same_as = "phone"', "another sensor that anna wears"),
        ("http://night.lan", 'same_as = "strap"', "'strap', which does not measure glucose; use"),
        ("http://night.lan", 'heart_from = "arm"', "'arm', which does not measure heart rate; use"),
        ("http://night.lan", 'passkey = "012345"', "passkey is not for the kind 'sgv'"),
        ("http://night.lan", 'same_as = "strap"\nanother_sensor = true', "contradict"),
        ("http://night.lan", "secret = 5", "not a secret"),
        ("http://night.lan", 'secret = "hush\\u0007"', "not a secret"),
        ("http://night.lan", 'server = "dexcom"', "nightscout v3"),
    ],
)
def test_what_contradicts_is_refused_and_secrets_are_not_shown(
    address: str, more: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        config_of(tmp_path, STRAP, ARM, sensor(address=address, more=more))
    assert words in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "more"),
    [
        ("http://8.8.8.8", "allow_plain_http = true"),
        ("https://8.8.8.8", ""),
        ("http://[fd00::1]:17580/", ""),
        ("http://phone.local:17580", 'heart_from = "strap"\nserver = "xdrip"'),
        ("https://night.example.org/anna/api/v3", 'secret = "reader-0123456789abcdef"'),
    ],
)
def test_what_people_have_is_taken(address: str, more: str, tmp_path: Path) -> None:
    found = config_of(tmp_path, STRAP, sensor(address=address, more=more)).sensors[1]
    assert found.address == address
    assert "0123456789abcdef" not in repr(found)


def test_a_device_of_two_people_is_refused_with_what_is_possible(tmp_path: Path) -> None:
    cuff = sensor("cuff", "blood_pressure", "A4:C1:38:00:00:03", "user = 1")
    other = sensor("cuff2", "blood_pressure", "A4:C1:38:00:00:03", "user = 2").replace('"anna"', '"bert"')
    bert = '[[people]]\nid = "bert"\npseudonym = "patient-2"\n'
    with pytest.raises(ConfigError) as refused:
        config_of(tmp_path, cuff, other, bert)
    said = str(refused.value)
    assert "cuff and cuff2 have the same address, but are of anna and bert" in said
    assert "set user to the number that its person has on it" in said
    assert config_of(tmp_path, cuff, bert).sensors[0].user == 1


def test_keys_of_feeds_are_for_feeds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secret is not for the kind 'heart_rate', but for: sgv; remove"):
        config_of(tmp_path, sensor("strap", "heart_rate", "A4:C1:38:00:00:01", 'secret = "x"'))


def test_what_is_public() -> None:
    assert [is_public(host) for host in ("8.8.8.8", "10.0.0.1", "127.0.0.1", "fe80::1", "night.lan")] == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_url_is_not_repeated_where_another_address_belongs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use the kind sgv") as refused:
        config_of(tmp_path, sensor("strap", "heart_rate", "https://night.lan/hush"))
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("aidex", "LinX-22222DXJ9C", "22222DXJ9C"),
        ("aidex", "LinX-22222DXJ9C", "AiDEX X-22222dxj9c"),
        ("sgv", "http://night.lan", "http://night.lan/"),
    ],
)
def test_one_device_under_two_names_is_refused(kind: str, one: str, other: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a and b have the same address"):
        config_of(tmp_path, sensor("a", kind, one), sensor("b", kind, other))
