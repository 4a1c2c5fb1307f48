"""A store with what two people have in it, made without opening a file."""

import json

import pytest

from optim.export.downloads import keep_export
from optim.runs.artefacts import keep
from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.store import RunStore
from optim.storage import cache_home, card_file, write_atomic
from optim.stored import students_home


@pytest.fixture
def store(own_home, monkeypatch):
    """An empty store."""
    for name in ("OPTIM_STORE", "OPTIM_FILES", "OPTIM_RETENTION_DAYS"):
        monkeypatch.delenv(name, raising=False)
    store = RunStore.open()
    yield store
    store.database.close()


class Hands:
    """Gives somebody things, as the server does.

    Args:
        store: Where runs go.
    """

    def __init__(self, store):
        self.store = store

    def model(self, name, owner, size=100, data="digits"):
        path = card_file("models", name)
        write_atomic(path.with_suffix(".safetensors"), bytes(size))
        card = {"title": name, "data": data, "architecture": {}, "params": 1, "macs": 1}
        write_atomic(path, json.dumps({**card, "listed": False, "owner": owner}).encode())

    def data(self, name, owner, size=100):
        path = card_file("data", name)
        write_atomic(path.with_suffix(".zip"), bytes(size))
        card = {"name": name, "title": name, "input_shape": [3], "n_classes": 2, "listed": False}
        card |= {"path": str(path.with_suffix(".zip")), "owner": owner}
        write_atomic(path, json.dumps(card).encode())
        write_atomic(cache_home() / "data" / f"decoded-{name}" / "all.npy", bytes(size))

    def waiting(self, owner):
        return self.store.submit("recipe", {}, title=owner, owner=owner)

    def run(self, owner, *, student="", content=b"shared"):
        run = self.waiting(owner)
        queue = Queue(self.store)
        active = next(found for found in queue.active() if found.id == run.id)
        lease = Lease(self.store, run.id, queue.take(active, "here:1:1:1"))
        lease.artefact(keep(self.store.kept, "shared", content))
        lease.artefact(keep(self.store.kept, "own", run.id.encode()))
        if student:
            write_atomic(students_home() / f"{student}.safetensors", bytes(50))
            lease.student(owner, student)
        lease.finish({})
        return self.store.get(run.id)

    def export(self, owner, content=b"file"):
        return keep_export(content, "model.onnx", owner)


@pytest.fixture
def give(store):
    """Give somebody things."""
    return Hands(store)
