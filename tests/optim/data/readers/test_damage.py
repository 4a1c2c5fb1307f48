"""Valid files with bytes changed, taken out and put in: opened, or refused in a sentence."""

import gzip
import random

import pytest

from optim.data import open_data
from optim.data.readers._pickled import read_pickled
from optim.errors import OptimError
from tests.optim.data.readers.test_cifar import labels, pixels, python2
from tests.optim.data.readers.test_formats import LONE, X, idx

FILES = {name: content for files in LONE.values() for name, content in files.items()}
FILES["images-idx3-ubyte.gz"] = gzip.compress(idx(X))
CASES = 60


def damaged(content, rng):
    """Return a file with a few bytes changed, most of them in its head."""
    raw = bytearray(content)
    for _ in range(rng.choice([1, 2, 4, 16])):
        at = rng.randrange(len(raw) if rng.random() < 0.5 else min(len(raw), 200))
        what = rng.random()
        if what < 0.6:
            raw[at] = rng.randrange(256)
        elif what < 0.75:
            raw[at:at] = rng.randbytes(rng.randrange(9))
        elif what < 0.9:
            del raw[at : at + rng.randrange(1, 30)]
        else:
            raw[at : at + 4] = rng.choice([b"\xff\xff\xff\x7f", bytes(4), b"\xff\xff\xff\xff"])
        raw = raw or bytearray(b"x")
    return bytes(raw)


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_opened_or_refused(tmp_path, own_cache, name):
    rng, path, said = random.Random(name), tmp_path / name, []
    for _ in range(CASES):
        path.write_bytes(damaged(FILES[name], rng))
        try:
            data = open_data(path)
            for part in data.parts:
                data.load(part)
        except OptimError as error:
            said.append(str(error))
    assert said
    assert [text for text in said if str(tmp_path) in text] == []


def test_damaged_pickle_is_read_or_refused():
    rng, said = random.Random(0), []
    good = python2({b"data": pixels(1), b"labels": labels(9), b"names": [b"a", b"b"]})
    for _ in range(10 * CASES):
        try:
            read_pickled(damaged(good, rng))
        except ValueError as error:
            said.append(str(error))
    assert len(said) > CASES
    assert [text for text in said if not text.startswith("it ")] == []
