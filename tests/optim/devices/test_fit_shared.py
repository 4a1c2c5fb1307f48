"""What models have in common: families of few models take over what families of many show."""

import numpy as np
import pytest

from optim.devices import fit_shared as module
from optim.devices.fit_roofline import fit_rooflines
from optim.devices.fit_shared import Measured, fit_shared
from optim.devices.fitting import imputation_of
from optim.devices.law import Law, design
from optim.devices.workload import Workload, numbers_of

WIDE = 40


def made(slope, few, many=WIDE):
    """Return rows of a large and a small family; models with many activations are slower.

    Args:
        slope: How much slower, in logarithms, in the large family.
        few: The same in the small one.
        many: Models of the large family.
    """
    generator = np.random.default_rng(0)
    rows, times = [], []
    for runtime, models, effect in (("pytorch", many, slope), ("ncnn-vulkan", 6, few)):
        for _ in range(models):
            macs = float(np.exp(generator.uniform(18, 22)))
            heavy = float(generator.normal())
            rows.append(
                Workload("d", "desktop_gpu", runtime, "fp32", macs, macs / 100,
                         macs / 200 * float(np.exp(heavy)), task="classification",
                         input_shape="1x3x224x224")
            )  # fmt: skip
            times.append(macs / 1e8 * np.exp(effect * heavy + 0.05 * generator.normal()))
    return rows, np.array(times)


def fitted(rows, times):
    """Return the regressions of both families, and what each adds to rows of the small one."""
    models = [row.macs for row in rows]
    imputation = imputation_of(numbers_of(rows), models)
    numbers, gaps = imputation(numbers_of(rows))
    log_ms = np.log(times)
    groups, classes = fit_rooflines(rows, numbers, gaps, log_ms)
    base = Law(imputation, groups, classes, {}, {}, {}, {})(rows).log_ms
    measured = Measured(rows, models, numbers, gaps, log_ms)
    return fit_shared(measured, base, imputation), measured


@pytest.fixture
def chosen(monkeypatch):
    """Let forty models be many, and note what is chosen for the small family."""
    monkeypatch.setattr(module, "ENOUGH_MODELS", WIDE)
    found, choose = [], module._chosen

    def noting(*arguments):
        found.append(choose(*arguments))
        return found[-1]

    monkeypatch.setattr(module, "_chosen", noting)
    return found


def test_what_holds_in_both_families_is_taken_over(chosen):
    shared, measured = fitted(*made(slope=0.5, few=0.5))
    assert chosen[0][0] > 0
    columns = design(measured.numbers, measured.gaps)
    assert set(shared) == {"pytorch", "ncnn-vulkan"}
    large, small = (shared[name].common for name in ("pytorch", "ncnn-vulkan"))
    alone = module._ridge(measured.take(np.arange(WIDE, WIDE + 6)), measured.log_ms[WIDE:], 0.1)
    assert np.linalg.norm((small - large)[1:]) < np.linalg.norm((alone.common - large)[1:])
    assert shared["ncnn-vulkan"].of(columns[WIDE:], measured.rows[WIDE:]).shape == (6,)


def test_what_holds_in_one_family_alone_is_not_taken_over_whole(chosen):
    fitted(*made(slope=0.5, few=-0.5))
    assert chosen[0][0] < 1


def test_without_a_large_family_nothing_is_taken_over(chosen):
    fitted(*made(slope=0.5, few=0.5, many=10))
    assert len(chosen) == 2
    assert all(share == 0 for share, _ in chosen)
