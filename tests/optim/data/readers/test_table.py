"""Tables: types of columns, what becomes of missing values, parts, targets, and what attacks."""

import io
import sys
import tracemalloc

import numpy as np
import pytest

from optim.data import Classification, Regression, Unlabelled, open_data, overlap, trained_on
from optim.data.readers import _table_files
from optim.errors import DataError, MissingDependencyError
from tests.damage import refusals

MEBIBYTE = 2**20


def rows(n=60, seed=0):
    """Lines of a table: a number, a text of three, yes or no, and a class."""
    rng = np.random.default_rng(seed)
    return [
        f"{rng.normal(40, 10):.2f},{['red', 'green', 'blue'][i % 3]},{('yes', 'no')[i % 2]},"
        f"{['ant', 'bee'][i % 2]}"
        for i in range(n)
    ]


HEADER = "age,colour,member,species"


@pytest.fixture
def csv(tmp_path):
    """Write lines to a table."""

    def write(lines, name="data.csv", header=HEADER):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *lines] if header else lines), encoding="utf-8")
        return path

    return write


def refuses(path, reason):
    with pytest.raises(DataError, match=reason) as caught:
        open_data(path).part("train")
    assert str(path).rpartition("/")[0] not in str(caught.value)
    return caught.value


def test_a_lone_table_is_cut_by_class(csv):
    data = open_data(csv(rows()))
    assert list(data.parts.items()) == [("train", 36), ("validation", 12), ("test", 12)]
    for part in data.parts:
        assert np.bincount(data.part(part).targets).tolist() == [data.parts[part] // 2] * 2
    ids = np.concatenate([data.part(part).ids for part in data.parts])
    assert sorted(ids.tolist()) == list(range(60))


def test_columns_become_numbers_by_what_they_hold(csv):
    data = open_data(csv(rows()))
    assert data.input_shape == (5,)  # age, three colours, member
    assert data.task.class_names == ("ant", "bee")
    train = data.part("train").inputs
    assert train.dtype == np.float32
    assert train[:, 1:4].sum(axis=1).tolist() == [1.0] * 36
    assert set(train[:, 4].tolist()) == {0.0, 1.0}


def test_numbers_are_standardised_by_the_train_part_alone(csv):
    data = open_data(csv(rows()))
    train, test = data.part("train").inputs[:, 0], data.part("test").inputs[:, 0]
    np.testing.assert_allclose([train.mean(), train.std()], [0, 1], atol=1e-5)
    assert abs(test.mean()) > 1e-3
    ages = np.array([float(line.split(",")[0]) for line in rows()])
    known = ages[data.part("train").ids]
    expected = (ages[data.part("test").ids] - known.mean()) / known.std()
    np.testing.assert_allclose(test, expected, rtol=1e-4)


def test_missing_numbers_are_the_train_parts_median_and_the_notes_say_so(csv):
    lines = [line if i % 5 else "," + line.partition(",")[2] for i, line in enumerate(rows())]
    data = open_data(csv(lines))
    train = data.part("train")
    ages = np.array([float(line.split(",")[0] or "nan") for line in lines])[train.ids]
    filled = np.where(np.isnan(ages), np.nanmedian(ages), ages)
    expected = (filled - filled.mean()) / filled.std()
    np.testing.assert_allclose(train.inputs[:, 0], expected, rtol=1e-4, atol=1e-6)
    missing = int(np.isnan(ages).sum())
    assert f"age: {missing} missing, read as the median {np.nanmedian(ages):g}." in data.notes


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", "?"])
def test_missing_texts_are_a_category_of_their_own(csv, word):
    lines = [line.replace("blue", word) for line in rows()]
    data = open_data(csv(lines))
    assert data.input_shape == (5,)
    train = data.part("train")
    absent = np.array([line.split(",")[1] == word for line in lines])[train.ids]
    np.testing.assert_array_equal(train.inputs[:, 1], absent)  # "(missing)" sorts first


def test_category_that_train_does_not_have_is_all_zeros(csv):
    csv(rows(), "data/train.csv")
    path = csv([*rows(), "30,purple,yes,bee"], "data/test.csv")
    data = open_data(path.parent)
    assert data.parts == {"train": 60, "test": 61}
    assert data.part("test").inputs[60, 1:4].tolist() == [0, 0, 0]


def test_what_cannot_be_used_is_left_out_and_the_notes_say_so(csv):
    lines = [f"name {i},7,,{line}" for i, line in enumerate(rows(90))]
    data = open_data(csv(lines, header=f"name,constant,nothing,{HEADER}"))
    assert data.input_shape == (5,)
    notes = " ".join(data.notes)
    assert "name: left out, it has 90 different texts." in notes
    assert "constant: left out, train has one value." in notes
    assert "nothing: left out, it is empty." in notes


SEPARATORS = {"comma": (",", "a.csv"), "semicolon": (";", "a.csv"), "tab": ("\t", "a.tsv")}


@pytest.mark.parametrize(("mark", "name"), SEPARATORS.values(), ids=SEPARATORS)
def test_separators_are_recognised(csv, mark, name):
    plain = open_data(csv(rows())).part("train")
    lines = [line.replace(",", mark) for line in rows()]
    other = open_data(csv(lines, name, HEADER.replace(",", mark))).part("train")
    np.testing.assert_array_equal(plain.inputs, other.inputs)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_line_that_tells_excel_the_separator_is_no_row(csv, tmp_path, mark, end, encoding):
    plain = open_data(csv(rows())).part("train")
    lines = [f"sep={mark}", *(line.replace(",", mark) for line in (HEADER, *rows()))]
    path = tmp_path / "told.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    np.testing.assert_array_equal(plain.inputs, open_data(path).part("train").inputs)


def test_quoted_cells_may_hold_the_separator(csv):
    lines = [line.replace("red", '"red, ""dark"""') for line in rows()]
    assert open_data(csv(lines)).input_shape == (5,)


def test_table_without_a_header_has_numbered_columns(csv):
    lines = [f"{i * 0.5},{i % 7},{i % 2}" for i in range(40)]
    data = open_data(csv(lines, header=""))
    assert data.parts["train"] + data.parts["validation"] + data.parts["test"] == 40
    assert "Target: column 'column 3', guessed." in data.notes


def test_text_of_excel_is_read(tmp_path):
    path = tmp_path / "a.csv"
    lines = "\r\n".join([HEADER, *rows()]).replace("red", "rosé")
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert open_data(path).input_shape == (5,)
    path.write_bytes(lines.encode("latin-1"))
    data = open_data(path)
    assert data.input_shape == (5,)
    assert "Text is read as Windows-1252: it is not UTF-8." in data.notes


def test_signs_that_latin_1_lacks_are_read(tmp_path):
    lines = "\n".join([HEADER, *rows()]).replace("ant", "€").replace("bee", "“bee”")
    (tmp_path / "a.csv").write_bytes(lines.encode("cp1252"))
    assert open_data(tmp_path / "a.csv").task.class_names == ("“bee”", "€")
    lines = "\n".join([HEADER, *rows()])
    (tmp_path / "a.csv").write_bytes(lines.encode("cp1252") + b"\n40,r\x81d,yes,ant")
    data = open_data(tmp_path / "a.csv")
    assert "Text is read as Latin-1: it is not UTF-8." in data.notes, "Windows has no such sign"


def decimal_commas(lines):
    return [line.replace(",", ";").replace(".", ",") for line in lines]


@pytest.mark.parametrize("header", ["age;colour;member;species", "age, years;colour, x;member;a"])
def test_decimal_commas_are_read_where_another_sign_separates(csv, header):
    plain = open_data(csv(rows(200))).part("train")
    data = open_data(csv(decimal_commas(rows(200)), "german.csv", header))
    np.testing.assert_array_equal(data.part("train").inputs, plain.inputs)
    assert f"Numbers with a decimal comma: {header.split(';')[0]}." in data.notes


def test_a_table_of_decimal_commas_needs_no_header(csv):
    lines = [f"{i},25;{i % 7},50;{i % 2}" for i in range(40)]
    data = open_data(csv(lines, header=""))
    assert (sum(data.parts.values()), data.input_shape) == (40, (2,))
    assert "Target: column 'column 3', guessed." in data.notes


def test_a_quantity_may_have_a_decimal_comma(csv):
    lines = [f"{i % 7};{i},25" for i in range(60)]
    data = open_data(f"{csv(lines, header='size;price')}?target=price")
    targets = np.concatenate([data.part(part).targets for part in data.parts])
    assert sorted(targets.tolist()) == [i + 0.25 for i in range(60)]
    classes = open_data(csv([f"{i};{i % 3},0" for i in range(60)], header="a;y"))
    assert classes.task.class_names == ("0", "1", "2")


def test_points_and_commas_in_one_column_are_refused(csv):
    lines = [f"{i}.25;{i % 2}" for i in range(50)] + [f"{i},5;{i % 2}" for i in range(50)]
    refuses(csv(lines, header="a;y"), "'a' looks like numbers in another notation: '0,5' in row 51")


def test_semicolons_in_a_text_separate_nothing(csv):
    lines = [f"{i},{i % 7},{'ab'[i % 2]};x" for i in range(40)]
    assert open_data(csv(lines, header="")).input_shape == (2,)
    lines = [f"{i % 5},{i % 7},{'ab'[i % 2]};x" for i in range(40)]
    assert open_data(csv(lines, header="a,b,c;d")).task.class_names == ("a;x", "b;x")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ('"{n},234,567"', "1,234,567"),
        ("{n}.234.567", "1.234.567"),
        ("{n} %", "1 %"),
        ("{n}.5%", "1.5%"),
        ("€{n}", "€1"),
        ('"{n},5"', "1,5"),
    ],
)
@pytest.mark.parametrize("target", ["", "?target=a"])
def test_numbers_in_another_notation_are_refused(csv, number, shown, target):
    path = csv([f"{number.format(n=n + 1)},{n % 2}" for n in range(200)], header="a,y")
    error = refuses(f"{path}{target}", f"'a' looks like numbers in another notation: '{shown}' in")
    assert "Write all of them as 1234.5" in error.hint


def test_a_few_of_them_are_categories(csv):
    lines = [f"{(10, 20, 50)[n % 3]}%,{n % 2}" for n in range(200)]
    assert open_data(csv(lines, header="a,y")).feature_names == ("a=10%", "a=20%", "a=50%")


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_the_index_that_pandas_writes_is_left_out(csv, name):
    order = np.random.default_rng(0).permutation(200)
    lines = [f"{i},{rest}" for i, rest in zip(order, rows(200), strict=True)]
    data = open_data(csv(lines, header=f"{name},{HEADER}"))
    assert data.input_shape == open_data(csv(rows(200), "other.csv")).input_shape
    assert f"{name or 'column 1'}: left out, it numbers the rows." in data.notes
    asked = open_data(f"{csv(lines, header=f'{name},{HEADER}')}?target={name or 'column 1'}")
    assert isinstance(asked.task, Regression)


def test_the_index_is_never_guessed_as_target(csv):
    lines = [f"{i},{i}.5,{i}.25" for i in range(90)]
    assert open_data(csv(lines, header=",a,b")).task == Regression(("b",))


def test_a_column_without_a_name_that_numbers_nothing_is_a_column(csv):
    lines = [f"{i % 50},{rest}" for i, rest in enumerate(rows(200))]
    data = open_data(csv(lines, header=f",{HEADER}"))
    assert data.feature_names[0] == "column 1"
    numbered = [f"{i},{i % 2}" for i in range(40)]
    assert open_data(csv(numbered, header="")).feature_names == ("column 1",), "no header, no index"


def test_quantities_that_no_single_precision_holds_are_refused(csv):
    lines = [f"{i % 5},{i + 1}e300" for i in range(200)]
    refuses(csv(lines, header="a,y"), "Column 'y' holds 1e[+]300: quantities are at most 3.4e[+]38")


def test_what_is_read_as_missing_of_the_target_is_said(csv):
    lines = [f"{i},{('None', 'low', 'high')[i % 3]}" for i in range(90)]
    data = open_data(csv([*lines, "1,"], header="a,y"))
    assert "31 rows without a class are left out." in data.notes
    assert "Of column 'y' is read as missing: 'None' (30 rows)." in data.notes


def test_target_is_guessed_by_name_before_place(csv):
    lines = [f"{i % 3},{i},{i % 2}" for i in range(60)]
    data = open_data(csv(lines, header="Label,b,c"))
    assert "Target: column 'Label', guessed." in data.notes
    assert data.task.class_names == ("0", "1", "2")


def test_target_may_be_named(csv):
    data = open_data(f"{csv(rows())}?target=colour")
    assert data.task.class_names == ("blue", "green", "red")
    assert "Target: column 'colour'." in data.notes
    assert data.hash != open_data(csv(rows())).hash


def test_numbered_classes_are_in_the_order_of_numbers(csv):
    lines = [f"{i}.5,{(3, 20, 100)[i % 3]}" for i in range(30)]
    assert open_data(csv(lines, header="a,y")).task.class_names == ("3", "20", "100")


def test_rows_without_a_class_are_left_out_and_the_notes_say_so(csv):
    data = open_data(csv([*rows(), "40,red,yes,", "41,red,no,NA"]))
    assert sum(data.parts.values()) == 60
    assert "2 rows without a class are left out." in data.notes
    assert "Of column 'species' is read as missing: 'NA' (1 rows)." in data.notes


def test_table_without_target_is_unlabelled(csv):
    data = open_data(f"{csv(rows())}?target=none")
    assert data.task == Unlabelled()
    assert data.input_shape == (7,)  # the classes are a column like the others
    assert set(data.part("train").targets.tolist()) == {-1}


def test_seed_draws_other_parts_of_the_same_samples(csv):
    path = csv(rows())
    zero, one = open_data(path), open_data(f"{path}?seed=1")
    assert zero.part("test").ids.tolist() != one.part("test").ids.tolist()
    assert overlap(one, "test", trained_on(zero)) == "seen"
    assert overlap(zero, "test", trained_on(zero)) == "unseen"


def test_second_opening_reads_no_table(csv, own_cache, monkeypatch):
    path = csv(rows())
    first = open_data(path)
    inputs = np.array(first.part("train").inputs)
    from optim.data.readers import table

    monkeypatch.setattr(table, "table_file", None)
    again = open_data(path)
    assert (again.parts, again.notes, again.task) == (first.parts, first.notes, first.task)
    np.testing.assert_array_equal(again.part("train").inputs, inputs)


def parquet(columns, **options):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file, **options)
    return file.getvalue()


def test_parquet_gives_what_csv_gives(csv, tmp_path):
    cells = [line.split(",") for line in rows()]
    content = parquet(
        {
            "age": [float(row[0]) for row in cells],
            "colour": [row[1] for row in cells],
            "member": [row[2] == "yes" for row in cells],
            "species": [row[3] for row in cells],
        }
    )
    (tmp_path / "data.parquet").write_bytes(content)
    one, other = open_data(tmp_path / "data.parquet"), open_data(csv(rows()))
    assert one.task == other.task
    for part in other.parts:
        np.testing.assert_allclose(one.part(part).inputs, other.part(part).inputs, rtol=1e-6)


def test_the_index_in_a_parquet_file_is_left_out(tmp_path):
    numbers = np.arange(60)
    columns = {"a": numbers % 7 + 0.5, "quality": numbers % 3, "__index_level_0__": numbers[::-1]}
    (tmp_path / "d.parquet").write_bytes(parquet(columns))
    data = open_data(tmp_path / "d.parquet")
    assert "Target: column 'quality', guessed." in data.notes
    assert data.feature_names == ("a",)
    assert "__index_level_0__: left out, it numbers the rows." in data.notes


def test_parquet_with_missing_values_and_odd_types(tmp_path):
    import datetime

    day = datetime.date(2020, 1, 1)
    content = parquet(
        {
            "a": [None, *range(29)],
            "b": ["x", None, "y"] * 10,
            "when": [day] * 30,
            "list": [[1]] * 30,
            "y": [0, 1, 2] * 10,
        }
    )
    (tmp_path / "data.parquet").write_bytes(content)
    data = open_data(tmp_path / "data.parquet")
    assert data.input_shape == (4,)
    assert "neither numbers nor text: when, list." in data.notes[0]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="pip install pyarrow"):
        open_data(tmp_path / "data.parquet")


def test_parquet_bomb_is_refused_by_what_it_declares(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    zeros = pyarrow.array(np.zeros(6_000_000, np.int8))
    (tmp_path / "data.parquet").write_bytes(parquet({"a": zeros, "y": zeros}))
    assert (tmp_path / "data.parquet").stat().st_size < 100_000
    refuses(tmp_path / "data.parquet", "more than 5,000,000 rows")


def test_no_damage_to_parquet_escapes_as_another_error(own_cache, tmp_path):
    path = tmp_path / "data.parquet"
    good = parquet({"a": list(range(60)), "b": ["x", "y"] * 30, "y": [0, 1, 2] * 20})

    def read(content):
        path.write_bytes(content)
        open_data(path).part("train")

    assert refusals(good, read, cases=200, bytes_=4) > 100


REFUSED = {
    "empty": ("", "is empty"),
    "a mark of byte order": ("\ufeff", "is empty"),
    "a space that breaks no line": ("\xa0", "is empty"),
    "a mark between files": ("\x1c", "is empty"),
    "blank": ("\ufeff\n\u00a0\n", "is empty"),
    "header only": (HEADER, "holds no row below its header"),
    "ragged": (f"{HEADER}\n1,red,yes,ant\n1,red,yes", "Row 2 of 'data.csv' has 3 cells and the"),
    "strings among numbers": (
        f"{HEADER}\n" + "\n".join([*rows(90), "forty,red,yes,ant"]),
        "Column 'age' holds numbers, and 'forty' in row 91",
    ),
    "infinite": (f"{HEADER}\n" + "\n".join([*rows(), "inf,red,yes,ant"]), "not finite, in row 61"),
    "huge": (f"{HEADER}\n" + "\n".join([*rows(), "1e999,red,yes,ant"]), "not finite, in row 61"),
    "one class": (
        "a,species\n" + "\n".join(f"{i % 2}.5,ant" for i in range(30)),
        "does not say which column is to be predicted; it has a, species",
    ),
    "too few rows": ("a,y\n1,0\n2,1", "too few rows: its validation part would be empty"),
    "nothing to predict from": ("y\n" + "\n".join("01" * 20), "no column to predict from"),
    "open quotation": (f'{HEADER}\n1,"red,yes,ant\n' + "\n".join(rows()), "cannot be read as a ta"),
    "a class that cannot be shown": (
        f"{HEADER}\n" + "\n".join([*rows(), *["1,red,yes,\x1b[31mant"] * 9]),
        "Row 61 of column 'species' holds no name of a class that can be shown",
    ),
    "a class of many words": (
        f"{HEADER}\n" + "\n".join([*rows(), *[f"1,red,yes,{'a' * 200}"] * 9]),
        "has 200 characters; 120 printable ones are allowed",
    ),
    "binary": ("a,y\n\0\0\0\0,1", "is not text"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path, content, reason):
    (tmp_path / "data.csv").write_text(content)
    refuses(tmp_path / "data.csv", reason)


def test_target_that_cannot_be_one_is_refused(csv):
    path = csv(rows())
    refuses(f"{path}?target=size", "no column 'size'; it has age, colour, member, species")
    path = csv([f"{i}.5,one" for i in range(30)], header="a,b")
    refuses(f"{path}?target=b", "'b' cannot be the target: it has one value, 'one'")


def test_a_quantity_can_be_the_target(csv):
    lines = [f"{i % 7},{i}.25" for i in range(60)]
    data = open_data(csv([*lines, "3,"], header="a,price"))
    assert data.task == Classification(tuple("0123456")), "classes come first where nobody says"
    data = open_data(f"{csv(lines, header='a,y')}")
    assert data.task == Regression(("y",))
    assert data.parts == {"train": 40, "validation": 10, "test": 10}
    targets = np.concatenate([data.part(part).targets for part in data.parts])
    assert sorted(targets.tolist()) == [i + 0.25 for i in range(60)]
    for part in data.parts:
        assert abs(float(data.part(part).targets.mean()) - 29.75) < 3, "large and small everywhere"
    data = open_data(f"{csv([*lines, '3,'], header='a,price')}?target=price")
    assert "1 rows without a number to be predicted are left out." in data.notes


def test_parts_of_other_columns_are_refused(csv):
    csv(rows(), "data/train.csv")
    path = csv(rows(), "data/test.csv", HEADER.replace("age", "years"))
    refuses(path.parent, "same columns: train has 'age', test does not")


def test_a_million_columns_are_refused_at_the_header(tmp_path):
    path = tmp_path / "data.csv"
    names = ",".join(map(str, range(10**6)))
    path.write_text(f"a{names}\n{names}\n")
    tracemalloc.start()
    try:
        refuses(path, "has a line of more than|has 1,000,000 columns: at most 5,000")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 128 * MEBIBYTE
    path.write_text("a" + ",1" * 10**6)
    refuses(path, "has 1,000,001 columns: at most 5,000")
    path.write_text("a" + ",".join(map(str, range(6_000))) + "\n1\n")
    refuses(path, "has 6,000 columns: at most 5,000 are allowed")


def test_a_line_without_end_is_refused(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"a,b\n" + b"1" * (5 * MEBIBYTE))
    refuses(tmp_path / "data.csv", "has a line of more than 4,194,304 characters")


def test_too_many_cells_are_refused(own_cache, csv, monkeypatch):
    monkeypatch.setattr(_table_files, "MAX_CELLS", 200)
    refuses(csv(rows()), "more than 5,000,000 rows or 200 cells")


def test_a_number_that_train_has_nothing_like_is_refused(csv):
    csv(rows(), "data/train.csv")
    path = csv([*rows(), "1e300,red,yes,ant"], "data/test.csv")
    refuses(path.parent, r"'age' holds 1e\+300, far from what train has \(mean 4")


def test_numbers_too_large_to_square_are_left_out(csv):
    lines = [f"{(-1) ** i}e308,{line}" for i, line in enumerate(rows())]
    data = open_data(csv(lines, header=f"vast,{HEADER}"))
    assert "vast: left out, its values are too large." in data.notes


def test_formulas_are_text(csv):
    lines = [line.replace("red", '=HYPERLINK("http://x")') for line in rows()]
    lines = [line.replace('"', "'") for line in lines]
    assert open_data(csv(lines)).input_shape == (5,)
