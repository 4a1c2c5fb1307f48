import csv

import pytest

from optim.devices.memory import predict_memory
from optim.devices.predict import predict
from optim.devices.tables import read_workloads, write_estimates
from optim.errors import ConfigError

HEADER = "model_id,device,device_class,runtime,precision,batch,threads,params,macs,activations\n"
ROW = "a,RTX 4090 (timm),desktop_gpu,pytorch2.4-eager,amp_fp16,256,,25500000,4100000000,11100000\n"


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "rows.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_rows_go_in_and_come_out_in_order(table, tmp_path):
    other = ROW.replace("256", "1").replace("4100000000", "").replace("11100000", "nan")
    rows = read_workloads(table(HEADER + ROW + other))
    assert [row.batch for row in rows] == [256, 1]
    assert rows[1].macs is rows[1].activations is rows[0].threads is None
    write_estimates(tmp_path / "out.csv", predict(rows), predict_memory(rows))
    with (tmp_path / "out.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["latency_ms"] for row in found] == [
        f"{one.latency.value:.6g}" for one in predict(rows)
    ]
    for row in found:
        assert float(row["low_ms"]) <= float(row["latency_ms"]) <= float(row["high_ms"])
        assert row["peak_memory_mb"] == row["memory_low_mb"] == row["memory_high_mb"] == ""


def test_memory_stands_behind_latency_in_megabytes(table, tmp_path):
    phone = "m,Samsung Galaxy S24,phone_npu,qaihm-tflite,w8a8,1,,3500000,300000000,7000000\n"
    rows = read_workloads(table(HEADER + phone))
    write_estimates(tmp_path / "out.csv", predict(rows), predict_memory(rows))
    with (tmp_path / "out.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert list(row)[:3] == ["latency_ms", "low_ms", "high_ms"]
    low, value, high = (
        float(row[name]) for name in ("memory_low_mb", "peak_memory_mb", "memory_high_mb")
    )
    assert 0.1 < low < value < high < 10_000


def test_blank_tables_give_blank_answers(table, tmp_path):
    assert read_workloads(table(HEADER)) == []
    write_estimates(tmp_path / "out.csv", [], [])
    assert (tmp_path / "out.csv").read_text().startswith("latency_ms,low_ms,high_ms")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none of the columns"),
        ("a,b\n1,2\n", "none of the columns"),
        (
            HEADER + ROW.replace("4100000000", "many"),
            "line 2: macs must be a number or blank: got 'many'",
        ),
        (HEADER + ROW + ROW.replace("256", "-3"), "line 3: batch must be a positive number"),
        (HEADER + ROW.replace("256", "inf"), "line 2: batch"),
        (HEADER + '"' + "x" * 200_000, "cannot be read as CSV"),
    ],
)
def test_bad_tables_are_refused_with_the_line(table, text, message):
    with pytest.raises(ConfigError, match=message):
        read_workloads(table(text))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_workloads(path)
