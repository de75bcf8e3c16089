import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console

from models import checkpoint
from models.encoders.face import LABELS, SIZE, Config, FaceNet
from models.train_face import (
    OTHERS,
    Faces,
    Plan,
    Trainer,
    accuracy,
    augment,
    calibrate,
    logits_of,
    main,
    others_accuracy,
    per_class,
    read,
)

TINY = ["--width", "8", "--blocks", "1", "1", "1"]


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two kinds of drawn faces: the mouth bends up (happiness) or down (sadness)."""
    rng = np.random.default_rng(seed)
    images = rng.normal(120, 10, (count, SIZE, SIZE))
    votes = np.zeros((count, 10), np.uint8)
    for i in range(count):
        glad = i % 2 == 0
        columns = np.arange(12, 36)
        bend = ((columns - 24) / 12) ** 2 * 8
        rows = (36 - bend if glad else 28 + bend).astype(int)
        images[i, rows, columns] = images[i, rows + 1, columns] = 20
        images[i, 14:18, [14, 15, 32, 33]] = 20
        votes[i, LABELS.index("happiness" if glad else "sadness")] = 10
    return np.clip(images, 0, 255).astype(np.uint8), votes


def others(votes: np.ndarray) -> np.ndarray:
    """FER2013's labels of `drawn`, of which a third are not known."""
    labels = np.where(
        votes[:, LABELS.index("happiness")] > 0, OTHERS.index("happiness"), OTHERS.index("sadness")
    )
    labels[::3] = -1
    return labels.astype(np.int8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "ferplus"
    folder.mkdir(parents=True)
    images, votes = drawn(128, 0)
    np.savez(
        folder / "ferplus_train.npz", images_train=images, votes_train=votes, fer2013_train=others(votes)
    )
    (valid, valid_votes), (test, test_votes) = drawn(32, 1), drawn(32, 2)
    np.savez(
        folder / "ferplus_eval.npz",
        images_valid=valid,
        votes_valid=valid_votes,
        images_test=test,
        votes_test=test_votes,
        fer2013_test=others(test_votes),
    )
    return tmp_path / "data"


def faces(votes: list[list[float]]) -> Faces:
    table = torch.zeros(len(votes), len(LABELS))
    for row, given in zip(table, votes, strict=True):
        row[: len(given)] = torch.tensor(given)
    return Faces(torch.zeros(len(votes), SIZE, SIZE, dtype=torch.uint8), table)


def test_pictures_that_most_call_unknown_or_no_face_are_left_out(tmp_path: Path):
    votes = np.zeros((3, 10), np.uint8)
    votes[0, 0], votes[1, 8], votes[2, 9] = 10, 10, 10
    np.savez(tmp_path / "ferplus_train.npz", images_train=np.zeros((3, 48, 48), np.uint8), votes_train=votes)
    assert len(read(tmp_path, "train")) == 1


def test_targets_are_vote_shares_without_single_votes():
    torch.testing.assert_close(faces([[6, 3, 1]]).targets()[0, :3], torch.tensor([2 / 3, 1 / 3, 0.0]))


def test_where_nobody_agrees_every_vote_counts():
    torch.testing.assert_close(faces([[1, 1, 1, 1]]).targets()[0, :4], torch.full((4,), 0.25))


def test_either_side_of_a_tie_is_right():
    logits = torch.eye(8)[[0, 1, 2]]
    assert accuracy(logits, faces([[5, 5, 0]] * 3)) == pytest.approx(2 / 3)


def test_per_class_counts_recall_and_precision():
    table = per_class(torch.eye(8)[[0, 0, 1, 1]], faces([[9], [9], [9], [0, 9]]))
    assert table["neutral"] == {"n": 3, "recall": pytest.approx(2 / 3), "precision": 1.0}
    assert table["happiness"]["precision"] == 0.5
    assert table["fear"] == {"n": 0, "recall": 0.0, "precision": 0.0}


def test_augmented_faces_stay_grey_levels_and_differ_from_each_other():
    images = torch.from_numpy(drawn(2, 0)[0][:1]).repeat(6, 1, 1)
    made = augment(images, torch.Generator().manual_seed(3))
    assert made.shape == (6, SIZE, SIZE)
    assert made.min() >= 0
    assert made.max() <= 255
    assert all((made[0] - other).abs().mean() > 1 for other in made[1:])


def test_the_same_seed_augments_alike():
    images = torch.from_numpy(drawn(8, 0)[0])
    once, again = (augment(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once, again)


def test_faces_stay_upright_and_in_the_picture_when_augmented():
    dot = torch.zeros(64, SIZE, SIZE, dtype=torch.uint8)
    dot[:, 8:16, 20:28] = 255
    made = augment(dot, torch.Generator().manual_seed(0))
    assert (made[:, :24].amax((1, 2)) > made[:, 30:].amax((1, 2))).float().mean() > 0.9


def test_calibration_improves_the_fit_and_keeps_the_embedding():
    torch.manual_seed(0)
    net = FaceNet(Config(width=8)).eval()
    images, votes = drawn(64, 5)
    valid = Faces(torch.from_numpy(images), torch.from_numpy(votes[:, :8].astype(np.float32)))
    before = net.embed(valid.images_NHW)
    calibrate(net, valid)
    after = net.embed(valid.images_NHW)
    assert torch.equal(before[0], after[0])
    loss = [F.cross_entropy(p.log(), valid.targets()).item() for p in (before[1], after[1])]
    assert loss[1] < 0.6 * loss[0]


def test_two_runs_of_one_seed_are_equal_and_another_seed_differs():
    images, votes = drawn(64, 0)
    few = Faces(torch.from_numpy(images), torch.from_numpy(votes[:, :8].astype(np.float32)))

    def run(seed: int) -> torch.Tensor:
        trainer = Trainer(few, Config(width=8), Plan(seed=seed, epochs=1, batch=32))
        trainer.epoch()
        return logits_of(trainer.average, few)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


@pytest.mark.timeout(120)  # the first step of an optimiser imports much of torch
def test_training_learns_what_a_mouth_says(data: Path):
    report_file, out = data / "report.json", data / "face.safetensors"
    args = ["--data", str(data), "--epochs", "12", "--out", str(out), "--json", str(report_file), *TINY]
    assert main(args) == 0
    report = json.loads(report_file.read_text())
    assert report["test_accuracy"] > 0.85
    assert 0 <= report["fer2013_accuracy"] <= 1
    assert report["n"] == {"train": 128, "valid": 32, "test": 32}
    meta = checkpoint.read_meta(out)
    assert meta["metrics"]["test_accuracy"] == report["test_accuracy"]
    assert meta["metrics"]["plan"]["seed"] == 0
    assert meta["name"] == "lmam-face"
    faces = read(data / "ferplus", "test")
    assert accuracy(logits_of(FaceNet.load(out), faces), faces) == report["test_accuracy"]


@pytest.mark.timeout(120)
def test_the_second_head_learns_from_the_labels_that_are_known():
    def faces_of(seed: int) -> Faces:
        images, votes = drawn(96, seed)
        table = torch.from_numpy(votes[:, : len(LABELS)].astype(np.float32))
        return Faces(torch.from_numpy(images), table, torch.from_numpy(others(votes).astype(np.int64)))

    trainer = Trainer(faces_of(0), Config(width=8), Plan(epochs=30, batch=32, average=0.9))
    for _ in range(30):
        trainer.epoch()
    test = faces_of(1)
    assert test.others_N is not None
    known = test.others_N >= 0
    right = others_accuracy(trainer.average, trainer.others, test.images_NHW[known], test.others_N[known])
    assert right > 0.85


def test_labels_of_fer2013_may_be_missing_and_then_nothing_is_said_of_them(data: Path):
    """Their share of the loss is nothing, and of a batch without a known one, too."""
    for name in ("ferplus_train.npz", "ferplus_eval.npz"):
        path = data / "ferplus" / name
        with np.load(path) as archive:
            kept = {k: archive[k] for k in archive.files if not k.startswith("fer2013")}
        np.savez(path, **kept)
    args = ["--data", str(data), "--epochs", "1", "--out", str(data / "f.safetensors"), *TINY]
    assert main([*args, "--json", str(data / "report.json")]) == 0
    assert "fer2013_accuracy" not in json.loads((data / "report.json").read_text())


def test_missing_data_are_named_and_nothing_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    out = tmp_path / "face.safetensors"
    assert main(["--data", str(tmp_path), "--out", str(out)]) == 2
    assert "ferplus_train.npz" in caplog.text
    assert not out.exists()


def test_a_damaged_archive_is_named(tmp_path: Path):
    (tmp_path / "ferplus_train.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match=r"ferplus_train\.npz: not a readable"):
        read(tmp_path, "train")


def test_an_archive_of_another_layout_is_named(tmp_path: Path):
    arrays = {"images_train": np.zeros((2, 64, 64), np.uint8), "votes_train": np.zeros((2, 10), np.uint8)}
    np.savez(tmp_path / "ferplus_train.npz", **arrays)
    with pytest.raises(ValueError, match=r"\(2, 64, 64\)"):
        read(tmp_path, "train")


@pytest.mark.parametrize("option", ["--epochs", "--stop"])
def test_no_epochs_are_refused(data: Path, option: str):
    assert main(["--data", str(data), option, "0"]) == 2


def test_a_run_can_be_left_off_before_its_schedule_ends(data: Path):
    out, report_file = data / "face.safetensors", data / "report.json"
    args = ["--data", str(data), "--out", str(out), "--json", str(report_file), "--stop", "1", *TINY]
    assert main(args) == 0
    assert json.loads(report_file.read_text())["chosen_epoch"] == 1


def test_help_says_what_data_is(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "ferplus" in capsys.readouterr().out


def test_progress_goes_to_the_console_given(data: Path):
    from models.train_face import train

    console = Console(file=(data / "log").open("w"), force_terminal=False)
    train(data, data / "f.safetensors", Config(width=8), Plan(epochs=1), console)
    console.file.close()
    assert "epoch 1" in (data / "log").read_text()
