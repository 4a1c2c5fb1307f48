"""Runs side by side, each change as its run stored it."""

from pages.components.runs.compare import comparison_rows


def test_one_row_a_property_and_one_column_a_run(worked):
    runs = [worked.finished("half"), worked.finished("most", accuracy=0.87, change=-4.1)]
    rows = {row[""]: row for row in comparison_rows(runs)}
    assert set(rows["Accuracy, result"]) == {"", "half", "most"}
    assert rows["Accuracy, change"]["half"] == "loses 1.4 ± 0.9 points"
    assert rows["Accuracy, change"]["most"] == "loses 4.1 ± 0.9 points"
    assert rows["Size, original"]["half"] == "330 kB"
    assert rows["MACs, change"]["most"] == "3.11x less"
    assert rows["Model"]["half"] == "Small ResNet · Digits"


def test_a_run_without_a_result_has_its_column_and_says_so(worked):
    rows = {r[""]: r for r in comparison_rows([worked.finished("done"), worked.running("begun")])}
    assert rows["State"] == {"": "State", "done": "finished", "begun": "running"}
    assert rows["Accuracy, result"]["begun"] == "not measured"
    assert rows["Latency, change"]["begun"] == "not compared"


def test_runs_of_one_title_keep_their_columns_apart(worked):
    runs = [worked.finished("same"), worked.finished("same")]
    assert len(comparison_rows(runs)[0]) == 3
