"""The command that holds a workshop: a room, a server on the local network, and the way in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Annotated

import typer

from optim.cli._app import cli
from optim.cli._output import progress_bar
from optim.cli.operating import APP, pages_command
from optim.errors import ConfigError

__all__ = ["workshop"]

_START_S = 90.0
_TERMINATED = 128 + 15
_RUNS = "3"
"""Runs of one participant that wait or run, unless the operator says otherwise."""


@cli.command()
def workshop(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    title: Annotated[str, typer.Option(help="What the room is called.")] = "Workshop",
    room: Annotated[str, typer.Option(help="Code of a room from before, or one of yours.")] = "",
    address: Annotated[
        str, typer.Option(help="Address of this machine that others use; found if left out.")
    ] = "",
    prepare: Annotated[
        bool, typer.Option(help="Compute the lessons first, so that nobody waits for them.")
    ] = True,
) -> None:
    """Open the pages to the local network for a workshop, and print the way in."""
    from optim.lessons import LESSONS
    from optim.lessons.kept import TOUR_NAME, compute
    from optim.runs.store import RunStore
    from optim.workshop.network import addresses, is_answered
    from optim.workshop.rooms import Rooms

    command = pages_command(port)
    found = [address] if address else addresses()
    if not found:
        raise ConfigError(
            "This machine is on no network.",
            hint="Join a network, or name the address that others use by --address.",
        )
    store = RunStore.open()
    here = Rooms(store).open(title, code=room)
    store.database.close()
    if prepare:
        with progress_bar() as progress:
            compute([TOUR_NAME, *LESSONS], progress)
    url = f"http://{found[0]}:{port}"
    hosts = ["localhost", "127.0.0.1", *found]
    options = [part for host in hosts for part in ("--server.allowedHosts", host)]
    # Without a name of its own, Streamlit would ask the internet for this machine's address.
    options += ["--server.address", "0.0.0.0", "--browser.serverAddress", found[0]]
    environment = {
        "OPTIM_MAX_RUNS": _RUNS,
        **os.environ,
        "OPTIM_WORKSHOP": here.code,
        "OPTIM_WORKSHOP_URL": f"{url}/workshop",
    }
    server = subprocess.Popen(
        [*command, *options],
        cwd=APP.parent,
        env=environment,
    )
    # Whoever ends the command ends the server, also where it is not by Ctrl+C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        deadline = time.monotonic() + _START_S
        while server.poll() is None and time.monotonic() < deadline:
            if is_answered(f"http://127.0.0.1:{port}"):
                break
            time.sleep(0.2)
        else:
            raise ConfigError(
                f"The pages did not start on port {port}.",
                hint="Is the port taken? Name another one by --port.",
            )
        _tell(here.code, url, found[1:], answered=is_answered(url))
        raise typer.Exit(server.wait())
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(timeout=15)


def _tell(code: str, url: str, others: list[str], *, answered: bool) -> None:
    """Print the way in, and whether it is open as far as this machine can see."""
    from optim.workshop.network import qr_text
    from optim.workshop.rooms import instructor_key

    lines = [
        "",
        qr_text(f"{url}/workshop"),
        f"Address       {url}/workshop",
        f"Room code     {code}",
    ]
    lines += [f"Your key      {instructor_key(code)}  (for who leads: Workshop, I lead this room)"]
    if others:
        lines.append(f"Or at         {', '.join(others)} (other networks of this machine)")
    lines.append(
        "Reachability  answered at that address from this machine. If a phone gets no answer, a "
        "firewall or a network that keeps guests apart is in between."
        if answered
        else "Reachability  NOT answered at that address: name another one by --address, or let "
        "the firewall pass the port."
    )
    lines += ["Everything travels unencrypted: use a network you trust. Ctrl+C ends it.", ""]
    typer.echo("\n".join(lines))
    sys.stdout.flush()
