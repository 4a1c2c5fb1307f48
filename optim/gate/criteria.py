"""What a gate may decide: three outcomes for each limit, and reports of all of them.

References:
    Piaggio et al., Reporting of Noninferiority and Equivalence Randomized Trials, JAMA 2012,
    doi:10.1001/jama.2012.87802 (the three outcomes by interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from xml.etree import ElementTree

from optim.errors import ConfigError
from optim.measure.quality import Quality
from optim.quantity import Comparison, Quantity

__all__ = [
    "Criterion",
    "GateResult",
    "Outcome",
    "accuracy_criterion",
    "agreement_criterion",
    "bytes_criterion",
    "error_criterion",
    "latency_criterion",
    "samples_needed",
    "sqnr_criterion",
    "unmeasured_latency",
]

_MANY_SAMPLES = 10_000_000


class Outcome(StrEnum):
    """What can be said about one criterion or all of them."""

    HOLDS = "holds"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Criterion:
    """One limit and what was found.

    Attributes:
        name: ``"accuracy"``, ``"map"``, ``"mse"``, ``"agreement"``, ``"sqnr"``, ``"bytes"`` or
            ``"latency"``.
        limit: The limit, in ``unit``.
        unit: ``"points"``, ``"db"``, ``"bytes"`` or ``"x"``.
        requirement: The limit in words.
        outcome: See :class:`Outcome`.
        detail: What was found, in words.
        found: The figure; None if there is none.
    """

    name: str
    limit: float
    unit: str
    requirement: str
    outcome: Outcome
    detail: str
    found: Quantity | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys."""
        return {
            "name": self.name,
            "limit": self.limit,
            "unit": self.unit,
            "requirement": self.requirement,
            "outcome": str(self.outcome),
            "detail": self.detail,
            "found": self.found.to_json() if self.found else None,
        }


def accuracy_criterion(
    change: Comparison, max_loss_points: float, name: Literal["accuracy", "map"] = "accuracy"
) -> Criterion:
    """Test non-inferiority of accuracy, or of mAP.

    Args:
        change: Candidate minus baseline in points, paired.
        max_loss_points: The margin: largest loss that is still acceptable, 0 or more.
        name: Which of both it is.

    Raises:
        ConfigError: If the margin is not a number from 0 on.

    Example:
        >>> lost = Comparison(Quantity(-0.2, "points", -0.5, 0.1, n=9000), better="higher")
        >>> str(accuracy_criterion(lost, 1.0).outcome)
        'holds'
    """
    _check_limit("max_loss_points", max_loss_points, least=0)
    found = change.difference
    outcome = _outcome(holds=found.low > -max_loss_points, fails=found.high < -max_loss_points)
    detail = f"{change.verdict()}, n = {found.n:,}" if found.n else change.verdict()
    if outcome is Outcome.INCONCLUSIVE:
        detail += f"; {_words_on_samples(samples_needed(found, max_loss_points))}"
    unit = "point" if max_loss_points == 1 else "points"
    requirement = f"loses at most {max_loss_points:g} {unit}"
    return Criterion(name, max_loss_points, "points", requirement, outcome, detail, found)


def agreement_criterion(agreement: Quantity, max_loss_points: float) -> Criterion:
    """Test that a candidate chooses the baseline's class, where nobody says which is right.

    Args:
        agreement: Share of samples on which both choose the same class.
        max_loss_points: Largest acceptable share of others, in points, 0 or more.

    Raises:
        ConfigError: If the limit is not a number from 0 on.
    """
    _check_limit("max_loss_points", max_loss_points, least=0)
    low, value, high = (100 * (x - 1) for x in (agreement.low, agreement.value, agreement.high))
    found = Quantity(value, "points", low, high, agreement.n, agreement.how)
    outcome = _outcome(holds=low > -max_loss_points, fails=high < -max_loss_points)
    detail = f"agrees on {agreement} of the samples, n = {agreement.n:,}"
    if outcome is Outcome.INCONCLUSIVE:
        detail += f"; {_words_on_samples(samples_needed(found, max_loss_points))}"
    requirement = f"chooses another class for at most {max_loss_points:g} % of the samples"
    return Criterion(
        "agreement", max_loss_points, "points", requirement, outcome, detail, agreement
    )


def error_criterion(change: Comparison, max_loss_points: float) -> Criterion:
    """Test non-inferiority of the mean squared error of quantities.

    Args:
        change: Candidate over baseline, paired, as :func:`~optim.measure.regression.error_change`
            gives it.
        max_loss_points: Largest squared error more that is still acceptable, in percent of the
            baseline's, 0 or more.

    Raises:
        ConfigError: If the limit is not a number from 0 on.

    Example:
        >>> half = Comparison(Quantity(0.5, "x", 0.4, 0.6, n=900), better="lower")
        >>> str(error_criterion(half, 1.0).outcome)
        'holds'
    """
    _check_limit("max_loss_points", max_loss_points, least=0)
    found, limit = change.difference, 1 + max_loss_points / 100
    outcome = _outcome(holds=found.high <= limit, fails=found.low > limit)
    detail = f"{Quality({}, 'r2', change).cost}, n = {found.n:,}"
    if outcome is Outcome.INCONCLUSIVE:
        value, low, high = (100 * (1 - x) for x in (found.value, found.high, found.low))
        points = Quantity(value, "points", low, high, found.n, found.how)
        detail += f"; {_words_on_samples(samples_needed(points, max_loss_points))}"
    requirement = f"makes at most {max_loss_points:g} % more squared error"
    return Criterion("mse", limit, "x", requirement, outcome, detail, found)


def sqnr_criterion(sqnr: Quantity | None, min_sqnr_db: float) -> Criterion:
    """Test that a candidate's outputs stay close to the baseline's, where they are no classes.

    Args:
        sqnr: Of the candidate's outputs to the baseline's; None if there is no difference.
        min_sqnr_db: Least acceptable SQNR, in dB, 0 or more.

    Raises:
        ConfigError: If the limit is not a number from 0 on.
    """
    _check_limit("min_sqnr_db", min_sqnr_db, least=0)
    requirement = f"follows the baseline's outputs at {min_sqnr_db:g} dB SQNR or more"
    if sqnr is None:
        detail = "gives the baseline's outputs unchanged"
        return Criterion("sqnr", min_sqnr_db, "db", requirement, Outcome.HOLDS, detail)
    outcome = _outcome(holds=sqnr.low >= min_sqnr_db, fails=sqnr.high < min_sqnr_db)
    detail = f"follows them at {sqnr}, n = {sqnr.n:,}"
    return Criterion("sqnr", min_sqnr_db, "db", requirement, outcome, detail, sqnr)


def latency_criterion(change: Comparison, max_ratio: float) -> Criterion:
    """Test that the candidate takes at most ``max_ratio`` times the baseline's time.

    Args:
        change: Candidate over baseline, measured in turns.
        max_ratio: Largest acceptable ratio, above 0.

    Raises:
        ConfigError: If the ratio is not a number above 0.
    """
    found = change.difference
    outcome = _outcome(holds=found.high <= max_ratio, fails=found.low > max_ratio)
    detail = f"takes {found} the time"
    if outcome is Outcome.INCONCLUSIVE:
        detail += "; measure again on a machine that does nothing else"
    return _latency_criterion(max_ratio, outcome, detail, found)


def bytes_criterion(size: Quantity, max_bytes: int) -> Criterion:
    """Test an exact count."""
    outcome = _outcome(holds=size.value <= max_bytes, fails=size.value > max_bytes)
    requirement = f"has at most {max_bytes:,} bytes"
    detail = f"has {size.value:,.0f} bytes"
    return Criterion("bytes", max_bytes, "bytes", requirement, outcome, detail, size)


def samples_needed(change: Quantity, max_loss_points: float) -> int | None:
    """Return about how many samples decide, if the difference stays what it is.

    The interval shrinks with the root of the number of samples, until it leaves out ``-margin``.

    Args:
        change: Candidate minus baseline in points, with its interval and ``n``.
        max_loss_points: The margin.

    Returns:
        A number rounded up to two digits; None if the difference is the margin itself.

    Example:
        >>> samples_needed(Quantity(0.0, "points", -2.0, 2.0, n=1000), 1.0)
        4000
    """
    distance = abs(change.value + max_loss_points)
    if not change.n or not distance:
        return None
    needed = change.n * (change.half_width / distance) ** 2
    step = 10 ** max(0, math.floor(math.log10(max(1.0, needed))) - 1)
    return max(change.n + 1, math.ceil(needed / step) * step)


def unmeasured_latency(max_ratio: float, why: str) -> Criterion:
    """Say why latency could not be compared: nothing is known about it, so nothing is decided."""
    return _latency_criterion(max_ratio, Outcome.INCONCLUSIVE, why)


def _latency_criterion(
    max_ratio: float, outcome: Outcome, detail: str, found: Quantity | None = None
) -> Criterion:
    _check_limit("max_latency_ratio", max_ratio, least=1e-6)
    requirement = f"takes at most {max_ratio:g}x the time"
    return Criterion("latency", max_ratio, "x", requirement, outcome, detail, found)


def _outcome(*, holds: bool, fails: bool) -> Outcome:
    if holds:
        return Outcome.HOLDS
    return Outcome.REGRESSED if fails else Outcome.INCONCLUSIVE


def _check_limit(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise ConfigError(f"{name} must be a number from {least:g}: got {value:g}.", field=name)


def _words_on_samples(needed: int | None) -> str:
    if needed is None or needed > _MANY_SAMPLES:
        return "too close to the limit for any practical number of samples"
    return f"about {needed:,} samples would decide, if the difference stays what it is"


@dataclass(frozen=True)
class GateResult:
    """All criteria of one check."""

    criteria: tuple[Criterion, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of the criteria."""
        found = {criterion.outcome for criterion in self.criteria}
        for outcome in (Outcome.REGRESSED, Outcome.INCONCLUSIVE):
            if outcome in found:
                return outcome
        return Outcome.HOLDS

    @property
    def exit_code(self) -> int:
        """0 holds, 1 regressed, 3 inconclusive; 2 is left for unusable input."""
        return {Outcome.HOLDS: 0, Outcome.REGRESSED: 1, Outcome.INCONCLUSIVE: 3}[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys; see ``docs/schemas/check-1.json``."""
        return {
            "schema": "optim.check/1",
            "outcome": str(self.outcome),
            "exit_code": self.exit_code,
            "criteria": [criterion.to_json() for criterion in self.criteria],
        }

    def to_markdown(self, name: str) -> str:
        """Return a heading and a table for a pull request.

        Args:
            name: Of what was checked.
        """
        head = ["| criterion | limit | found | outcome |", "|:--|:--|:--|:--|"]
        rows = [f"| {c.name} | {c.requirement} | {c.detail} | {c.outcome} |" for c in self.criteria]
        title = f"**Model check of `{name.replace('`', '')}`: {self.outcome}**"
        return "\n".join([title, "", *head, *rows, ""])

    def to_junit(self, name: str) -> str:
        """Return JUnit XML: one test case a criterion; inconclusive ones are skipped.

        Args:
            name: Of what was checked.
        """
        count = [c.outcome for c in self.criteria].count
        numbers = {
            "tests": str(len(self.criteria)),
            "failures": str(count(Outcome.REGRESSED)),
            "errors": "0",
            "skipped": str(count(Outcome.INCONCLUSIVE)),
        }
        suites = ElementTree.Element("testsuites", numbers)
        suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **numbers})
        for criterion in self.criteria:
            case = ElementTree.SubElement(
                suite, "testcase", classname="optim.check", name=criterion.name
            )
            text = f"{criterion.requirement}: {criterion.detail}"
            if criterion.outcome is Outcome.REGRESSED:
                ElementTree.SubElement(case, "failure", message=text)
            elif criterion.outcome is Outcome.INCONCLUSIVE:
                ElementTree.SubElement(case, "skipped", message=f"inconclusive: {text}")
            else:
                ElementTree.SubElement(case, "system-out").text = text
        ElementTree.indent(suites)
        text = ElementTree.tostring(suites, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
