"""Write the store that this version of the program makes, for the tests of later ones.

Run it when the tables get a new form, once for that form::

    OPTIM_HOME=$(mktemp -d) PYTHONPATH=. python tests/optim/runs/stores/fill.py
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from optim.runs.schema import HEAD
from optim.runs.store import RunStore
from tests.pages.worked import Worked


def main() -> None:
    """Fill a store with a run in every state, and print it as SQL."""
    store = RunStore.open()
    worked = Worked(store)
    worked.finished("Recover, finished")
    worked.failed("Recover, failed")
    worked.running("Recover, interrupted")
    worked.queued("Recover, waiting")
    path = store.database.url.database
    store.database.close()
    with sqlite3.connect(str(path)) as connection:
        lines = "\n".join(connection.iterdump())
    (Path(__file__).parent / f"{HEAD}.sql").write_text(f"{lines}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
