"""Learn: short lessons, each with one idea, one control, one picture and one question."""

from __future__ import annotations

from pages.components.errors import shown_errors
from pages.components.lessons.listing import chosen_lesson, list_lessons, show_lesson

with shown_errors():
    if name := chosen_lesson():
        show_lesson(name)
    else:
        list_lessons()
