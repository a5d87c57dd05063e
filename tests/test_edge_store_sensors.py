"""Devices keep their data, whatever the configuration calls them."""

from pathlib import Path
from uuid import UUID

import pytest
from edge_parts import in_transaction, minimal_config, open_store
from store_parts import begin, chunk

from edge.config import Config
from edge.store.door import Store, Tables
from edge.store.sensors import SensorRow, WornFrom
from edge.store.summaries import SummaryKey

STRAP, CGM, NEW = (f"A4:C1:38:00:00:0{n}" for n in (1, 2, 3))
SECOND_PERSON = '[[people]]\nid = "ben"\npseudonym = "p-other"\n[upstream]'


def register(store: Store, config: Config, boot_ns: int = 0) -> list[SensorRow]:
    return in_transaction(
        store,
        lambda tables: tables.sensors.register(config.sensors, config.people, boot_no=1, boot_ns=boot_ns),
    )


def give_data(store: Store) -> None:
    """Something came of both sensors."""

    def work(tables: Tables) -> None:
        tables.raw_chunks.append(chunk(0, 1))
        begin(tables)

    in_transaction(store, work)


def test_rows_come_in_the_order_of_the_configuration_and_stay(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    expected = [
        SensorRow(1, "strap", "heart_rate", STRAP, "p-7f3a", retired=False),
        SensorRow(2, "cgm", "cgm", CGM, "p-7f3a", retired=False),
    ]
    ((changes,),) = store.tables.database.read("SELECT total_changes()")
    assert register(store, config) == store.tables.sensors.all() == expected
    assert store.tables.sensors.get(2) == expected[1]
    # A start that finds everything as it was writes nothing.
    assert store.tables.database.read("SELECT total_changes()") == [(changes,)]
    store.close()


@pytest.mark.parametrize("wrong", ["address", "kind", "person"])
def test_what_was_written_wrong_can_be_corrected_while_nothing_came(tmp_path: Path, wrong: str) -> None:
    change = {
        "address": {CGM: NEW},
        "kind": {'kind = "cgm"': 'kind = "heart_rate"'},
        "person": {"[upstream]": SECOND_PERSON, f'"{CGM}"\nperson = "anna"': f'"{CGM}"\nperson = "ben"'},
    }[wrong]
    store = open_store(minimal_config(tmp_path, **change))
    in_transaction(store, lambda tables: tables.sensors.keep_trait(2, "rr_unit", "TICKS"))
    rows = register(store, minimal_config(tmp_path))
    assert rows == store.tables.sensors.all()
    assert rows[1] == SensorRow(2, "cgm", "cgm", CGM, "p-7f3a", retired=False)
    # What was learned was learned of another device.
    assert store.tables.sensors.trait(2, "rr_unit") is None
    store.close()


def test_a_replaced_sensor_is_retired_and_its_session_over(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    rows = register(store, minimal_config(tmp_path, **{CGM: NEW}))
    assert rows[1] == SensorRow(3, "cgm", "cgm", NEW, "p-7f3a", retired=False)
    assert store.tables.sensors.get(2) == SensorRow(2, "cgm", "cgm", CGM, "p-7f3a", retired=True)
    assert store.tables.sessions.current(2) is None
    assert [session.ended for session in store.tables.sessions.of_sensor(2)] == ["replaced"]
    store.close()


def test_two_people_with_one_sensor_after_the_other_never_share_it(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    rows = register(store, handed_on(tmp_path))
    assert (rows[1].no, rows[1].person) == (3, "p-other")
    assert store.tables.sessions.of_sensor(3) == []
    store.close()


def handed_on(directory: Path) -> Config:
    """The CGM is another person's now."""
    return minimal_config(
        directory, **{"[upstream]": SECOND_PERSON, f'"{CGM}"\nperson = "anna"': f'"{CGM}"\nperson = "ben"'}
    )


def test_the_moment_is_kept_at_which_a_sensor_goes_to_another_person(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    sensors = store.tables.sensors
    ben = register(store, handed_on(tmp_path), 1000)[1].no
    register(store, handed_on(tmp_path), 2000)  # another start
    assert (sensors.worn_from(2), sensors.worn_from(ben)) == (None, WornFrom(1, 1000))
    # Back again: what the sensor recorded meanwhile is ben's, so the session does not go on.
    assert register(store, minimal_config(tmp_path), 3000)[1].no == 2
    assert (sensors.worn_from(2), store.tables.sessions.current(2)) == (WornFrom(1, 3000), None)
    assert sensors.worn_from(1) is None
    store.close()


def test_a_sensor_that_nobody_else_had_meanwhile_is_its_wearers_still(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    config = handed_on(tmp_path)
    ben = register(store, config, 1000)[1].no
    in_transaction(store, lambda tables: begin(tables, sensor_no=ben))
    session = store.tables.sessions.current(ben)
    register(store, Config(**{**_fields(config), "sensors": config.sensors[:1]}), 2000)
    assert register(store, config, 3000)[1].no == ben
    assert store.tables.sensors.worn_from(ben) == WornFrom(1, 1000)
    assert store.tables.sessions.current(ben) == session
    store.close()


@pytest.mark.parametrize("has_data", [True, False])
def test_a_sensor_goes_to_another_person_even_if_it_was_taken_out_or_never_heard(
    tmp_path: Path, has_data: bool
) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    if has_data:
        give_data(store)
        register(store, Config(**{**_fields(config), "sensors": config.sensors[:1]}), 1000)
    row = register(store, handed_on(tmp_path), 2000)[1]
    assert row.no == (3 if has_data else 2)
    assert store.tables.sensors.worn_from(row.no) == WornFrom(1, 2000)
    store.close()


def test_what_the_configuration_drops_is_retired_and_goes_on_when_it_comes_back(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    in_transaction(store, lambda tables: tables.sensors.keep_trait(2, "key", "learned"))
    session = store.tables.sessions.current(2)
    cgm_alone = minimal_config(tmp_path)
    register(store, Config(**{**_fields(cgm_alone), "sensors": cgm_alone.sensors[:1]}))
    assert store.tables.sensors.get(2).retired
    assert [one.ended for one in store.tables.sessions.of_sensor(2)] == ["removed"]
    rows = register(store, minimal_config(tmp_path, **{'id = "cgm"': 'id = "arm"'}))
    assert rows[1] == SensorRow(2, "arm", "cgm", CGM, "p-7f3a", retired=False)
    assert store.tables.sessions.current(2) == session
    assert store.tables.sensors.trait(2, "key") == "learned"
    store.close()


def test_a_session_that_ended_by_itself_does_not_go_on(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    give_data(store)
    in_transaction(store, lambda tables: tables.sessions.end(1, "superseded"))
    register(store, Config(**{**_fields(config), "sensors": config.sensors[:1]}))
    register(store, config)
    assert store.tables.sessions.get(1).ended == "superseded"
    store.close()


def test_names_may_be_exchanged(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    exchanged = {'id = "cgm"': 'id = "x"', 'id = "strap"': 'id = "cgm"', 'id = "x"': 'id = "strap"'}
    rows = register(store, minimal_config(tmp_path, **exchanged))
    assert [(row.no, row.id, row.kind) for row in rows] == [(1, "cgm", "heart_rate"), (2, "strap", "cgm")]
    store.close()


def test_an_exchange_of_addresses_is_an_exchange_of_devices(tmp_path: Path) -> None:
    """The name whose device has data gets another; kinds and addresses make devices, names do not."""
    store = open_store(minimal_config(tmp_path))
    give_data(store)
    addresses = {STRAP: "A4:C1:38:00:00:09", CGM: STRAP}
    rows = register(store, minimal_config(tmp_path, **addresses))
    assert [row.no for row in rows] == [3, 4]
    assert [row.retired for row in store.tables.sensors.all()] == [True, True, False, False]
    rows = register(store, minimal_config(tmp_path))
    assert [row.no for row in rows] == [1, 2]
    store.close()


@pytest.mark.parametrize("came", ["chunk", "session", "summary"])
def test_whatever_came_of_a_device_keeps_its_number(tmp_path: Path, came: str) -> None:
    store = open_store(minimal_config(tmp_path))

    def work(tables: Tables) -> None:
        if came == "chunk":
            tables.raw_chunks.append(chunk(0, 1))
        elif came == "session":
            begin(tables, sensor_no=1)
        else:
            key = SummaryKey("heart_5min", 1, 0)
            tables.summaries.put(key, 300, UUID(int=1), {}, final=True)

    in_transaction(store, work)
    assert register(store, minimal_config(tmp_path, **{STRAP: NEW}))[0].no == 3
    store.close()


def _fields(config: Config) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__struct_fields__}
