"""The parser notices everything that a file must not bring about."""

import pytest

from optim.data.readers import READERS
from optim.intake import ENDINGS
from tests.fuzz.corpus import FORMATS, Seed, seeds
from tests.fuzz.parser import FAULTS, Parser

EXPECTED = {
    "nothing": "result",
    "refusal": "refused",
    "error": "error",
    "exit": "crash",
    "signal": "crash",
    "hang": "hang",
    "memory": "memory",
    "write": "escape",
    "write far": "escape",
    "read": "escape",
    "start": "escape",
    "unpickle": "escape",
    "path": "message",
}


@pytest.fixture(scope="module")
def parser(tmp_path_factory):
    parser = Parser(tmp_path_factory.mktemp("faults") / "sandbox", processor_s=1)
    yield parser
    parser.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_what_must_not_happen_is_noticed_and_the_next_file_is_opened(parser, fault):
    found = parser.outcome(Seed("fault", "fault", "file", b"", {"fault": fault}))
    assert found.kind == EXPECTED[fault], found
    after = parser.outcome(Seed("fault", "fault", "file", b"", {"fault": "nothing"}))
    assert after.kind == "result"


SAME = {".ckpt": ".pt", ".bin": ".pt", ".tgz": ".tar.gz"}
"""Endings that are opened as others are."""


def test_every_file_that_can_be_uploaded_is_damaged():
    names = [seed.filename for name in FORMATS for seed in seeds()[name]]
    for ending in (SAME.get(e, e) for endings in ENDINGS.values() for e in endings):
        assert any(name.endswith(ending) for name in names), ending
    assert {name.partition("-")[0] for name in READERS} <= set(FORMATS)
