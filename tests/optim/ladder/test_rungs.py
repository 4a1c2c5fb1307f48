"""Whether a model fits a device: kernels, then flash, then RAM; and what its time is spent on."""

import pytest

from optim.devices.profile import Runtime, catalogue
from optim.ladder.rungs import CONSTRAINTS, fit_of, limit_of
from tests.optim.ladder.made import RUNTIME, conv, device, footprint

SMALL = footprint(conv("a", 8, 8, dtype="int8"), arena=4000)  # 576 bytes of weights


def test_a_model_that_fits_says_what_is_fullest():
    fit = fit_of(SMALL, device())
    assert fit.fits
    assert fit.is_certain
    assert fit.text == "Activations take 4 kB of 10 kB RAM."


def test_weights_beyond_the_flash_do_not_fit():
    fit = fit_of(SMALL, device(flash=500))
    assert (fit.problem, fit.needs, fit.has) == ("flash", 576, 500)
    assert fit.text == "Weights take 576 B of 500 B Flash."


def test_activations_beyond_the_ram_do_not_fit():
    assert fit_of(SMALL, device(ram=3999)).problem == "ram"
    assert fit_of(SMALL, device(ram=4000)).fits


def test_other_devices_hold_weights_and_activations_in_one_memory():
    assert fit_of(SMALL, device("sbc", ram=4575, flash=None)).problem == "ram"
    assert fit_of(SMALL, device("sbc", ram=4576, flash=None)).fits


def test_missing_kernels_come_first_and_name_the_layer():
    integers = Runtime(name="Integers", precisions=("int8",))
    fit = fit_of(footprint(conv("stem", 8, 8)), device(flash=1, runtimes=(integers,)))
    assert fit.problem == "support"
    assert fit.text == "Integers computes int8 on this device, and stem wants float32 here."


def test_the_runtime_with_the_kernels_is_taken():
    integers = Runtime(name="Integers", precisions=("int8",))
    assert (
        fit_of(footprint(conv("a", 8, 8)), device(runtimes=(integers, RUNTIME))).runtime == RUNTIME
    )


def test_memory_that_nobody_knows_refuses_nothing():
    fit = fit_of(SMALL, device(ram=None, flash=None))
    assert fit.fits
    assert not fit.is_certain
    assert fit.text == "Its memory is not known."


@pytest.mark.parametrize(("kind", "named"), [("mcu", "Flash"), ("sbc", "RAM")])
def test_an_arena_that_is_not_known_refuses_nothing_and_is_said(kind, named):
    fit = fit_of(footprint(conv("a", 8, 8), arena=None), device(kind))
    assert fit.fits
    assert not fit.is_certain
    assert fit.text.startswith("Weights take 2.3 kB of ")
    assert fit.text.endswith(f"{named}. What its activations take is not known before it runs.")


@pytest.mark.parametrize(
    ("figures", "limit"),
    [
        ({"peak_tops": {"fp32": 1e-6}, "bandwidth_gb_s": 100, "overhead_us": 1}, "compute"),
        ({"peak_tops": {"fp32": 100}, "bandwidth_gb_s": 1e-4, "overhead_us": 1}, "bandwidth"),
        ({"peak_tops": {"fp32": 100}, "bandwidth_gb_s": 100, "overhead_us": 1000}, "overhead"),
        ({"bandwidth_gb_s": 100}, "unknown"),
    ],
)
def test_the_limit_is_what_takes_most_of_the_time(figures, limit):
    profile = device("sbc", **figures)
    assert limit_of(footprint(conv("a", 64, 64)), profile, RUNTIME)[0] == limit


def test_every_device_of_the_catalogue_answers():
    for profile in catalogue().values():
        fit = fit_of(SMALL, profile)
        limit, parts = limit_of(SMALL, profile, fit.runtime)
        assert limit in CONSTRAINTS
        assert parts.total >= 0
