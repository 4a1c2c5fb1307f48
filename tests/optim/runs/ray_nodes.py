"""A Ray cluster on this machine, each node with a folder of its own; nodes can be killed.

:class:`Held` starts it in a process of its own, because Ray reaps, logs and warns in the process
that holds a cluster.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


class Nodes:
    """A head that does no work, and nodes that do.

    Args:
        folder: For the folders of the nodes.
        number: How many nodes.
        path: What else Python finds on the nodes.
    """

    def __init__(self, folder, *, number=2, path=""):
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self.folder = folder
        self.path = os.pathsep.join([str(ROOT), *([path] if path else [])])
        self.started = 0
        self.nodes = {}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.arguments("head", 0))
        for _ in range(number):
            self.add()

    def arguments(self, name, cpus):
        home = self.folder / name
        home.mkdir(parents=True)
        variables = {"OPTIM_HOME": str(home), "PYTHONPATH": self.path, "OMP_NUM_THREADS": "1"}
        return {
            "num_cpus": cpus,
            "env_vars": variables,
            "include_dashboard": False,
            "object_store_memory": 80_000_000,
        }

    def add(self):
        """Start one more with one core; return its folder."""
        self.started += 1
        arguments = self.arguments(f"node-{self.started}", 1)
        home = arguments["env_vars"]["OPTIM_HOME"]
        self.nodes[home] = self.cluster.add_node(**arguments)
        return home

    def kill(self, home):
        """Kill the raylet of a node as a power cut would: no process of it says good-bye."""
        node = self.nodes.pop(home)
        self.cluster.worker_nodes.discard(node)  # nobody waits for it any more
        raylet = node.all_processes["raylet"][0].process
        raylet.send_signal(signal.SIGKILL)
        raylet.wait()  # as a zombie it would look alive to its workers

    def forget(self):
        """Remove what was trained on the nodes."""
        for home in self.nodes:
            shutil.rmtree(Path(home) / "store" / "students", ignore_errors=True)


class Held:
    """A cluster that another process holds; it ends when its input is closed."""

    def __init__(self, folder, path=""):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.optim.runs.ray_nodes", str(folder), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.address = self._answer()

    def add(self):
        return self._tell("add")

    def kill(self, home):
        self._tell(f"kill {home}")

    def forget(self):
        self._tell("forget")

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def _tell(self, order):
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith("> "):
                return line[2:].strip()
        raise AssertionError("the cluster ended")


def main():
    """Hold a cluster, and do what standard input says: ``add``, ``kill HOME``, ``forget``."""
    folder, path = sys.argv[1:]
    nodes = Nodes(Path(folder), path=path)
    try:
        _say(nodes.cluster.address)
        for line in sys.stdin:
            what, *arguments = line.split(maxsplit=1)
            do = {"add": nodes.add, "kill": nodes.kill, "forget": nodes.forget}[what]
            _say(do(*(argument.strip() for argument in arguments)) or "")
    finally:
        nodes.cluster.shutdown()


def _say(what):
    sys.stdout.write(f"> {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
