"""A store of its own for every test, and the hands of a worker."""

import pytest

from optim.runs.store import RunStore
from tests.pages.worked import Worked


@pytest.fixture
def worked(own_home, monkeypatch):
    """A store and the hands of a worker."""
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    store = RunStore.open()
    yield Worked(store)
    store.database.close()
