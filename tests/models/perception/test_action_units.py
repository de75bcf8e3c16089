"""Action units become comparable numbers; virtual faces move with the people of training alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from models.data.corpus import DataError
from models.data.speech import Clip
from models.perception.action_units import faces, features, units

NAMES = ("AU01_r", "AU12_r", "AU01_c", "AU12_c", "AU28_c")
SPEAKERS = ("a", "a", "b", "b", "c", "c")


def columns() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(0, 5, (6, 2)), rng.uniform(0, 1, (6, 3))], 1)


def test_features_are_roots_log_odds_and_strength_while_a_unit_is_there() -> None:
    x_NF = features(np.array([[4.0, 0.0, 0.5, 0.0, 1.0]]), NAMES)
    assert x_NF.shape == (1, 2 + 3 + 2)
    assert x_NF[0, :3] == pytest.approx([2.0, 0.0, 0.0])
    assert x_NF[0, 3] == pytest.approx(-x_NF[0, 4])  # never and always there, both finite
    assert x_NF[0, 3] < 0
    assert x_NF[0, 5] == pytest.approx(np.log(4.05 / 0.55))


def test_a_virtual_face_keeps_what_tells_the_clips_of_a_person_apart() -> None:
    x_NF = features(columns(), NAMES)
    made_VNF = faces(x_NF, SPEAKERS, ("a", "b"), count=4, strength=1.0, seed=0)
    assert np.array_equal(made_VNF[0], x_NF)
    for face_NF in made_VNF[1:]:
        for s in range(3):
            apart_F, own_F = face_NF[2 * s + 1] - face_NF[2 * s], x_NF[2 * s + 1] - x_NF[2 * s]
            assert (np.sign(apart_F) == np.sign(own_F)).all()
        assert not np.allclose(face_NF.mean(0), x_NF.mean(0))


def test_where_virtual_faces_rest_does_not_depend_on_the_people_of_test() -> None:
    x_NF = features(columns(), NAMES)
    other_NF = x_NF.copy()
    other_NF[4:] += 7.0
    made, again = (faces(x, SPEAKERS, ("a", "b"), count=3, strength=1.0, seed=1) for x in (x_NF, other_NF))
    assert np.array_equal(made[:, :4], again[:, :4])


def write(folder: Path, faces_of: str) -> list[Clip]:
    (folder / "ravdess").mkdir()
    head = "shard,path,emotion,speaker,gender,split,text"
    rows = [f"a.zip,{n}.flac,{e},s{n},M,{s},Kids" for n, e, s in ((1, "calm", "train"), (2, "sad", "test"))]
    (folder / "ravdess" / "manifest.csv").write_text("\n".join([head, *rows]) + "\n")
    with gzip.open(folder / "ravdess" / "face_action_units.csv.gz", "wt") as file:
        file.write("path,AU01_r,AU01_c\n" + faces_of)
    return [Clip("a.zip", f"{n}.flac", "", f"s{n}", "M", "") for n in (2, 1)]


def test_units_are_found_by_the_path_of_each_clip(tmp_path: Path) -> None:
    wanted = write(tmp_path, "1.flac,1.5,0.25\n2.flac,3,1\n")
    found_NA, names = units(tmp_path, wanted)
    assert names == ("AU01_r", "AU01_c")
    assert found_NA.tolist() == [[3, 1], [1.5, 0.25]]


def test_a_clip_without_units_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ravdess: 2\.flac has no action units"):
        units(tmp_path, write(tmp_path, "1.flac,1.5,0.25\n"))
