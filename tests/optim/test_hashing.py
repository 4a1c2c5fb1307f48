"""Equal things have equal hashes, and nothing else has."""

import numpy as np
import pytest

from optim.hashing import digest, digest_arrays, digest_file


def test_hashes_are_stable_over_time():
    """Stored students and links go by them: a change here loses them all."""
    assert digest("a", 1, [2.5], {"b": None}) == "a04b78feb468b82ab8badc215043e111"


def test_order_of_keys_is_irrelevant_and_order_of_parts_is_not():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a", "b") != digest("b", "a")
    assert digest("ab") != digest("a", "b")
    assert digest(1) != digest("1")


def test_what_is_no_plain_data_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
    with pytest.raises(TypeError):
        digest({1, 2})


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(4, np.float64)},
        {"a": np.zeros((2, 2), np.float32)},
        {"b": np.zeros(4, np.float32)},
        {"a": np.zeros(4, np.float32) + 1},
        {"a": np.zeros(4, np.float32), "b": np.zeros(0, np.float32)},
        {},
    ],
)
def test_name_type_shape_and_values_of_arrays_count(other):
    assert digest_arrays({"a": np.zeros(4, np.float32)}) != digest_arrays(other)


def test_layout_in_memory_does_not():
    array = np.arange(12.0).reshape(3, 4)
    assert digest_arrays({"a": array}) == digest_arrays({"a": np.asfortranarray(array)})
    assert digest_arrays({"a": array[::2]}) == digest_arrays({"a": array[::2].copy()})


def test_a_file_is_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10_000_000)
    (tmp_path / "b").write_bytes(b"x" * 10_000_000)
    assert digest_file(tmp_path / "a") == digest_file(tmp_path / "b")
    assert len(digest_file(tmp_path / "a")) == len(digest())
