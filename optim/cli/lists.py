"""Commands that say what there is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from optim.cli._app import cli
from optim.cli._options import Json, Model, Trust
from optim.cli._output import print_json, print_table

__all__ = ["card", "data", "licences", "models", "techniques"]

_PRIVATE = ("path", "listed", "owner")
"""Fields of a data card that are nobody else's business."""


@cli.command()
def models(as_json: Json = False) -> None:
    """List trained models and the architectures of the zoo."""
    from optim.models.cards import model_cards
    from optim.models.zoo import ZOO

    cards = [card for card in model_cards().values() if card.listed]
    if as_json:
        trained = [
            {
                "name": card.name,
                "title": card.title,
                "data": card.data,
                "params": card.params,
                "macs": card.macs,
                "accuracy": {part: value.to_json() for part, value in card.accuracy.items()},
            }
            for card in cards
        ]
        zoo = [{"name": n, "title": m.title, "about": m.about} for n, m in ZOO.items()]
        print_json({"schema": "optim.models/1", "trained": trained, "zoo": zoo})
        return
    print_table(
        "Trained models",
        ("name", "title", "data", "validation accuracy or mAP"),
        [(c.name, c.title, c.data, c.reached.get("validation", "")) for c in cards],
    )
    print_table(
        "Architectures (fresh weights, or name:weights-file)",
        ("name", "title", "about"),
        [(name, model.title, model.about) for name, model in ZOO.items()],
    )


@cli.command()
def data(as_json: Json = False) -> None:
    """List the data sets that can be asked for by name."""
    from optim.data.added import data_cards

    cards = [card for card in data_cards().values() if card.listed]
    if as_json:
        rows = [{k: v for k, v in asdict(c).items() if k not in _PRIVATE} for c in cards]
        print_json({"schema": "optim.data/1", "data": rows})
        return
    print_table(
        "Data",
        ("name", "title", "sample", "classes"),
        [(c.name, c.title, " x ".join(map(str, c.input_shape)), c.n_classes) for c in cards],
    )


@cli.command()
def techniques(as_json: Json = False) -> None:
    """List the steps a recipe can have, and their fields."""
    from optim.fields import controls
    from optim.techniques import TECHNIQUES

    if as_json:
        rows = [
            {
                "name": name,
                "title": technique.title,
                "about": technique.about,
                "paper": technique.paper,
                "cost": technique.cost,
                "fields": [control.to_json() for control in controls(technique)],
            }
            for name, technique in TECHNIQUES.items()
        ]
        print_json({"schema": "optim.techniques/1", "techniques": rows})
        return
    print_table(
        "Techniques",
        ("name", "what it does", "fields"),
        [
            (name, technique.about, ", ".join(c.name for c in controls(technique)))
            for name, technique in TECHNIQUES.items()
        ],
    )


@cli.command()
def card(
    model: Model,
    data: Annotated[
        str, typer.Option("--data", help="What it shall take: resolves sizes that are left free.")
    ] = "",
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Show the model card: task, inputs, outputs, parameters, MACs, what is unusual."""
    from optim.measure.facts import facts
    from optim.models.open import open_model
    from optim.subject import open_any_data

    bundle = open_model(model, data=open_any_data(data) if data else None, trust=trust)
    known = facts(bundle)
    if as_json:
        print_json({"schema": "optim.card/1", "model": model, **known.to_json()})
    else:
        typer.echo(known.text())


@cli.command()
def licences(as_json: Json = False) -> None:
    """List the licences of everything the program needs or ships."""
    from optim.licences import SHIPPED, packages

    parts = {"packages": packages(), "shipped": SHIPPED}
    if as_json:
        found = {name: [asdict(each) for each in each_part] for name, each_part in parts.items()}
        print_json({"schema": "optim.licences/1", **found})
        return
    print_table(
        "Packages, as installed here",
        ("name", "version", "licence"),
        [(each.name, each.version, each.licence) for each in parts["packages"]],
    )
    print_table(
        "Data and weights that ship",
        ("name", "licence", "from"),
        [(each.name, each.licence, each.about) for each in parts["shipped"]],
    )
