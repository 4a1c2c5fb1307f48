"""How far proxies can be trusted: tau by hand, and only among networks that were trained alike."""

from dataclasses import replace

import pytest

from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.nas.trust import LEAST_NETWORKS, SUPERNET, kendall_tau, spearman_rho, trust_of


def trained(error, score, epochs=2, outcome="measured"):
    figures = {"error": Quantity.exact(error, "points")}
    made = {"architecture": {}, "epochs": epochs}
    return Candidate({"w": score}, made, figures, outcome, "short", scores={"snip": score})


@pytest.mark.parametrize(
    ("one", "other", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 4 / 6),
        ([1, 1, 2], [1, 2, 3], 2 / 6**0.5),
        ([1, 1, 1], [1, 2, 3], None),
    ],
)
def test_tau_counts_pairs_in_the_same_order(one, other, tau):
    assert kendall_tau(one, other) == (None if tau is None else pytest.approx(tau))


def test_a_proxy_in_the_order_of_accuracy_is_trusted_within_an_interval():
    found = trust_of([trained(90 - i, i) for i in range(12)])
    assert [(trust.proxy, trust.tau.value, trust.tau.n) for trust in found] == [("snip", 1.0, 12)]
    assert 0.5 < found[0].tau.low < 1.0 == found[0].tau.high
    fewer = trust_of([trained(90 - i, i) for i in range(8)])
    assert fewer[0].tau.low < found[0].tau.low


def test_longer_trainings_and_what_was_not_trained_are_not_compared():
    equal = [trained(90 - i, i) for i in range(LEAST_NETWORKS)]
    others = [trained(99, 50, epochs=9), trained(1, -1, outcome="sized")]
    assert trust_of([*equal, *others]) == trust_of(equal)


def test_of_few_networks_nothing_is_told():
    assert trust_of([trained(90 - i, i) for i in range(LEAST_NETWORKS - 1)]) == []
    assert trust_of([]) == []


@pytest.mark.parametrize(
    ("one", "other", "rho"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),
        ([1, 1, 2], [1, 2, 3], 0.75**0.5),
        ([1, 1, 1], [1, 2, 3], None),
    ],
)
def test_rho_is_the_correlation_of_ranks(one, other, rho):
    assert spearman_rho(one, other) == (None if rho is None else pytest.approx(rho))


def test_a_supernet_stands_beside_the_proxies_with_both_correlations():
    networks = [trained(90 - i, (i * 5) % 12) for i in range(12)]
    networks = [replace(n, scores={**n.scores, SUPERNET: i}) for i, n in enumerate(networks)]
    best, other = trust_of(networks)
    assert (best.proxy, other.proxy) == (SUPERNET, "snip")
    assert best.to_json()["title"] == "Supernet"
    for one in (best, other):
        assert one.rho.low <= one.rho.value <= one.rho.high
        assert abs(one.rho.value) >= abs(one.tau.value)
