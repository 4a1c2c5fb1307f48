"""A PostgreSQL server of its own, thrown away afterwards."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path


def why_not():
    """Return why there can be none; empty if there can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed: make ray"
    if _program("initdb") is None:
        return "there is no PostgreSQL on this machine"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL refuses to run as root"
    return ""


@contextlib.contextmanager
def server():
    """Run one; give the URL of its empty database."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder, port, before = Path(name), _free_port(), []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            before = ["runuser", "-u", "postgres", "--"]

        def run(program, *arguments):
            command = [*before, _program(program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)

        run("initdb", "-A", "trust", "-U", "optim", "--no-sync")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql+psycopg://optim@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _program(name):
    """Return the path of one of its programs; Debian keeps them apart."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else None)
