"""Whose an advertisement is, and whether it is news."""

import pytest
from bleak.backends.scanner import AdvertisementData

from edge.config_sensors import serial_of
from edge.kinds import FoundBy
from edge.radio.advertisements import NEW_AT_ONCE, RECENT_MAX, News, Sought, parts

PART = "company 0059"


def test_parts_are_named_by_company_and_uuid() -> None:
    uuid = "0000181d-0000-1000-8000-00805f9b34fb"
    data = AdvertisementData(None, {0x59: b"\1", 0x157: b"\2"}, {uuid: b"\3"}, [uuid], None, -50, ())
    assert list(parts(data)) == [("company 0059", b"\1"), ("company 0157", b"\2"), (uuid, b"\3")]


@pytest.mark.parametrize("name", ["LinX-22222DXJ9C", "AiDEX X-22222dxj9c", "22222DXJ9C", "Vista-22222DXJ9C "])
def test_the_serial_number_is_at_the_end_of_the_name_whatever_the_brand(name: str) -> None:
    assert serial_of(name) == "22222DXJ9C"
    assert Sought(FoundBy.SERIAL, "LinX-22222DXJ9C").is_it("C4:00:00:00:00:01", name)


@pytest.mark.parametrize("name", [None, "", "LinX-22222DXJ9D", "22222DXJ9C-LinX", "LinX-222"])
def test_another_serial_number_is_another_sensor(name: str | None) -> None:
    assert not Sought(FoundBy.SERIAL, "LinX-22222DXJ9C").is_it("C4:00:00:00:00:01", name)


def test_who_is_found_by_its_address_may_have_any_name() -> None:
    sought = Sought(FoundBy.ADDRESS, "C4:00:00:00:00:0A")
    assert sought.is_it("c4:00:00:00:00:0a", None)
    assert not sought.is_it("C4:00:00:00:00:0B", "C4:00:00:00:00:0A")


def test_a_payload_is_news_once_and_parts_are_told_apart() -> None:
    news = News()
    assert [news.is_new(PART, b"1", t) for t in (0.0, 1.0, 60.0)] == [True, False, False]
    assert news.is_new(PART, b"2", 61.0)
    assert not news.is_new(PART, b"1", 62.0)
    assert news.is_new("other", b"1", 63.0)
    assert news.refused == 0


def test_more_than_any_sensor_sends_is_refused_and_costs_no_memory() -> None:
    news = News()
    taken = sum(news.is_new(PART, number.to_bytes(4, "little"), number / 10_000) for number in range(100_000))
    # A few at once, then one a second.
    assert taken == pytest.approx(NEW_AT_ONCE + 10, abs=1)
    assert news.refused == 100_000 - taken
    assert len(news._recent) <= RECENT_MAX


def test_after_a_flood_the_next_payload_is_taken() -> None:
    news = News()
    for number in range(1000):
        news.is_new(PART, number.to_bytes(4, "little"), 0.0)
    assert not news.is_new(PART, b"real", 0.5)
    assert news.is_new(PART, b"real", 1.6)
