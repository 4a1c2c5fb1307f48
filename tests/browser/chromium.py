"""Find a Chromium for the browser tests; run as a script, say whether there is one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return the path of a Chromium: OPTIM_CHROMIUM, the system's, or Playwright's own."""
    if chosen := os.environ.get("OPTIM_CHROMIUM"):
        return chosen
    for name in NAMES:
        if path := shutil.which(name):
            return path
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    found = sorted(cache.glob("chromium-*/chrome-linux*/chrome"))
    return str(found[-1]) if found else None


if __name__ == "__main__":
    sys.exit(0 if find_chromium() else 1)
