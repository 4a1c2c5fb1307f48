"""Damaged files of every format end in a result or in a sentence, and in nothing else.

``make test`` tries a few hundred of them and ``make fuzz`` tens of thousands. ``OPTIM_FUZZ_CASES``
and ``OPTIM_FUZZ_SEED`` decide how many and which. A file that does harm is kept and shown.
"""

import base64
import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.fuzz.corpus import FORMATS, seeds
from tests.fuzz.mutators import damaged
from tests.fuzz.parser import Parser

CASES = int(os.environ.get("OPTIM_FUZZ_CASES", "504"))
SEED = int(os.environ.get("OPTIM_FUZZ_SEED", "0"))
MAX_SHOWN = 2_000
"""Characters of a harmful file that are shown; the whole file is kept."""

pytestmark = pytest.mark.timeout(0 if CASES > 1_000 else 300)


@pytest.fixture(scope="module")
def parser(tmp_path_factory):
    parser = Parser(tmp_path_factory.mktemp("fuzz") / "sandbox")
    yield parser
    parser.close()


def kept(case):
    """Keep a harmful file beyond the test and return where it is."""
    folder = (
        Path(tempfile.gettempdir()) / "optim-fuzz" / hashlib.sha256(case.content).hexdigest()[:12]
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / case.filename
    path.write_bytes(case.content)
    return path


def described(case, found):
    text, size = base64.b64encode(case.content).decode(), len(case.content)
    return "\n".join(
        [
            f"{found.kind} in {case.format} ({case.filename}): {found.text}",
            *found.where,
            f"kept as {kept(case)}",
            text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({size:,} bytes)",
        ]
    )


@pytest.mark.parametrize("name", FORMATS)
def test_valid_files_open(parser, name):
    for seed in seeds()[name]:
        found = parser.outcome(seed)
        assert found.kind == "result" or seed.kind == "data card", (seed.filename, found)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_end_in_a_result_or_a_sentence(parser, name):
    cases = -(-CASES // len(FORMATS))
    outcomes, findings = [], {}

    @seeded(SEED)
    @settings(
        max_examples=cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds()[name]).flatmap(damaged))
    def search(case):
        found = parser.outcome(case)
        outcomes.append(found.kind)
        if found.is_fault and found.key not in findings:
            findings[found.key] = described(case, found)

    search()
    counts = {kind: outcomes.count(kind) for kind in sorted(set(outcomes))}
    print(f"{name}: {len(outcomes)} cases with OPTIM_FUZZ_SEED={SEED}: {counts}")  # noqa: T201
    assert not findings, "\n\n".join([f"{len(findings)} findings: {counts}", *findings.values()])
    assert len(outcomes) >= cases
    assert "refused" in counts, "the damage is too slight"
    assert "result" in counts or cases < 100, "the damage is too heavy"
