"""The front of the trade-off chart, which the browser computes, against brute force."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

CHARTS = Path(__file__).parents[1] / "pages/components/live_panel/static/charts.js"


def fronts(cases):
    """Return what the panel's own function gives for lists of points."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to run the panel's JavaScript")
    source = CHARTS.read_text(encoding="utf-8")
    start = source.index("export function paretoFront(")
    function = source[start : source.index("\n}", start) + 2].removeprefix("export ")
    script = f"{function}\nconsole.log(JSON.stringify({json.dumps(cases)}.map(paretoFront)));"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def brute_force(points):
    """Return the points that no other is smaller and as accurate as, or as small and better."""
    found = {
        (p["x"], p["y"])
        for p in points
        if not any(
            q["x"] <= p["x"] and q["y"] >= p["y"] and (q["x"], q["y"]) != (p["x"], p["y"])
            for q in points
        )
    }
    return sorted(found)


def test_the_front_holds_what_no_other_beats_in_both():
    rng = np.random.default_rng(0)
    cases = [[], [{"x": 1, "y": 1}]]
    for n in (2, 3, 10, 50):
        for ties in (5, 1000):
            pairs = rng.integers(0, ties, (n, 2)).tolist()
            cases.append([{"x": x, "y": y} for x, y in pairs])
    for points, front in zip(cases, fronts(cases), strict=True):
        assert [(p["x"], p["y"]) for p in front] == brute_force(points)


def test_of_equal_points_one_is_on_the_front():
    (front,) = fronts([[{"x": 1, "y": 1, "label": "a"}, {"x": 1, "y": 1, "label": "b"}]])
    assert len(front) == 1


def test_drafts_are_kept_out_of_the_front():
    source = (CHARTS.parent / "panel.js").read_text(encoding="utf-8")
    assert "paretoFront([...points.filter((p) => !p.draft)" in source
