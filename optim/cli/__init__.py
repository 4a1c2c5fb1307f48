"""The command line: the same verbs as the page and the library.

==============  ==================================================================
``lists``       models, data, techniques
``measuring``   measure, verify, run, check
``inspecting``  inspect, sensitivity, plan
``comparing``   compare
``searching``   search
``nas``         nas
``sharing``     share
``operating``   add-model, add-data, pretrain, prepare, lessons, app
``packing``     pack, unpack
``owners``      owners list, owners delete, sweep, audit
``devices``     devices list, show, predict
``workshop``    workshop
``runs``        runs list, show, submit, cancel, pause, resume, work
==============  ==================================================================

Exit codes: 0 done, 1 a result that was refused, 2 unusable input, 70 a defect of this program, 130
interrupted; ``check`` has more, see :mod:`optim.gate`. With ``--json`` standard output holds JSON
and nothing else; progress and errors go to standard error.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from optim.cli import (  # noqa: F401  (commands register here)
    comparing,
    devices,
    inspecting,
    lists,
    measuring,
    nas,
    operating,
    owners,
    packing,
    runs,
    searching,
    sharing,
    workshop,
)
from optim.cli._app import cli
from optim.cli._output import REFUSED, UNUSABLE, fail
from optim.errors import ExportError, OptimError, RunError, first_line

__all__ = ["cli", "main"]

DEFECT, INTERRUPTED = 70, 130


def main() -> None:
    """Run the command line; every error of ours becomes a sentence and an exit code."""
    try:
        cli(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ExportError as error:
        fail(error, REFUSED)
    except OptimError as error:
        fail(error, UNUSABLE)
    except OSError as error:
        where = f"{Path(error.filename).name!r}" if isinstance(error.filename, str) else "A file"
        fail(RunError(f"{where} cannot be used: {error.strerror or error}."), UNUSABLE)
    except Exception as error:
        # A defect of ours. Python would end with 1, and a pipeline take it for a regression.
        if os.environ.get("OPTIM_DEBUG"):
            traceback.print_exc()
        fail(
            RunError(
                f"This is a defect of Optim Studio: {type(error).__name__}: {first_line(error)}.",
                hint="Please report it, with what OPTIM_DEBUG=1 prints before this line.",
            ),
            DEFECT,
        )
