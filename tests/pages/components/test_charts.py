"""Charts are functions of plain data; nothing here needs a page."""

import copy
import json

import plotly.graph_objects as go
import pytest

from pages.components import charts
from pages.components.compare import charts as compared
from pages.components.inspect import charts as inside
from pages.components.networks import charts as networks
from pages.components.search import charts as searches

COMPARED = [
    {
        "number": n,
        "name": f"model {n}",
        "x": 100.0 * (n + 1),
        "y": 80.0 + n,
        "low": 79.0 + n,
        "high": 81.0 + n,
        "text": f"model {n}: {80 + n} %",
        "is_front": True,
        "is_knee": n == 1,
        "is_taken": n == 1,
    }
    for n in range(3)
]
TREE = [
    {"id": "m", "title": "Net", "kind": "model", "parents": [], "depth": 0, "compared": False},
    {"id": "r", "title": "Run", "kind": "run", "parents": ["m"], "depth": 1, "compared": True},
]


def figure(value, text=""):
    return {"value": value, "text": text or f"{100 * value:.0f} %"}


CLASSES = [
    {"name": "cat", "before": figure(0.9), "after": figure(0.5)},
    {"name": "dog", "before": figure(0.8), "after": figure(0.8)},
    {"name": "7", "before": figure(0.7), "after": figure(0.6)},
]
CONFUSION = [[8, 2, 0], [0, 0, 0], [1, 1, 2]]
WEIGHTS = {"edges": [-1.0, 0.0, 1.0], "before": [3, 4], "after": [0, 7]}
SIZES = {
    model: {
        key: {"value": 1000.0 * (i + 1), "text": f"{i + 1} kB"}
        for i, key in enumerate(("dense", "bit_width", "sparse", "entropy", "file"))
    }
    for model in ("original", "compressed")
}

SOFTENED = {
    "names": ["cat", "dog", "7"],
    "teacher": {"shares": [0.7, 0.2, 0.1]},
    "student": {"shares": [0.5, 0.1, 0.4]},
}

CURVES = {
    "steps": [{"title": "Distil", "start": 0, "end": 3}, {"title": "Tune", "start": 3, "end": 8}],
    "curves": [
        {"name": "validation", "stretches": [[(1, 50.0), (2, 60.0)], [(4, 61.0)]]},
        {"name": "training", "stretches": [[(1, 55.0), (2, 65.0)], []]},
    ],
    "end": 8,
    "reference": {"value": 70.0, "text": "original 70 %"},
}

SIDES = [
    {"title": "Baseline", "accuracy": [(1, 50.0), (2, 60.0)], "train_accuracy": [(1, 55.0)]},
    {"title": "Dropout", "accuracy": [(1, 40.0)], "train_accuracy": []},
]


def outcome(title, value):
    interval = {"value": value, "low": value - 0.1, "high": value + 0.2}
    return {"title": title, "accuracy": interval, "gap": interval, "seconds": interval}


OUTCOMES = [outcome("Baseline", 0.8), outcome("Dropout", 0.7)]

SERIES = [
    {"id": 3, "label": "a <b>", "values": [[0.0, 1.0], [2.0, 3.0]]},
    {"id": 4, "label": None, "values": [[4.0, 5.0], [6.0, 7.0]]},
]

SCENE = {
    "picture": "aGVsbG8=",
    "size": [48, 64],
    "objects": [{"corners": [1, 2, 11, 22], "name": "7"}],
    "original": {
        "boxes": [
            {"corners": [1, 2, 11, 22], "name": "7", "score": 0.9, "is_right": True},
            {"corners": [30, 2, 41, 22], "name": "3", "score": 0.4, "is_right": False},
        ],
        "missed": [],
    },
    "compressed": {"boxes": [], "missed": [{"corners": [1, 2, 11, 22], "name": "7"}]},
}

PLAYED = {
    "classes": ["healthy", "ball"],
    "length": 8,
    "windows": {"values": [[0.0, 1.0], [-2.0, 0.5]], "step": 4, "targets": [0, 1]},
    "original": {"choices": [0, 1], "times_ms": [0.2, 0.3]},
    "compressed": {"choices": [1, 1], "times_ms": [0.1, 0.1]},
}
ACCURACY = {"value": 0.8, "low": 0.7, "high": 0.9, "text": "80 ± 10 %"}
POINTS = [
    {"level": level, "original": ACCURACY, "compressed": ACCURACY, "change": None}
    for level in (0.0, 0.5)
]

LATENCY = {"value": 2.0, "low": 1.0, "high": 5.0, "text": "2 ms"}
LADDER = [
    {"title": "Board <1>", "before": LATENCY, "after": LATENCY, "problem": ""},
    {"title": "Phone", "before": LATENCY, "after": None, "problem": ""},
    {"title": "Chip", "before": None, "after": None, "problem": "RAM: 2 MB needed, 1 MB there"},
]
PARTS = {"overhead": 1.0, "compute": 2.0, "padding": 0.5, "memory": 0.5}
LAYERS = [{"layer": f"layer{i}", "before_ms": 0.02 * i, "after_ms": 0.01 * i} for i in range(20)]

SPOTS = [
    {
        "row": f"ONNX Runtime × {threads}",
        "batch": batch,
        "value": 100.0 * batch * threads,
        "short": str(100 * batch * threads),
        "text": "so many",
        "is_within": batch < 4,
        "is_best": (batch, threads) == (2, 2),
    }
    for batch in (1, 2, 4)
    for threads in (1, 2)
]
SPOT_ROWS = ["ONNX Runtime × 1", "ONNX Runtime × 2"]

SENSITIVE = [
    {"row": "conv1 + 2 coupled", "level": "50 %", "harm": 0.1, "short": "-2.0", "text": "88 %"},
    {"row": "conv1 + 2 coupled", "level": "90 %", "harm": 1.0, "short": "-40.0", "text": "50 %"},
    {"row": "<b>linear</b>", "level": "50 %", "harm": 0.0, "short": "0", "text": "90 %"},
]
SENSITIVE_ROWS = ["conv1 + 2 coupled", "<b>linear</b>"]

LOSSES = [
    {"name": "cat", "value": -3.0, "low": -5.0, "high": -1.0, "direction": "worse", "text": "so"},
    {"name": "<b>7</b>", "value": 1.0, "low": -1.0, "high": 3.0, "direction": "same", "text": "so"},
]
SURE = {
    side: {
        "bins": [
            {"low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None},
            {"low": 0.5, "high": 0.6, "n": 2, "confidence": 0.55, "accuracy": 0.0},
            {"low": 0.5, "high": 1.0, "n": 9, "confidence": 0.8, "accuracy": 0.6},
        ]
    }
    for side in ("before", "after")
}
VALUES = {"edges": [-1.0, 0.0, 1.0], "before": None, "after": [1, 5]}
GRID = {
    "edges": [-2.5, -1.5, -0.5, 0.5, 1.5],
    "qmin": -2,
    "qmax": 1,
    "before": [1, 2, 3, 4],
    "after": [1, 2, 3, 4],
}
ERRORS = [
    {"layer": "conv1", "sqnr": None, "rounding": {"value": 30.0, "low": 29.0, "high": 31.5}},
    {"layer": "<i>fc</i>", "sqnr": {"value": 9.0, "low": 8.0, "high": 11.0}, "rounding": None},
]
SCALES = {"channels": 8, "quartiles": [0.0, 0.2, 0.5, 0.7, 1.0], "faint": 1}
NORMS = [
    {"norm": "bn1", "before": SCALES, "after": SCALES},
    {"norm": "<b>", "before": None, "after": SCALES},
]
WORSE = [
    {"severity": s, "before": f, "after": f if s else None}
    for s, f in ((s, {"value": 90.0 - s, "low": 88.0, "high": 91.0, "text": "so"}) for s in (0, 1))
]
DRAWN = {
    "nodes": [
        {"x": 0.0, "y": float(i), "role": role, "title": f"<b>{role}</b>", "text": role,
         "size": 0.5, "value": value}
        for i, (role, value) in enumerate((("end", None), ("layer", 12.0), ("other", None)))
    ],
    "edges": [{"path": [[0.0, 0.0], [0.0, 1.0]]}, {"path": [[0.0, 1.0], [0.0, 2.0]]}],
    "width": 1.0,
    "height": 3.0,
}  # fmt: skip
COLOUR = {"title": "SQNR, dB", "judged": True, "reversed": True, "ends": (0.0, 20.0)}

CANDIDATES = [
    {
        "x": 40_000.0 * (i + 1),
        "y": 5.0 - i,
        "low": 4.0 - i,
        "high": 6.0 - i,
        "stage": stage,
        "text": f"recipe <{i}>",
        "is_front": i < 2,
        "is_taken": i == 1,
        "is_closest": False,
    }
    for i, stage in enumerate(("without training", "long training", "baseline"))
]

NETWORKS = [
    {
        **{"x": 6000.0 * (i + 1), "y": 30.0 / (i + 1), "low": 5.0, "high": 40.0, "epochs": epochs},
        **{"text": "width 8", "is_front": i != 1, "is_taken": i == 2, "is_closest": False},
    }
    for i, epochs in enumerate((4, 4, 12))
]
AXES = [{"title": "Width", "labels": [8, 16]}, {"title": "Error", "labels": ["9.00 points"]}]
LINES = [
    {
        "positions": [i, 0.5],
        "text": "width 8",
        "is_front": i == 1,
        "is_taken": i == 1,
        "is_closest": False,
    }
    for i in (0, 1)
]
TRUST = [
    {
        "title": title,
        "kind": "count" if title == "MACs" else "proxy",
        "tau": {"value": 0.5, "low": 0.1, "high": 0.8, "text": "0.5 ± 0.4"},
        "rho": {"value": 0.6, "low": 0.1, "high": 0.9, "text": "0.6 ± 0.4"},
    }
    for title in ("SynFlow", "MACs")
]
DESCENT = [
    {
        "number": n,
        "error": 30.0 / n,
        "text": f"width {n}",
        "parents": parents,
        "parent": parent,
        "is_front": n > 2,
        "is_taken": n == 4,
    }
    for n, parents, parent in ((1, [], -1), (2, [], -1), (3, [1, 2], -1), (4, [], 3), (5, [2], -1))
]
SHARED = [
    {"x": 9000.0 * n, "y": 30.0 / n, "text": f"width {n}", "is_picked": n == 2} for n in (1, 2)
]
NETWORK_LAYERS = [
    {"name": "stem", "kind": "conv", "shape": [8, 1, 3, 3], "params": 80, "macs": 1152},
    {"name": "head", "kind": "linear", "shape": [10, 8], "params": 90, "macs": 80},
]

EVERY = [
    pytest.param(
        networks.network_front,
        (NETWORKS, {"x": 9000.0, "y": None}, {"x": "Size, bytes", "y": "Error, points"}),
        id="network_front",
    ),
    pytest.param(networks.parallel, (AXES, LINES), id="parallel"),
    pytest.param(
        compared.compared_front,
        (COMPARED, 300.0, {"x": "File", "y": "Accuracy, %"}),
        id="compared_front",
    ),
    pytest.param(
        compared.parallel_models,
        (
            [{"title": "File", "top": "1 kB", "bottom": "2 kB"}],
            [{"number": 0, "name": "a", "positions": [1.0], "texts": ["a: File 1 kB"]}],
        ),
        id="parallel_models",
    ),
    pytest.param(
        compared.class_dots,
        (
            [
                {
                    "number": 1,
                    "name": "a",
                    "classes": [{"name": "7", "value": 1, "low": 0, "high": 2, "text": "7: 1"}],
                }
            ],
        ),
        id="class_dots",
    ),
    pytest.param(
        compared.layer_lines,
        (["conv"], [{"number": 0, "name": "a", "values": [3]}], "Output channels"),
        id="layer_lines",
    ),
    pytest.param(compared.descent, (TREE,), id="descent"),
    pytest.param(networks.trust_meter, (TRUST,), id="trust_meter"),
    pytest.param(networks.layers, (NETWORK_LAYERS,), id="layers"),
    pytest.param(networks.lineage, (DESCENT, 4), id="lineage"),
    pytest.param(
        networks.shared_front,
        (SHARED, 10_000.0, {"x": "Size, bytes", "y": "Error, %"}),
        id="shared_front",
    ),
    pytest.param(
        searches.search_front,
        (CANDIDATES, {"x": 70_000.0, "y": 1.0}, {"x": "Size, bytes", "y": "Loss, points"}),
        id="search_front",
    ),
    pytest.param(inside.class_losses, (LOSSES,), id="class_losses"),
    pytest.param(inside.reliability, (SURE,), id="reliability"),
    pytest.param(inside.histogram, (VALUES, "Weight"), id="histogram"),
    pytest.param(inside.on_grid, (GRID,), id="on_grid"),
    pytest.param(inside.layer_errors, (ERRORS,), id="layer_errors"),
    pytest.param(inside.norm_scales, (NORMS,), id="norm_scales"),
    pytest.param(
        inside.corruption_curve, (WORSE, "Accuracy, %", (80.0, 95.0)), id="corruption_curve"
    ),
    pytest.param(inside.architecture, (DRAWN, COLOUR), id="architecture"),
    pytest.param(
        charts.sensitivities,
        (SENSITIVE, SENSITIVE_ROWS, ("50 %", "90 %"), "Sparsity"),
        id="sensitivities",
    ),
    pytest.param(charts.sweet_spots, (SPOTS, SPOT_ROWS, (1, 2, 4, 8)), id="sweet_spots"),
    pytest.param(charts.played, (PLAYED, "healthy", 85.0), id="played"),
    pytest.param(charts.answer_times, (PLAYED, 0.25), id="answer_times"),
    pytest.param(charts.noise_curves, (POINTS, 0.5), id="noise_curves"),
    pytest.param(charts.scene, (SCENE, "original"), id="scene"),
    pytest.param(charts.ladder, (LADDER,), id="ladder"),
    pytest.param(charts.time_parts, ([("Original", PARTS), ("Now", PARTS)],), id="time_parts"),
    pytest.param(
        charts.energy_parts, ([("Now", {"compute": 1e-6, "movement": 2e-6})],), id="energy_parts"
    ),
    pytest.param(charts.layer_times, (LAYERS, {"layer19": (0.4, 0.2)}), id="layer_times"),
    pytest.param(charts.side_by_side, (SIDES,), id="side_by_side"),
    pytest.param(charts.gaps, (OUTCOMES,), id="gaps"),
    pytest.param(charts.accuracy_by_time, (OUTCOMES,), id="accuracy_by_time"),
    pytest.param(charts.epoch_curves, (CURVES, "Accuracy, %", " %"), id="epoch_curves"),
    pytest.param(charts.softened, (SOFTENED,), id="softened"),
    pytest.param(charts.series, ([0.5, -1.0, 2.0],), id="series"),
    pytest.param(charts.small_lines, (SERIES,), id="small_lines"),
    pytest.param(charts.class_changes, (CLASSES,), id="class_changes"),
    pytest.param(charts.confusion, (CONFUSION, ["cat", "dog", "7"]), id="confusion"),
    pytest.param(charts.weight_histogram, (WEIGHTS,), id="weight_histogram"),
    pytest.param(charts.size_bars, (SIZES,), id="size_bars"),
]


def traces(found, kind):
    return [trace for trace in found.data if trace.type == kind]


@pytest.mark.parametrize(("chart", "data"), EVERY)
def test_a_chart_is_made_of_its_data_alone_and_leaves_them_as_they_were(chart, data):
    before = copy.deepcopy(data)
    first, second = chart(*data), chart(*data)
    assert data == before
    assert isinstance(first, go.Figure)
    assert first.to_json() == second.to_json()
    json.loads(first.to_json())


@pytest.mark.parametrize(("chart", "data"), EVERY)
def test_a_chart_names_what_its_numbers_are_and_lets_the_page_colour_it(chart, data):
    layout = chart(*data).layout
    assert layout.xaxis.title.text
    assert layout.title.text is None
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_every_chart_that_is_public_is_covered_here():
    every = {
        *charts.__all__,
        *compared.__all__,
        *inside.__all__,
        *networks.__all__,
        *searches.__all__,
    }
    assert {param.id for param in EVERY} == every - {"FEW", "color_of"}


def test_channels_have_one_colour_in_every_sample_and_names_stand_as_they_are_written():
    found = charts.small_lines(SERIES)
    colors = [trace.line.color for trace in found.data]
    assert colors[:2] == colors[2:]
    assert colors[0] != colors[1]
    assert [a.text for a in found.layout.annotations] == ["a &lt;b&gt;", "Sample 4"]


def test_the_worst_class_stands_at_the_top():
    found = charts.class_changes(CLASSES)
    now = next(trace for trace in found.data if trace.name == "Now")
    assert list(now.y) == ["dog", "7", "cat"], "Plotly draws the last category at the top"
    assert list(now.x) == [80, 60, 50]


def test_classes_named_by_numbers_stay_names():
    assert charts.class_changes(CLASSES).layout.yaxis.type == "category"
    assert charts.confusion(CONFUSION, ["0", "1", "2"]).layout.xaxis.type == "category"


def test_confusion_is_in_percent_of_the_true_class_and_empty_classes_are_zero():
    (map_,) = traces(charts.confusion(CONFUSION, ["a", "b", "c"]), "heatmap")
    assert [list(row) for row in map_.z] == [[80, 20, 0], [0, 0, 0], [25, 25, 50]]
    assert [list(row) for row in map_.customdata] == CONFUSION


def test_a_histogram_puts_counts_between_their_edges():
    before, after = traces(charts.weight_histogram(WEIGHTS), "bar")
    assert list(before.x) == list(after.x) == [-0.5, 0.5]
    assert list(before.y) == [3, 4]
    assert list(after.y) == [0, 7]


def test_sizes_are_in_kilobytes_with_their_text():
    for bars in traces(charts.size_bars(SIZES), "bar"):
        assert list(bars.x) == [1, 2, 3, 4, 5]
        assert list(bars.text) == ["1 kB", "2 kB", "3 kB", "4 kB", "5 kB"]


def test_curves_break_between_steps_and_the_newest_point_has_its_name():
    found = charts.epoch_curves(CURVES, "Accuracy, %", " %")
    validation = found.data[0]
    assert list(validation.x) == [1, 2, None, 4, None]
    assert not validation.connectgaps
    names = [annotation.text for annotation in found.layout.annotations]
    assert {"validation 61 %", "training 65 %", "Distil", "Tune", "original 70 %"} == set(names)
    assert found.data[1].x == (4,)


def test_one_step_needs_no_name_and_no_line_between_steps():
    info = {**CURVES, "steps": CURVES["steps"][:1], "reference": None}
    found = charts.epoch_curves(info, "Accuracy, %")
    assert not found.layout.shapes
    assert {a.text for a in found.layout.annotations} == {"validation 61", "training 65"}


def test_the_axis_of_epochs_has_whole_numbers_up_to_the_last_planned_one():
    axis = charts.epoch_curves(CURVES, "Accuracy, %").layout.xaxis
    assert list(axis.tickvals) == list(range(1, 9))
    many = charts.epoch_curves({**CURVES, "end": 100}, "Loss").layout.xaxis
    assert list(many.tickvals) == list(range(13, 101, 13))


def test_original_and_compressed_have_one_colour_each_everywhere():
    colours = {}
    for chart, data in (param.values for param in EVERY):
        for trace in chart(*data).data:
            if trace.name and trace.marker.color:
                colours.setdefault(trace.name, set()).add(trace.marker.color)
    assert {"Original", "Now", "Teacher", "Student", "Baseline", "Dropout"} <= colours.keys()
    assert {name for name, found in colours.items() if len(found) > 1} == set()
    assert colours["Baseline"] == colours["Original"]
    assert colours["Teacher"] == colours["Original"] != colours["Now"] == colours["Student"]


def test_boxes_that_are_found_false_and_missed_differ_by_their_lines():
    def lines(model):
        drawn = [t for t in charts.scene(SCENE, model).data if t.mode == "lines" and t.line.dash]
        return {trace.name: (trace.line.dash, list(trace.x)) for trace in drawn}

    original, compressed = lines("original"), lines("compressed")
    assert len({dash for dash, _ in original.values()}) == 3
    assert original["found"][1] == [1, 11, 11, 1, 1, None]
    assert original["false"][1] == [30, 41, 41, 30, 30, None]
    assert original["missed"][1] == compressed["found"][1] == []
    assert compressed["missed"][1] == original["found"][1]


def test_alarms_are_told_by_their_form_and_a_frame_shows_its_window():
    found = charts.played(PLAYED, "healthy", 85.0)
    forms = {trace.name: list(trace.marker.symbol) for trace in found.data if trace.name}
    assert forms["Original"] == forms["true class"] == ["circle-open", "triangle-up"]
    assert forms["Now"] == ["triangle-up", "triangle-up"]
    assert [list(frame.data[0].y) for frame in found.frames] == PLAYED["windows"]["values"]
    assert list(found.frames[1].data[1].x) == [2, 2]
    play, _ = found.layout.updatemenus[0].buttons
    assert play.args[1]["frame"]["duration"] == 85.0


def test_a_series_of_zeros_is_drawn_in_the_middle():
    windows = {**PLAYED["windows"], "values": [[0.0] * 4] * len(PLAYED["windows"]["targets"])}
    found = charts.played({**PLAYED, "windows": windows}, "healthy", 85.0)
    assert list(found.layout.yaxis.range) == [-1.0, 1.0]


def test_a_rung_where_the_model_does_not_fit_says_why_and_has_no_point():
    found = charts.ladder(LADDER)
    now = next(trace for trace in found.data if trace.name == "Now")
    assert list(now.y) == ["Board &lt;1&gt;"]
    assert {a.y: a.text for a in found.layout.annotations if a.xanchor == "right" and a.text} == {
        "Phone": "not known",
        "Chip": "RAM: 2 MB needed, 1 MB there",
    }
    assert list(now.error_x.array) == [3.0]
    assert list(now.error_x.arrayminus) == [1.0]


def test_an_uncompressed_model_stands_once_on_each_rung():
    assert [trace.name for trace in charts.ladder(LADDER, both=False).data] == ["Now"]


def test_parts_of_the_time_are_shares_of_each_model_and_add_up():
    found = charts.time_parts([("Original", PARTS), ("Now", {**PARTS, "overhead": 9.0})])
    sums = [sum(trace.x[i] for trace in found.data) for i in (0, 1)]
    assert sums == pytest.approx([100, 100])


def test_descent_tells_the_ancestors_of_what_is_picked_from_others():
    found = networks.lineage(DESCENT, 4)
    lines = {trace.name: trace.x for trace in found.data if trace.mode == "lines"}
    assert lines["Ancestors of the network that is picked"] == (1, 3, None, 2, 3, None, 3, 4, None)
    assert lines["Descent"] == (2, 5, None)
    assert all(trace.mode == "markers" for trace in networks.lineage(DESCENT[:2], None).data)


def test_the_longest_layers_are_drawn_in_their_own_order():
    found = charts.layer_times(LAYERS, {"layer19": (0.4, 0.2)})
    bars = traces(found, "bar")
    assert list(bars[0].y) == [f"layer{i}" for i in range(4, 20)]
    assert [list(t.x) for t in traces(found, "scatter")] == [[400.0], [200.0]]


def test_what_was_not_tried_stays_blank():
    (heat,) = traces(
        charts.sensitivities(SENSITIVE, SENSITIVE_ROWS, ("50 %", "90 %"), "Sparsity"), "heatmap"
    )
    assert list(heat.z) == [[0.1, 1.0], [0.0, None]]
    assert list(heat.text) == [["-2.0", "-40.0"], ["0", ""]]


def test_settings_within_the_limit_are_coloured_and_the_others_grey():
    found = charts.sweet_spots(SPOTS, SPOT_ROWS, (1, 2, 4, 8))
    within, slow = traces(found, "heatmap")
    assert list(within.z) == [[100.0, 200.0, None, None], [200.0, 400.0, None, None]]
    assert list(slow.z) == [[None, None, 400.0, None], [None, None, 800.0, None]]
    assert len({colour for _, colour in slow.colorscale}) == 1
    (frame,) = found.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (0.5, 1.5, 0.5, 1.5)


def test_the_class_that_lost_most_stands_at_the_top_and_its_name_as_it_is_written():
    (points,) = inside.class_losses(LOSSES).data
    assert list(points.y) == ["&lt;b&gt;7&lt;/b&gt;", "cat"], "Plotly draws the last at the top"
    assert list(points.error_x.array) == [2.0, 2.0]
    assert len(set(points.marker.color)) == 2


def test_bins_of_hardly_any_answers_have_no_point():
    found = inside.reliability(SURE)
    told = [trace for trace in traces(found, "scatter") if trace.name]
    assert [list(trace.x) for trace in told] == [[80.0], [80.0]]
    assert [list(trace.y) for trace in told] == [[60.0], [60.0]]


def test_a_narrow_grid_shows_its_levels_and_a_wide_one_its_ends():
    narrow = inside.on_grid(GRID)
    (levels,) = traces(narrow, "scatter")
    assert list(levels.x) == [-2, -1, 0, 1]
    assert [shape.x0 for shape in narrow.layout.shapes] == [-2.5, 1.5]
    wide = inside.on_grid({**GRID, "qmin": -128, "qmax": 127})
    assert traces(wide, "scatter") == []
    assert [shape.x0 for shape in wide.layout.shapes] == [-128.5, 127.5]


def test_errors_keep_the_order_of_the_layers_and_gaps_where_nothing_is_known():
    found = inside.layer_errors(ERRORS)
    assert [list(trace.y) for trace in found.data] == [[None, 9.0], [30.0, None]]
    assert list(found.layout.xaxis.categoryarray) == ["conv1", "&lt;i&gt;fc&lt;/i&gt;"]


def test_norms_the_original_has_not_are_drawn_once():
    medians = [t for t in inside.norm_scales(NORMS).data if t.mode == "markers"]
    assert {trace.name: len(trace.x) for trace in medians} == {"Original": 1, "Now": 2}


def test_nodes_of_which_nothing_is_known_are_grey_and_the_others_on_the_scale():
    found = inside.architecture(DRAWN, COLOUR)
    grey, known = [trace for trace in found.data if "markers" in trace.mode]
    assert list(grey.marker.symbol) == ["square-open", "diamond"]
    assert list(known.marker.color) == [12.0]
    assert (known.marker.cmin, known.marker.cmax) == (0.0, 20.0)
    assert known.marker.reversescale
    assert "&lt;b&gt;layer&lt;/b&gt;" in known.text[0]
    assert not found.layout.xaxis.fixedrange
    many = {**DRAWN, "nodes": DRAWN["nodes"] * 30}
    assert all("text" not in trace.mode for trace in inside.architecture(many, COLOUR).data)


def test_the_front_of_a_search_shows_limits_front_and_what_is_taken():
    found = searches.search_front(
        CANDIDATES, {"x": 70_000.0, "y": None}, {"x": "Size, bytes", "y": "Loss, points"}
    )
    by_name = {trace.name: trace for trace in found.data}
    assert list(by_name["Front"].x) == [40_000.0, 80_000.0]
    assert list(by_name["Taken"].y) == [4.0]
    assert by_name["Taken"].error_y.array == (1.0,)
    assert "&lt;1&gt;" in by_name["Taken"].text[0]
    assert len(found.layout.shapes) == 1, "one limit, one line"
    empty = searches.search_front([], {"x": None, "y": None}, {"x": "a", "y": "b"})
    assert len(empty.data) == 0


def test_the_line_of_a_front_of_three_figures_never_rises():
    given = [
        {**CANDIDATES[0], "x": x, "y": y, "is_front": True, "is_taken": False}
        for x, y in ((59_600.0, 4.0), (60_400.0, 6.3), (80_000.0, 1.0))
    ]
    axes = {"x": "Size, bytes", "y": "Loss, points"}
    for found in (
        searches.search_front(given, {"x": None, "y": None}, axes),
        networks.network_front([{**p, "epochs": 4} for p in given], {"x": None, "y": None}, axes),
    ):
        by_name = {trace.name: trace for trace in found.data}
        assert list(by_name["Front"].y) == [4.0, 1.0]
        assert list(by_name["Front by another figure"].x) == [60_400.0]


def test_what_came_closest_has_another_name_and_mark_than_what_is_taken():
    point = {**CANDIDATES[0], "is_taken": False, "is_closest": True}
    found = searches.search_front([point], {"x": 1.0, "y": None}, {"x": "a", "y": "b"})
    (closest,) = (trace for trace in found.data if trace.name == "Closest")
    assert closest.marker.symbol != "star"
    assert "Taken" not in {trace.name for trace in found.data}
    line = {**LINES[1], "is_taken": False, "is_closest": True}
    assert "Closest" in {trace.name for trace in networks.parallel(AXES, [line]).data}
