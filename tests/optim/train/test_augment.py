"""Random changes are each sample's own, and equal to what a loop over samples does."""

import pytest
import torch
from torch.nn import functional

from optim.train import Augment, Mix

SIZES = [(3, 8, 8), (1, 5, 9), (2, 9, 4)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count, shape, seed=1):
    return torch.randn(count, *shape, generator=generator(seed))


# --- one sample after the other, as in a textbook -------------------------------------------------


def moved_one_by_one(x, augment, draws):
    count, _, height, width = x.shape
    mirrored = torch.rand(count, generator=draws) < 0.5 if augment.flip else [False] * count
    span = 2 * augment.shift + 1
    offsets = torch.randint(0, span, (2, count), generator=draws) if augment.shift else None
    out = []
    for i, image in enumerate(x):
        changed = image.flip(2) if mirrored[i] else image
        if offsets is not None:
            row, column = offsets[:, i].tolist()
            padded = functional.pad(changed, [augment.shift] * 4)
            changed = padded[:, row : row + height, column : column + width]
        out.append(changed)
    return torch.stack(out)


def cut_out_one_by_one(x, side, draws):
    out = x.clone()
    count, _, height, width = x.shape
    tops = (torch.randint(0, height, (count,), generator=draws) - side // 2).tolist()
    lefts = (torch.randint(0, width, (count,), generator=draws) - side // 2).tolist()
    for image, top, left in zip(out, tops, lefts, strict=True):
        image[:, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
    return out


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize(
    "augment",
    [Augment(flip=True), Augment(shift=2), Augment(shift=3, flip=True)],
    ids=["flip", "shift", "both"],
)
def test_moving_is_what_a_loop_over_samples_does(augment, shape):
    x = images(50, shape)
    found = augment(x, generator())
    assert torch.equal(found, moved_one_by_one(x, augment, generator()))


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("side", [1, 2, 3, 6, 20])
def test_cutout_is_what_a_loop_over_samples_does(side, shape):
    x = images(50, shape)
    found = Augment(cutout=side)(x, generator())
    assert torch.equal(found, cut_out_one_by_one(x, side, generator()))


def test_the_square_is_cut_out_of_the_image_that_was_moved():
    augment, x = Augment(shift=2, flip=True, cutout=3), images(30, (3, 8, 8))
    draws = generator()
    expected = cut_out_one_by_one(moved_one_by_one(x, augment, draws), 3, draws)
    assert torch.equal(augment(x, generator()), expected)


# --- what chance does -----------------------------------------------------------------------------


def test_every_shift_occurs_about_equally_often():
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 1  # the only pixel, so that where it went is the shift
    found = Augment(shift=2)(x.expand(5000, 1, 7, 7), generator())
    places = found.flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=49)
    inside = counts.view(7, 7)[1:6, 1:6]
    assert inside.sum() == 5000
    assert inside.min() > 140
    assert inside.max() < 260


def test_half_of_the_images_are_mirrored():
    x = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(400, 1, 1, 1)
    out = Augment(flip=True)(x, generator())
    mirrored = (out == x.flip(3)).flatten(1).all(dim=1)
    same = (out == x).flatten(1).all(dim=1)
    assert (mirrored | same).all()
    assert 150 < mirrored.sum() < 250


def test_samples_of_one_batch_are_changed_differently():
    x = images(1, (3, 16, 16)).repeat(64, 1, 1, 1)
    for augment in (Augment(shift=4), Augment(cutout=4)):
        assert len(torch.unique(augment(x, generator()).flatten(1), dim=0)) > 32


def test_the_same_generator_gives_the_same_images():
    augment, x = Augment(shift=2, flip=True, cutout=3), images(20, (3, 8, 8))
    assert torch.equal(augment(x, generator(5)), augment(x, generator(5)))
    assert not torch.equal(augment(x, generator(5)), augment(x, generator(6)))


def test_the_layout_in_memory_changes_nothing():
    augment, x = Augment(shift=2, flip=True, cutout=3), images(20, (3, 8, 8))
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(last, generator()), augment(x, generator()))


@pytest.mark.parametrize("shape", [(7,), (2, 30)], ids=["table", "series"])
def test_tables_and_series_are_left_alone(shape):
    x = torch.randn(4, *shape)
    assert Augment(shift=3, flip=True, cutout=2)(x, generator()) is x


def test_augmentation_leaves_its_input():
    x = images(2, (1, 4, 4))
    before = x.clone()
    Augment(shift=2, flip=True, cutout=2)(x, generator())
    assert torch.equal(x, before)


# --- mixed samples --------------------------------------------------------------------------------


def batch(count=40, shape=(3, 8, 8)):
    return images(count, shape), torch.arange(count) % 5


def test_blended_samples_are_the_weighted_sum_of_two():
    x, targets = batch()
    mixed = Mix(mixup=1.0)(x, targets, generator())
    for i, share in enumerate(mixed.share.tolist()):
        blend = share * x[i] + (1 - share) * x[i - 1]
        torch.testing.assert_close(mixed.x[i], blend)
        assert mixed.targets[i] == targets[i]
        assert mixed.partners[i] == targets[i - 1]


def test_targets_are_mixed_like_the_samples_and_sum_to_one():
    x, targets = batch()
    for mix in (Mix(mixup=0.4), Mix(cutmix=1.0)):
        mixed = mix(x, targets, generator())
        shares = mixed.shares(5)
        torch.testing.assert_close(shares.sum(1), torch.ones(40))
        for i, share in enumerate(mixed.share.tolist()):
            expected = torch.zeros(5)
            expected[targets[i]] += share
            expected[targets[i - 1]] += 1 - share
            torch.testing.assert_close(shares[i], expected)


def test_two_samples_of_one_class_stay_that_class():
    x, _ = batch(6)
    mixed = Mix(mixup=1.0)(x, torch.full((6,), 3), generator())
    torch.testing.assert_close(mixed.shares(5)[:, 3], torch.ones(6))


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_the_area_of_the_other_image_is_its_share_of_the_target(shape):
    x, targets = batch(80, shape)
    mixed = Mix(cutmix=1.0)(x, targets, generator())
    own = (mixed.x == x).all(dim=1)
    other = (mixed.x == x.roll(1, 0)).all(dim=1)
    assert (own | other).all(), "every pixel is of one of the two"
    torch.testing.assert_close(own.float().mean(dim=(1, 2)), mixed.share)
    assert mixed.share.min() < 0.5 < mixed.share.max()


def test_the_other_image_fills_one_rectangle():
    x, targets = batch(80)
    mixed = Mix(cutmix=1.0)(x, targets, generator())
    for inside in (mixed.x != x).any(dim=1):
        rows, columns = inside.any(dim=1), inside.any(dim=0)
        assert torch.equal(inside, rows[:, None] & columns[None, :])
        for line in (rows, columns):
            assert int(line.int().diff().abs().sum()) <= 2, "in one piece"


def test_with_both_each_batch_is_mixed_in_one_of_them():
    x, targets = batch(8)
    draws, cut = generator(), 0
    for _ in range(200):
        mixed = Mix(mixup=1.0, cutmix=1.0)(x, targets, draws)
        either = ((mixed.x == x) | (mixed.x == x.roll(1, 0))).all()
        cut += bool(either)
    assert 70 < cut < 130


def test_series_and_tables_are_blended_and_never_cut():
    x, targets = torch.randn(10, 7, generator=generator(1)), torch.arange(10) % 2
    assert Mix(mixup=1.0).applies_to(x)
    assert not Mix(cutmix=1.0).applies_to(x)
    mixed = Mix(mixup=1.0, cutmix=1.0)(x, targets, generator())
    torch.testing.assert_close(mixed.x, torch.lerp(x.roll(1, 0), x, mixed.share[:, None]))


@pytest.mark.parametrize("parameter", [0.2, 1.0])
def test_shares_are_of_the_beta_distribution(parameter):
    x, targets = torch.zeros(20000, 1), torch.zeros(20000, dtype=torch.int64)
    share = Mix(mixup=parameter)(x, targets, generator()).share.double()
    assert float(share.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(share.var()) == pytest.approx(1 / (4 * (2 * parameter + 1)), rel=0.04)


def test_the_same_generator_gives_the_same_mixture():
    x, targets = batch()
    for mix in (Mix(mixup=0.5), Mix(cutmix=0.5), Mix(0.5, 0.5)):
        first, second = mix(x, targets, generator(3)), mix(x, targets, generator(3))
        assert torch.equal(first.x, second.x)
        assert torch.equal(first.share, second.share)
