"""The cache of decoded and generated data stays within its limit."""

import os

from optim.data import dataset
from optim.data.dataset import Samples, cached_part


def test_data_unused_for_longest_leave_the_cache_first(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setenv("OPTIM_HOME", str(tmp_path))
    monkeypatch.setattr(dataset, "CACHE_BYTES", 25_000)

    def make():
        return Samples(np.zeros((10, 1000), np.uint8), np.zeros(10, np.int64), np.arange(10))

    folder = tmp_path / "cache" / "data"
    for i, identity in enumerate(("a", "b", "c")):
        cached_part(identity, "train", make)
        os.utime(folder / identity, (i, i))
    assert sorted(p.name for p in folder.iterdir()) == ["b", "c"]
