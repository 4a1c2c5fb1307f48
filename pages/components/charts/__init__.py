"""Still charts: plain data in, Plotly figure out. Colours and font come from the page's theme.

===============  ===========================================================================
``classes``      single classes: how often each is right, and what it is taken for
``weights``      weights: how they are spread, and what they take on disk
``samples``      samples that are no images
``training``     trainings: curves over epochs, and alternatives side by side
``scenes``       pictures with the objects that detectors find in them
``stream``       a stream: what was answered when, and how noise is borne
``devices``      devices: how fast a model is on each, and what takes the time
``sensitivity``  what single layers can spare, as a map
===============  ===========================================================================
"""

from pages.components.charts.classes import class_changes, confusion, softened
from pages.components.charts.devices import (
    energy_parts,
    ladder,
    layer_times,
    sweet_spots,
    time_parts,
)
from pages.components.charts.samples import series, small_lines
from pages.components.charts.scenes import scene
from pages.components.charts.sensitivity import sensitivities
from pages.components.charts.stream import answer_times, noise_curves, played
from pages.components.charts.training import accuracy_by_time, epoch_curves, gaps, side_by_side
from pages.components.charts.weights import size_bars, weight_histogram

__all__ = [
    "accuracy_by_time",
    "answer_times",
    "class_changes",
    "confusion",
    "energy_parts",
    "epoch_curves",
    "gaps",
    "ladder",
    "layer_times",
    "noise_curves",
    "played",
    "scene",
    "sensitivities",
    "series",
    "side_by_side",
    "size_bars",
    "small_lines",
    "softened",
    "sweet_spots",
    "time_parts",
    "weight_histogram",
]
