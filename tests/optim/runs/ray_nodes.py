"""Two nodes of a Ray cluster on this machine, each with a folder of its own; one can be killed."""

import os
import shutil
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


class Nodes:
    """A head that does no work, and nodes that do.

    Args:
        folder: For the folders of the nodes.
        cpus: Of each node.
        path: What else Python finds on the nodes.
    """

    def __init__(self, folder, *, number=2, cpus=1, path=()):
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self.folder = folder
        self.cpus = cpus
        self.path = os.pathsep.join(map(str, (ROOT, *path)))
        self.started = 0
        self.cluster = Cluster(initialize_head=True, head_node_args=self.arguments("head", 0))
        self.nodes = {}
        for _ in range(number):
            self.add()
        self.cluster.wait_for_nodes()

    @property
    def address(self):
        return self.cluster.address

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
        """Start one more; return its folder."""
        self.started += 1
        arguments = self.arguments(f"node-{self.started}", self.cpus)
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

    def close(self):
        self.cluster.shutdown()


def main():
    """Hold a cluster, and do what standard input says: ``kill HOME``, ``add``, ``forget``.

    Ray reaps, logs and warns in the process that holds it, which is therefore not that of a test.
    """
    nodes = Nodes(Path(sys.argv[1]))
    sys.stdout.write(f"> {nodes.address}\n")
    sys.stdout.flush()
    try:
        for line in sys.stdin:
            what, _, home = line.strip().partition(" ")
            answer = ""
            if what == "kill":
                nodes.kill(home)
            elif what == "add":
                answer = nodes.add()
                nodes.cluster.wait_for_nodes()
            elif what == "forget":
                for known in nodes.nodes:
                    shutil.rmtree(Path(known) / "store" / "students", ignore_errors=True)
            sys.stdout.write(f"> {answer}\n")
            sys.stdout.flush()
    finally:
        nodes.close()


if __name__ == "__main__":
    main()
