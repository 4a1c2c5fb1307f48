"""What the operator may set, and what is refused in one sentence."""

import pytest

from optim.access.settings import is_presentation, limits, retention_days
from optim.errors import ConfigError

VARIABLES = (
    "OPTIM_PRESENTATION",
    "OPTIM_MAX_UPLOADS",
    "OPTIM_MAX_UPLOADS_MB",
    "OPTIM_MAX_RUNS",
    "OPTIM_RETENTION_DAYS",
)


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_unless_something_is_set_uploads_are_kept_and_everybody_may_act():
    assert not is_presentation()
    assert retention_days() == 0
    assert min(limits().uploads, limits().upload_bytes, limits().runs) > 0


def test_what_is_set_holds(monkeypatch):
    values = ("1", "3", "7", "2", "30")
    for variable, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(variable, value)
    assert is_presentation()
    assert (limits().uploads, limits().upload_bytes, limits().runs) == (3, 7 * 10**6, 2)
    assert retention_days() == 30


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "٣", "9" * 12])
@pytest.mark.parametrize("variable", VARIABLES)
def test_anything_but_a_whole_number_is_refused_by_the_name_of_the_variable(
    monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable):
        (is_presentation(), limits(), retention_days())
