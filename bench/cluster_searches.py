"""Searches from the command line on a Ray cluster of two nodes, one of which dies meanwhile.

Two nodes with one core each on this machine, each with a folder of its own. ``optim nas`` and
``optim search`` have two trainings at once done there; as soon as one has trained an epoch its node
is killed by a SIGKILL of its raylet, and a new node joins. What is asked of the store is asked
every 50 ms. A search that was recorded with a killed node is not run again.

    make ray && .venv/bin/python bench/cluster_searches.py
    .venv/bin/python bench/cluster_searches.py --only nas
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster import Side
from common import DOCS, ROOT, documented, record

from optim.runs.ray_engine import RayEngine
from tests.optim.runs.ray_nodes import Held
from tests.optim.runs.ray_searches import Searched, searched
from tests.optim.runs.test_ray_nodes import NAS, SEARCH

RESULTS = ROOT / "bench" / "cluster_searches.json"
COMMANDS = {"nas": NAS, "search": SEARCH}


def result(found: Searched) -> dict[str, Any]:
    rows = found.answer.get("candidates", [])
    stages = ("short training", "longer training", "long training", "whole training")
    return {
        "code": found.code,
        "satisfied": bool(found.answer.get("satisfied")),
        "verified": bool((found.answer.get("verification") or {}).get("passed")),
        "trained": sum(r["outcome"] == "measured" and r["stage"] in stages for r in rows),
        "failed": sum(r["outcome"] == "failed" for r in rows),
        "trainings_by_node": sorted(found.by_node.values(), reverse=True),
        "node_killed": bool(found.killed),
        "goes_on_elsewhere_after_s": found.again_s,
        "seconds": found.seconds,
        "load": os.getloadavg()[1],
    }


def table_text(results: dict[str, Any]) -> str:
    lines = [
        "| command | trained candidates | trainings seen on each node | nodes killed "
        "| until the training went on elsewhere | failed candidates of any stage | verified file |",
        "|:--|--:|:--|--:|--:|--:|:--|",
    ]
    for name in COMMANDS:
        if (one := results.get(name)) is None:
            lines.append(f"| `optim {name}` | not run | | | | | |")
            continue
        after = one["goes_on_elsewhere_after_s"]
        lines.append(
            f"| `optim {name}` | {one['trained']} | {', '.join(map(str, one['trainings_by_node']))}"
            f" | {int(one['node_killed'])} | {'not seen' if after is None else f'{after:.1f} s'} | "
            f"{one['failed']} | {'yes' if one['verified'] else 'no'} |"
        )
    return "\n".join(lines)


def main() -> None:
    if find_spec("ray") is None:
        print("not run: ray is not installed (make ray)")
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=list(COMMANDS))
    options = parser.parse_args()
    kept = json.loads(RESULTS.read_text())["results"] if RESULTS.is_file() else {}
    results: dict[str, Any] = {**kept, "ray": version("ray")}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ |= {"OPTIM_HOME": str(home / "web"), "OPTIM_FILES": str(home / "share")}
        nodes = Held(home / "nodes")
        os.environ["RAY_ADDRESS"] = nodes.address
        try:
            for name, command in COMMANDS.items():
                is_done = results.get(name, {}).get("node_killed")
                if is_done or options.only not in (None, name):
                    continue
                os.environ["OPTIM_STORE"] = url = f"sqlite:///{home}/{name}.db"
                (home / name).mkdir()
                side = Side(url, RayEngine(url))
                results[name] = result(searched(side.store, nodes, home / name, *command))
                side.end()
        finally:
            nodes.close()
    record("cluster_searches", results)
    DOCS.write_text(documented("cluster_searches", table_text(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
