"""Regularisation: the same network with and without, side by side."""

from __future__ import annotations

from pages.components.alternatives.page import topic_page

topic_page("regularisation")
