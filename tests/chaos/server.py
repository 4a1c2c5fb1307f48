"""The app as ``streamlit run`` serves it, with the quick jobs of the tests: ``server.py PORT``."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    """Serve until killed."""
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    from streamlit.web import cli

    from optim.runs import engine
    from pages.components import server
    from tests.chaos.test_chaos import OPTIONS

    engine.ENGINES["local"] = lambda: engine.LocalEngine(options=OPTIONS)
    server.WATCH_S = 0.5
    cli.main(["run", "app.py", "--server.port", sys.argv[1], "--server.headless", "true"])


if __name__ == "__main__":
    main()
