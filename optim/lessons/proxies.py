"""Architecture search, and why what can be told before training misleads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.lesson import Frame, Lesson, Panel, Question, Readout, Series, Shown
from optim.lessons.small_data import few_digits, share_of
from optim.quantity import Quantity

if TYPE_CHECKING:
    from optim.data.dataset import Dataset
    from optim.lessons.bench import Bench
    from optim.models.mlp import MLP

__all__ = ["PROXIES_MISLEAD"]

_SIZES = (
    *((1, 8), (1, 32), (1, 128), (2, 8), (2, 32), (2, 96)),
    *((3, 16), (3, 64), (4, 16), (5, 24), (6, 12), (6, 48)),
)
"""Layers and neurons of each, of the networks that are compared."""
_SAMPLES, _EPOCHS = 400, 8
_LOOKED_AT = 64
_COUNT = "params"


def _show(bench: Bench) -> Shown:
    from optim.models.mlp import MLP
    from optim.search.nas.proxies import PROXIES
    from optim.search.nas.trust import tau_of

    data = few_digits(_SAMPLES)
    networks = [MLP(depth=depth, width=width) for depth, width in _SIZES]
    reached = _trained(networks, data)
    scores = [_scores(network, data) for network in networks]
    titles = [f"{n.depth} layer{'s' * (n.depth > 1)} of {n.width}" for n in networks]
    known = [name for name in PROXIES if all(name in score for score in scores)]
    silent = [PROXIES[name].title for name in PROXIES if name not in known]
    taus: dict[str, Quantity] = {}
    chosen: dict[str, Quantity] = {}
    frames = []
    for name in known:
        values = [score[name] for score in scores]
        order = sorted(range(len(values)), key=lambda i: values[i])
        tau = tau_of(values, [q.value for q in reached])
        if tau is None:
            continue
        taus[name] = tau
        found = [reached[i] for i in order]
        chosen[name] = found[-1]
        best = max(range(len(found)), key=lambda i: found[i].value)
        frames.append(
            Frame(
                PROXIES[name].title,
                (
                    Panel(
                        f"What {PROXIES[name].title} promises, and what training gives",
                        "Place among the networks, the most promising last",
                        "Validation accuracy, %",
                        (
                            Series(
                                "Network",
                                tuple(range(1, len(found) + 1)),
                                tuple(round(100 * q.value, 2) for q in found),
                                "dots",
                                "after",
                                tuple(round(100 * q.low, 2) for q in found),
                                tuple(round(100 * q.high, 2) for q in found),
                                tuple(f"{titles[i]}: {reached[i]}" for i in order),
                            ),
                            Series(
                                "Best",
                                (best + 1,),
                                (round(100 * found[best].value, 2),),
                                "dots",
                                "before",
                                text=(f"The best: {titles[order[best]]}",),
                                is_labelled=True,
                            ),
                        ),
                        x_range=(0.3, len(found) + 1.2),
                    ),
                ),
                (
                    Readout("Rank correlation", tau, "1: the same order, 0: none"),
                    Readout("Chosen", found[-1], "accuracy of what the proxy likes best"),
                    Readout("Best", found[best], "accuracy of the best of all"),
                ),
                caption=PROXIES[name].about,
            )
        )
    clever = [name for name in taus if name not in (_COUNT, "macs")]
    better = [name for name in clever if taus[name].value > taus[_COUNT].value]
    top = max(taus, key=lambda name: taus[name].value)
    question = Question(
        "Several proxies look at what the untrained network does with a few samples. How many of "
        "them order these networks better than counting parameters does?",
        ("None", "Some", "All"),
        0 if not better else 2 if len(better) == len(clever) else 1,
        f"{len(better)} of {len(clever)}. Counting parameters reaches a rank correlation of "
        f"{taus[_COUNT]}; the most right here is {PROXIES[top].title} with {taus[top]}. What it "
        f"likes "
        f"best reaches {chosen[top]}, and the best network {max(reached, key=_value)}. The "
        f"intervals are wide with {len(networks)} "
        "networks, and another space gives another winner: measure the proxy before you trust it."
        + (f" No number for each of the networks: {', '.join(silent)}." if silent else ""),
    )
    return Shown(
        tuple(frames),
        0,
        question,
        f"{len(networks)} fully connected networks, each trained here for {_EPOCHS} epochs on "
        f"{_SAMPLES} digits.",
    )


def _value(figure: Quantity) -> float:
    return figure.value


def _trained(networks: list[MLP], data: Dataset) -> list[Quantity]:
    """Return the accuracy that each reaches."""
    from optim.alternatives.alternative import Alternative
    from optim.alternatives.training import train_alternatives
    from optim.techniques.finetune import FineTune

    training = FineTune(epochs=_EPOCHS, batch_size=32, learning_rate=0.05, shift=0)
    ways = [Alternative(str(i), network, training) for i, network in enumerate(networks)]
    cells = train_alternatives(ways, data, seeds=[0])
    return [share_of(cell.accuracy, data.parts["validation"]) for cell in cells]


def _scores(network: MLP, data: Dataset) -> dict[str, float]:
    """Return what every proxy says of an untrained network."""
    import torch

    from optim.measure.costs import static_costs
    from optim.models.open import fresh_model
    from optim.search.nas.proxies import Probe, scores_of

    fresh = fresh_model(network, data, 0)
    some = data.part("train")
    params, macs, _ = static_costs(fresh)
    probe = Probe(
        fresh.spec.normalise(some.inputs[:_LOOKED_AT]),
        torch.as_tensor(some.targets[:_LOOKED_AT]),
        torch.nn.functional.cross_entropy,
        int(params.value),
        int(macs.value),
    )
    return scores_of(fresh.module, probe)


PROXIES_MISLEAD = Lesson(
    title="Search, and proxies that mislead",
    idea="A search cannot train every network. Proxies rank them untrained, in one pass. How right "
    "they are depends on the space, and is seldom measured.",
    control="Proxy",
    kind="choice",
    paper="Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, 2021, arXiv:2101.08134; "
    "White "
    "et al., A Deeper Look at Zero-Cost Proxies, 2022, arXiv:2204.03208",
    link="https://arxiv.org/abs/2101.08134",
    source="optim/search/nas/trust.py",
    show=_show,
)
