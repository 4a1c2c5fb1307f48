"""Limits of an owner: up to them all is well, beyond them a sentence says what to do."""

import pytest

from optim.belongings.quota import check_run, check_size, check_upload
from optim.errors import AccessError


@pytest.fixture
def most(monkeypatch):
    """Set limits."""

    def set_(uploads=0, megabytes=0, runs=0):
        monkeypatch.setenv("OPTIM_MAX_UPLOADS", str(uploads))
        monkeypatch.setenv("OPTIM_MAX_UPLOADS_MB", str(megabytes))
        monkeypatch.setenv("OPTIM_MAX_RUNS", str(runs))

    return set_


def test_as_many_uploads_as_allowed_and_no_more(give, store, most):
    most(uploads=2)
    check_upload("ann", store, 10, 10)
    with pytest.raises(AccessError, match="0 models and data sets here, and 2 is the most"):
        check_upload("ann", store, 10, 10, 10)
    give.model("my-a", "ann")
    give.data("my-b", "ann")
    with pytest.raises(AccessError, match="2 is the most") as caught:
        check_upload("ann", store, 10)
    assert "My data" in caught.value.hint
    check_upload("bob", store, 10)


def test_bytes_are_counted_together(give, store, most):
    most(megabytes=1)
    give.model("my-a", "ann", size=700_000)
    check_upload("ann", store, 200_000)
    with pytest.raises(AccessError, match="1 MB is the most"):
        check_upload("ann", store, 200_000, 200_000)
    check_upload("bob", store, 900_000)


def test_runs_that_wait_are_counted_and_those_that_ended_are_not(give, store, most):
    most(runs=2)
    give.run("ann")
    first = give.waiting("ann")
    check_run("ann", store)
    give.waiting("ann")
    with pytest.raises(AccessError, match="2 of your runs wait or run, and 2 is the most"):
        check_run("ann", store)
    check_run("bob", store)
    store.cancel(first.id)
    check_run("ann", store)


def test_a_file_may_be_as_large_as_allowed_and_no_larger():
    check_size(2**20, 2**20)
    with pytest.raises(AccessError, match=r"has 2\.0 MB, and 1 MB is the most"):
        check_size(2 * 2**20, 2**20)


def test_zero_is_no_limit(give, store, most):
    most()
    for i in range(4):
        give.model(f"my-{i}", "ann", size=600_000)
        give.waiting("ann")
    check_upload("ann", store, 10**9)
    check_run("ann", store)
