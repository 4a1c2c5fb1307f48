"""Commands for who operates a server that several people use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from optim.access import audit as log
from optim.access.settings import retention_days
from optim.cli._app import cli
from optim.cli._options import Json
from optim.cli._output import print_json, print_table
from optim.errors import ConfigError
from optim.quantity import Quantity

if TYPE_CHECKING:
    from optim.runs.store import RunStore

__all__ = ["audit", "delete", "list_owners", "owners", "sweep"]

owners = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Who has what on this server: list, delete.",
)
cli.add_typer(owners, name="owners")


@owners.command("list")
def list_owners(as_json: Json = False) -> None:
    """List who has uploaded, run or exported something, and how much."""
    from optim.belongings.found import belongings, owners

    store = _store()
    rows = []
    for owner in owners(store):
        mine = belongings(owner, store)
        rows.append(
            {
                "owner": owner,
                "models": len(mine.models),
                "data": len(mine.data),
                "bytes": mine.upload_bytes,
                "runs": len(mine.runs),
                "exports": len(mine.exports),
            }
        )
    if as_json:
        print_json({"schema": "optim.owners/1", "owners": rows})
        return
    columns = ("owner", "models", "data", "bytes", "runs", "exports")
    print_table("Owners", columns, [tuple(row.values()) for row in rows])


@owners.command()
def delete(
    owner: Annotated[str, typer.Argument(help="Id of a user or guest; `owners list` shows them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete everything somebody has: uploads, runs, exported files, trained results, caches."""
    from optim.belongings.found import belongings, owners
    from optim.belongings.removal import remove_all

    store = _store()
    if owner not in owners(store):
        raise ConfigError(f"{owner!r} has nothing here.", hint="optim owners list shows who has.")
    mine = belongings(owner, store)
    size = Quantity.exact(mine.upload_bytes, "bytes")
    asked = f"Delete {mine.uploads} uploads ({size}) and {len(mine.runs)} runs of {owner}?"
    if not yes and not typer.confirm(asked, err=True):
        raise typer.Abort
    typer.echo(remove_all(owner, store, by=log.OPERATOR))


@cli.command()
def sweep(
    days: Annotated[
        int | None, typer.Option(min=1, help="Instead of OPTIM_RETENTION_DAYS.")
    ] = None,
) -> None:
    """Remove what nobody has used for so many days, as the server does every day."""
    from optim.belongings import removal

    typer.echo(removal.sweep(_store(), retention_days() if days is None else days))


@cli.command()
def audit(
    who: Annotated[str, typer.Option(help="Only what this user or guest did.")] = "",
    what: Annotated[str, typer.Option(help=f"Only one of: {', '.join(log.ACTIONS)}.")] = "",
    last: Annotated[int | None, typer.Option(min=1, help="Only so many, the newest.")] = None,
    as_json: Json = False,
) -> None:
    """Show who signed in, uploaded, opened, ran, exported and deleted, oldest first."""
    if what and what not in log.ACTIONS:
        raise ConfigError(f"--what must be one of {', '.join(log.ACTIONS)}: got {what!r}.")
    found = [
        entry
        for entry in log.entries()
        if who in ("", entry.get("who")) and what in ("", entry.get("what"))
    ]
    found = found[-last:] if last else found
    if as_json:
        print_json({"schema": "optim.audit/1", "entries": found})
        return
    head = ("at", "who", "what", "hash")
    rows = [
        (
            *(entry.get(name, "") for name in head),
            " ".join(f"{name}={value}" for name, value in entry.items() if name not in head),
        )
        for entry in found
    ]
    print_table("Audit log", (*head, "more"), rows)


def _store() -> RunStore:
    from optim.runs.store import RunStore

    return RunStore.open()
