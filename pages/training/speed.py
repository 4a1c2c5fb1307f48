"""Faster training: what it gains in seconds and costs in accuracy, side by side."""

from __future__ import annotations

from pages.components.alternatives.page import topic_page

topic_page("speed")
