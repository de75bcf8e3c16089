"""Tables: what is wrong is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from models.data.corpus import DataError
from models.data.table import by, index, measured, rows, tidy


def test_plain_and_gzipped_tables_are_the_same(tmp_path: Path) -> None:
    """The ending of the name decides; a byte order mark of a spreadsheet is no part of a column's name."""
    text = "a,b\n1,x\n2,\n"
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    with gzip.open(tmp_path / "t.csv.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    plain = rows(tmp_path / "t.csv", ("a",), "a table")
    assert plain == rows(tmp_path / "t.csv.gz", ("a",), "a table")
    np.testing.assert_array_equal(measured(plain, ("a",), "t"), [[1], [2]])


def test_an_empty_field_is_nan() -> None:
    np.testing.assert_array_equal(measured([{"a": "", "b": "2"}], ("b", "a"), "t"), [[2, np.nan]])


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    """Missing file, missing column, no rows, no text, no number, no such measure or label."""
    with pytest.raises(DataError, match=r"none\.csv: not found; expected a table"):
        rows(tmp_path / "none.csv", (), "a table")
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    with pytest.raises(DataError, match="no rows; expected a table"):
        rows(path, ("a",), "a table")
    with pytest.raises(DataError, match=r"no column 'c'.*found the columns a, b"):
        rows(path, ("a", "c"), "a table")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        rows(path, (), "a table")
    gz = tmp_path / "t.csv.gz"
    gz.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-6])
    with pytest.raises(DataError, match="cannot be read"):
        rows(gz, (), "a table")
    with pytest.raises(DataError, match=r"t\.csv: .*'loud'; a must be numbers"):
        measured([{"a": "loud"}], ("a",), "t.csv")
    with pytest.raises(DataError, match=r"t\.csv: no measure 'c'; the columns are a"):
        measured([{"a": "1"}], ("c",), "t.csv")
    with pytest.raises(DataError, match=r"t\.csv: label 'joyful'; expected one of joy, anger"):
        index(("joy", "anger"), "joyful", "t.csv")


@pytest.mark.parametrize("row", ["1", "1,2,3", '"1\n2"'])
def test_a_row_with_more_or_fewer_fields_than_columns_is_named_by_its_line(row: str, tmp_path: Path) -> None:
    """A field of several lines counts them."""
    path = tmp_path / "t.csv"
    path.write_text(f'a,b\n"1\n1",2\n{row}\n')
    with pytest.raises(DataError, match=rf"t\.csv:{4 + row.count(chr(10))}: not 2 fields.*a table"):
        rows(path, ("a",), "a table")


@pytest.mark.parametrize("field", ["", "x", "1.5", "-1"])
def test_what_must_be_a_whole_number_and_is_not_is_named(field: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\n1,2\n{field},3\n")
    with pytest.raises(DataError, match=r"t\.csv:3: a '.*'; expected a whole number"):
        rows(path, ("a",), "a table", ("a",))
    assert rows(path, ("a",), "a table", ("b",))


def test_rows_are_grouped_in_order_of_appearance() -> None:
    found = by([{"k": "b"}, {"k": "a"}, {"k": "b"}], "k")
    assert [(k, len(v)) for k, v in found.items()] == [(("b",), 2), (("a",), 1)]


def test_quotes_become_plain() -> None:
    """Typographic quotes and the leftovers of an old encoding are one apostrophe to the encoder."""
    assert tidy("I\x92m  \u2018fine\u2019 \u2026") == "I'm 'fine' ..."
