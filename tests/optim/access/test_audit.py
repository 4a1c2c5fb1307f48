"""The audit log: only added to, whole lines, no contents."""

import json
import threading

import pytest

from optim.access import audit
from optim.access.audit import entries, record
from optim.storage import store_home


@pytest.fixture(autouse=True)
def _own(own_home):
    return own_home


def test_a_line_says_when_who_what_and_which_content():
    record("user-1", "uploaded", "abcd", kind="model", bytes=12)
    (found,) = entries()
    assert found.pop("at").endswith("+00:00")
    assert found == {
        "who": "user-1",
        "what": "uploaded",
        "hash": "abcd",
        "kind": "model",
        "bytes": 12,
    }


def test_only_known_actions_are_written():
    with pytest.raises(AssertionError):
        record("user-1", "looked around")


def test_lines_of_many_writers_are_never_mixed():
    def write(who):
        for i in range(100):
            record(who, "ran", run=f"{i}" * 20)

    threads = [threading.Thread(target=write, args=(f"user-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(entries())) == 400


def test_a_large_file_is_put_aside_and_still_read_first(monkeypatch):
    monkeypatch.setattr(audit, "_FILE_BYTES", 300)
    for i in range(12):
        record("user-1", "ran", run=str(i))
    folder = store_home() / "audit"
    assert len(list(folder.iterdir())) > 2
    assert all(path.stat().st_size < 600 for path in folder.iterdir())
    assert sorted(int(entry["run"]) for entry in entries()) == list(range(12))


def test_a_line_cut_short_by_a_crash_is_left_out(caplog):
    record("user-1", "ran")
    path = store_home() / "audit" / "audit.jsonl"
    path.write_text(path.read_text() + '{"at": "2026')
    assert [entry["what"] for entry in entries()] == ["ran"]
    assert "cannot be read" in caplog.text


def test_a_log_that_cannot_be_written_is_reported_and_stops_nobody(caplog):
    store_home().mkdir(parents=True)
    (store_home() / "audit").write_text("no folder")
    record("user-1", "deleted", "abcd")
    assert "not in the audit log" in caplog.text
    assert json.loads(caplog.messages[-1].split(": ", 1)[1])["hash"] == "abcd"
