"""Present: saved snapshots one after the other, in large type, with the arrow keys."""

from __future__ import annotations

from pages.components.errors import shown_errors
from pages.components.present.slides import slides

with shown_errors():
    slides()
