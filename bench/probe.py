"""This machine probed: latency predicted operator by operator, against what is measured.

Every network of the zoo with fresh weights, and every model that ships with 8 bits. No law was
fitted to any of them. Meant for a machine that does nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from common import record

from optim.devices.calibration import Calibration, read_probe
from optim.devices.probe import probe
from optim.ladder.checking import measure_checks

GOAL = 0.15


def main() -> None:
    found = probe(told=told("operators"))
    calibration = Calibration(read_probe(json.dumps(found).encode()))
    rows = measure_checks(calibration, told("networks"))
    errors = sorted(abs(row.error) for row in rows)
    median = errors[len(errors) // 2]
    record(
        "probe",
        {
            "probe_s": found["seconds"],
            "operators": len(found["operators"]),
            "networks": len(rows),
            "median_error": median,
            "goal": GOAL,
            "is_met": median <= GOAL,
            "inside_their_interval": sum(row.is_inside for row in rows) / len(rows),
            "error_of_the_probes_own_networks": calibration.error,
            "rows": [
                {
                    "network": row.name,
                    "predicted_ms": row.predicted.value,
                    "low_ms": row.predicted.low,
                    "high_ms": row.predicted.high,
                    "measured_ms": row.measured.value,
                    "error": row.error,
                }
                for row in rows
            ],
        },
    )


def told(what: str) -> Callable[[float], None]:
    def tell(share: float) -> None:
        print(f"\r{what} {share:4.0%} ", end="", file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    main()
