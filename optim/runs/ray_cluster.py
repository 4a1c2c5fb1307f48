"""A Ray cluster as the driver sees it: tasks go in, endings come out. Nothing else knows Ray."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.runs.ray_task import Order, attempt

__all__ = ["Cluster", "Ended", "Needs", "RayCluster", "needs_of_environment", "require_ray"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Needs:
    """What a run is given by the cluster.

    Attributes:
        cpus: Cores, and threads it computes with; None for four, or the largest node if smaller.
        gpus: GPUs, or a share of one.
    """

    cpus: int | None = None
    gpus: float = 0.0


@dataclass(frozen=True)
class Ended:
    """A task that is over.

    Attributes:
        handle: Which.
        problem: Why it did not begin on the node it was on; empty if it did.
        lost: What became of its node or process; empty if it ended by itself.
    """

    handle: object
    problem: str = ""
    lost: str = ""


class Cluster(Protocol):
    """Where tasks run; every method raises ``RunError`` when it cannot be reached."""

    @property
    def is_connected(self) -> bool:
        """Whether it can be asked."""
        ...

    def connect(self) -> None:
        """Be connected; does nothing if it is."""
        ...

    def largest(self) -> int:
        """Return the cores of its largest node."""
        ...

    def submit(self, order: Order, needs: Needs) -> object:
        """Queue a task; return its handle."""
        ...

    def ended(self) -> list[Ended]:
        """Return the tasks that have ended since it was last asked."""
        ...

    def withdraw(self, handle: object, *, force: bool) -> None:
        """Take a task back that waits, or stop it; with force, its process is killed."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait, at most until a task ends."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def require_ray() -> None:
    """Raise unless Ray is installed.

    Raises:
        MissingDependencyError: With what to do.
    """
    if find_spec("ray") is None:
        raise MissingDependencyError(
            "The engine 'ray' needs ray, which is not installed.",
            hint="Install it: make ray, or pip install ray",
        )


class RayCluster:
    """Tasks on a Ray cluster.

    Args:
        address: As ``RAY_ADDRESS``: ``host:port`` of the head; ``auto`` for the cluster that this
            machine is part of; ``local`` for one of its own; the latter two, in this order, if
            empty.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address.strip()
        self._ray: Any = None
        self._task: Any = None
        self._ended: list[Ended] = []
        self._pending: list[Any] = []

    @property
    def is_connected(self) -> bool:
        """Whether it can be asked."""
        return self._ray is not None and bool(self._ray.is_initialized())

    def connect(self) -> None:
        """Be connected; a cluster of one node is started where none is named or found.

        Raises:
            MissingDependencyError: If Ray is not installed.
            RunError: If the cluster cannot be reached.
        """
        if self.is_connected:
            return
        require_ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
        import ray

        self._pending.clear()
        if self.address != "local":
            try:
                self._init(ray, self.address or "auto")
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                ray.shutdown()
                if self.address:
                    raise RunError(
                        f"The Ray cluster at {self.address!r} cannot be reached: "
                        f"{_first_line(error)}.",
                        hint="This machine must be one of its nodes: "
                        "ray start --address=HEAD:6379 --num-cpus=0; or correct RAY_ADDRESS.",
                    ) from error
        if not ray.is_initialized():
            try:
                self._init(ray, "local", include_dashboard=False, num_cpus=os.cpu_count())
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                ray.shutdown()
                raise RunError(
                    f"No Ray cluster can be started on this machine: {_first_line(error)}.",
                    hint="Name one by RAY_ADDRESS, or work without: OPTIM_ENGINE=local.",
                ) from error
            if not self.address:
                _LOG.info("RAY_ADDRESS names no cluster and none was found")
            _LOG.info("a cluster of this machine alone is started")
        self._ray = ray
        self._task = ray.remote(attempt)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        _LOG.info("%d nodes, %g cores", len(nodes), sum(map(_cores, nodes)))

    def largest(self) -> int:
        """Return the cores of the largest node; 1 if there is none to work."""
        return (
            max((int(_cores(node)) for node in self._ray.nodes() if node["Alive"]), default=1) or 1
        )

    def submit(self, order: Order, needs: Needs) -> object:
        """Queue a task."""
        options = {
            "num_cpus": needs.cpus,
            "num_gpus": needs.gpus,
            "max_retries": 0,  # the queue has its own count, and begins again from the checkpoint
            "scheduling_strategy": "SPREAD",
            "name": f"optim {order.run}",
        }
        handle = self._task.options(**options).remote(order.to_json())
        self._pending.append(handle)
        return handle

    def ended(self) -> list[Ended]:
        """Return the tasks that have ended since it was last asked."""
        if not self._pending:
            return []
        over, self._pending = self._ray.wait(
            self._pending, num_returns=len(self._pending), timeout=0, fetch_local=False
        )
        return [self._ending(handle) for handle in over]

    def withdraw(self, handle: object, *, force: bool) -> None:
        """Take a task back, or stop it."""
        try:
            self._ray.cancel(handle, force=force)
        except (ValueError, RuntimeError) as error:
            _LOG.warning("a task is not stopped: %s", _first_line(error))

    def wait(self, seconds: float) -> None:
        """Wait, at most until a task ends."""
        if self._pending and self.is_connected:
            self._ray.wait(self._pending, num_returns=1, timeout=seconds, fetch_local=False)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """End the connection; a cluster that was started here ends with it."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _init(self, ray: Any, address: str, **options: Any) -> None:
        ray.init(
            address=address,
            namespace="optim",
            log_to_driver=True,
            configure_logging=False,
            **options,
        )

    def _ending(self, handle: Any) -> Ended:
        exceptions = self._ray.exceptions
        try:
            return Ended(handle, problem=self._ray.get(handle))
        except exceptions.TaskCancelledError:
            return Ended(handle, lost="Its task was stopped.")
        except exceptions.NodeDiedError:
            return Ended(handle, lost="Its node died.")
        except exceptions.OutOfMemoryError:
            return Ended(handle, lost="Its node ran out of memory.")
        except exceptions.WorkerCrashedError:
            return Ended(handle, lost="Its process on the node died.")
        except exceptions.RayError as error:
            _LOG.warning("a task failed", exc_info=True)
            if "No module named 'optim" in str(error):
                return Ended(
                    handle,
                    problem="A node does not find this program. "
                    "Install the same on all nodes: docs/deploy.md.",
                )
            return Ended(handle, problem=f"Its task failed: {_last_line(error)}.")


def _cores(node: dict[str, Any]) -> float:
    return float(node["Resources"].get("CPU", 0))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__


def needs_of_environment() -> Needs:
    """Return what ``OPTIM_RAY_CPUS`` and ``OPTIM_RAY_GPUS`` say a run is given.

    Raises:
        ConfigError: If one is no such number.
    """
    cpus = _number("OPTIM_RAY_CPUS", 1, "a whole number from 1")
    if cpus is not None and cpus != int(cpus):
        raise ConfigError(f"OPTIM_RAY_CPUS must be a whole number from 1: got {cpus:g}.")
    gpus = _number("OPTIM_RAY_GPUS", 0, "a number from 0")
    return Needs(None if cpus is None else int(cpus), gpus or 0.0)


def _number(name: str, low: float, what: str) -> float | None:
    """Return the number that a variable holds; None if it holds nothing."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value < float("inf"):
        raise ConfigError(f"{name} must be {what}: got {text!r}.")
    return value
