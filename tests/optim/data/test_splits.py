"""Which samples select, which report, and what a model may have seen."""

import numpy as np
import pytest

from optim.data import (
    overlap,
    part_hash,
    stratified_order,
    stratified_split,
    trained_on,
    with_validation,
)
from optim.errors import ConfigError, DataError


def test_split_holds_every_row_once():
    targets = np.array([0, 0, 1, 1, 1, 2] * 10)
    pieces = stratified_split(targets, (0.6, 0.2, 0.2), seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), np.arange(60))


def test_split_gives_every_class_its_share():
    targets = np.array([0] * 100 + [1] * 50)
    train, rest = stratified_split(targets, (0.9, 0.1), seed=0)
    assert np.bincount(targets[train]).tolist() == [90, 45]
    assert np.bincount(targets[rest]).tolist() == [10, 5]


def test_split_depends_on_the_seed_alone():
    targets = np.arange(100) % 2
    first, again, other = (stratified_split(targets, (0.5, 0.5), seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_prefix_of_the_stratified_order_has_nearly_the_class_shares():
    targets = np.array([0] * 300 + [1] * 100)
    order = stratified_order(targets, seed=0)
    np.testing.assert_array_equal(np.sort(order), np.arange(400))
    for n in (4, 40, 200):
        assert abs(np.sum(targets[order[:n]] == 1) - n / 4) <= 1


def test_part_hash_names_differ_by_data_part_and_seed():
    names = {
        part_hash("a", "train"),
        part_hash("b", "train"),
        part_hash("a", "test"),
        part_hash("a", "train", 0),
        part_hash("a", "train", 1),
    }
    assert len(names) == 5


def test_data_with_validation_is_returned_unchanged(dataset):
    data = dataset(train=20, validation=10, test=10)
    assert with_validation(data, seen=None, policy="test") is data


def test_unsplit_data_is_returned_unchanged(dataset):
    data = dataset(all=20)
    assert with_validation(data, seen=None, policy="train") is data


def test_train_policy_carves_a_tenth_of_train(dataset):
    data = with_validation(dataset(train=200, test=40), seen=None, policy="train")
    assert list(data.parts.items()) == [("train", 180), ("validation", 20), ("test", 40)]


def test_test_policy_halves_test(dataset):
    data = with_validation(dataset(train=200, test=40), seen=None, policy="test")
    assert list(data.parts.items()) == [("train", 200), ("validation", 20), ("test", 20)]


@pytest.mark.parametrize(("policy", "source"), [("train", "train"), ("test", "test")])
def test_validation_and_what_is_left_are_exact_complements(dataset, policy, source):
    before = dataset(train=200, test=40)
    after = with_validation(before, seen=None, policy=policy, seed=3)
    ids = np.concatenate([after.part("validation").ids, after.part(source).ids])
    np.testing.assert_array_equal(np.sort(ids), before.part(source).ids)


@pytest.mark.parametrize("policy", ["train", "test"])
def test_sample_ids_stay_with_their_samples(dataset, policy):
    data = with_validation(dataset(train=200, test=40), seen=None, policy=policy)
    for part in data.parts:
        np.testing.assert_array_equal(data.part(part).inputs[:, 0], data.part(part).ids)


@pytest.mark.parametrize("policy", ["train", "test"])
def test_sizes_and_targets_are_those_of_the_loaded_parts(dataset, policy):
    data = with_validation(dataset(train=200, test=40), seen=None, policy=policy)
    targets = {part: data.targets(part) for part in data.parts}
    for part, size in data.parts.items():
        assert len(data.part(part)) == size
        np.testing.assert_array_equal(targets[part], data.part(part).targets)


@pytest.mark.parametrize("policy", ["train", "test"])
def test_validation_is_balanced_like_its_source(dataset, policy):
    data = with_validation(dataset(train=200, test=40), seen=None, policy=policy)
    assert np.bincount(data.part("validation").targets).tolist() == [10, 10]


def test_hash_tells_policy_and_seed_apart(dataset):
    data = dataset(train=200, test=40)
    hashes = {
        with_validation(data, seen=None, policy=policy, seed=seed).hash
        for policy in ("train", "test")
        for seed in (0, 1)
    }
    assert len(hashes | {data.hash}) == 5


def test_hash_is_that_of_what_auto_decided(dataset):
    data = dataset(train=200, test=40)
    auto = with_validation(data, seen=None, policy="auto")
    assert auto.hash == with_validation(data, seen=None, policy="test").hash


@pytest.mark.parametrize(
    ("policy", "note"),
    [
        ("train", "Validation: 20 of the 200 train samples, drawn by class with seed 7."),
        ("test", "Validation and test: the 40 test samples, halved by class with seed 7."),
    ],
)
def test_note_says_how_it_was_split(dataset, policy, note):
    data = with_validation(dataset(train=200, test=40), seen=None, policy=policy, seed=7)
    assert data.notes == ("Made up.", note)


SEEN = {
    "unknown": (None, "test"),
    "untrained": ((), "train"),
    "other data": ((part_hash("other", "train"),), "train"),
    "the whole train part": ((part_hash("5eed", "train"),), "test"),
    "train carved with this seed": ((part_hash("5eed", "train", 0),), "train"),
    "train carved with another seed": ((part_hash("5eed", "train", 1),), "test"),
    "other data, then the whole train part": (
        (part_hash("other", "train"), part_hash("5eed", "train")),
        "test",
    ),
}


@pytest.mark.parametrize(("seen", "carved_from"), SEEN.values(), ids=SEEN)
def test_auto_carves_from_train_only_what_the_model_has_certainly_not_seen(
    dataset, seen, carved_from
):
    data = dataset(train=200, test=40)
    auto = with_validation(data, seen=seen, policy="auto", seed=0)
    assert auto.hash == with_validation(data, seen=seen, policy=carved_from, seed=0).hash


def test_auto_halves_test_where_train_is_too_small_and_seen(dataset):
    data = dataset(train=2, test=40)
    assert with_validation(data, seen=None).parts["validation"] == 20


def test_too_few_samples_to_split_are_refused(dataset):
    with pytest.raises(DataError, match="its validation part would be empty"):
        with_validation(dataset(train=4, test=40), seen=None, policy="train")


def test_unknown_policy_is_refused(dataset):
    with pytest.raises(ConfigError, match="policy must be one of auto, train, test"):
        with_validation(dataset(train=200, test=40), seen=None, policy="half")


def test_overlap_is_unknown_for_a_model_of_unknown_training(dataset):
    assert overlap(dataset(train=20, validation=10, test=10), "validation", None) == "unknown"


def test_part_that_was_trained_on_is_seen(dataset):
    data = dataset(train=20, validation=10, test=10)
    assert overlap(data, "train", trained_on(data)) == "seen"


@pytest.mark.parametrize("part", ["validation", "test"])
def test_other_parts_of_the_data_trained_on_are_unseen(dataset, part):
    data = dataset(train=20, validation=10, test=10)
    assert overlap(data, part, trained_on(data)) == "unseen"


OVERLAPS = {
    "train, by itself": ("train", "train", 0, "seen"),
    "validation, by train carved with this seed": ("train", "validation", 0, "unseen"),
    "validation, by train carved with another seed": ("train", "validation", 1, "seen"),
    "test, by carved train": ("train", "test", 0, "unseen"),
    "half of test, by train": ("test", "validation", 0, "unseen"),
}


@pytest.mark.parametrize(("policy", "part", "seed", "expected"), OVERLAPS.values(), ids=OVERLAPS)
def test_overlap_after_training_on_a_split(dataset, policy, part, seed, expected):
    source = dataset(train=200, test=40)
    trained = with_validation(source, seen=(), policy=policy, seed=seed)
    measured = with_validation(source, seen=(), policy=policy, seed=0)
    assert overlap(measured, part, trained_on(trained)) == expected


@pytest.mark.parametrize("part", ["validation", "test"])
def test_both_halves_of_a_test_part_that_was_trained_on_are_seen(dataset, part):
    source = dataset(train=200, test=40)
    halves = with_validation(source, seen=None, policy="test")
    assert overlap(halves, part, (part_hash("5eed", "test"),)) == "seen"


def test_validation_carved_from_a_train_part_that_was_trained_on_is_seen(dataset):
    source = dataset(train=200, test=40)
    carved = with_validation(source, seen=None, policy="train")
    assert overlap(carved, "validation", trained_on(source)) == "seen"
