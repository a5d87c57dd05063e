"""A period waits once: for the earliest of what was asked, and to be computed rather than only looked at."""

from hypothesis import given
from hypothesis import strategies as st

from edge.history.due import Due, Waiting
from edge.store.summaries import SummaryKey

KEYS = [SummaryKey("heart_5min", sensor_no, start) for sensor_no in (1, 2) for start in (0, 300)]


def test_what_is_marked_stays_marked_and_what_is_awaited_becomes_marked() -> None:
    due = Due()
    key = KEYS[0]
    due.wait(key, Waiting(50, is_awaited=True))
    assert (due.is_marked(key), due.awaited_of(1), due.awaited_of(2)) == (False, [key], [])
    due.wait(key, Waiting(90, is_awaited=False))
    assert (due.is_marked(key), due.awaited_of(1), due.earliest_utc_s) == (True, [], 90)
    due.wait(key, Waiting(10, is_awaited=True))
    due.wait(key, Waiting(95, is_awaited=False))
    assert due.earliest_utc_s == 90
    assert due.pop(89) is None
    assert due.pop(90) == (key, Waiting(90, is_awaited=False))
    assert (len(due), due.earliest_utc_s, due.pop(1000), due.is_marked(key)) == (0, None, None, False)


ASKED = st.tuples(st.sampled_from(KEYS), st.integers(0, 9), st.booleans())


@given(st.lists(st.one_of(ASKED, st.integers(0, 9)), max_size=40))
def test_any_order_of_asking_and_taking(events: list[tuple[SummaryKey, int, bool] | int]) -> None:
    due, model = Due(), dict[SummaryKey, Waiting]()
    for event in events:
        if isinstance(event, int):
            taken = due.pop(event)
            ready = {key: waiting for key, waiting in model.items() if waiting.due_utc_s <= event}
            assert (taken is None) is not bool(ready)
            if taken is not None:
                assert taken in ready.items()
                assert taken[1].due_utc_s == min(waiting.due_utc_s for waiting in ready.values())
                del model[taken[0]]
        else:
            key, due_utc_s, is_awaited = event
            due.wait(key, Waiting(due_utc_s, is_awaited))
            known = model.get(key)
            if known is None or known.is_awaited > is_awaited:
                model[key] = Waiting(due_utc_s, is_awaited)
            elif known.is_awaited == is_awaited:
                model[key] = Waiting(min(due_utc_s, known.due_utc_s), is_awaited)
        assert len(due) == len(model)
        assert due.earliest_utc_s == min((waiting.due_utc_s for waiting in model.values()), default=None)
        assert {key for key in KEYS if due.is_marked(key)} == {
            k for k, w in model.items() if not w.is_awaited
        }
