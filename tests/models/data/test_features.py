"""Features made for a corpus: of words, kept on disk, and everything on a common scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.asr_noise import plain
from models.data import load
from models.data.corpus import DataError
from models.data.features import Noise, Scale, digest, encoded, misheard, normalised, with_text
from models.encoders.text import TextEncoder
from models.normalise import causal_normalise, fit_prior
from tests.data import shared_data
from tests.models.data.made import corpus, talk
from tests.models.encoders.test_text import small_encoder

MEASURES = ("duration", "avg_pitch")


@pytest.fixture
def encoder() -> TextEncoder:
    return small_encoder()


class Counting:
    """Says how many texts were encoded."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self, done: int, of: int) -> None:
        self.done = done
        assert 0 < done <= of


def test_each_utterance_has_what_the_encoder_makes_of_it(encoder: TextEncoder) -> None:
    """With its speaker's letter by first appearance; an utterance without words is all NaN."""
    made = with_text(corpus([talk("a", "how are you", " ", "fine thanks", who="JKJ")]), encoder)
    rows = made.splits["train"][0].features["text"]
    want = encoder.encode(["how are you", "fine thanks"], [0, 0])
    np.testing.assert_allclose(rows[[0, 2]], want.numpy(), atol=1e-6)
    assert np.isnan(rows[1]).all()
    assert rows.dtype == np.float32


def test_the_same_words_are_encoded_once(encoder: TextEncoder, tmp_path: Path) -> None:
    """A second time they come from the folder, bit for bit; other words or other weights are encoded."""
    data = corpus([talk("a", "how are you", "fine")], test=[talk("b", "what")])
    first = with_text(data, encoder, tmp_path)
    again = Counting()
    second = with_text(data, encoder, tmp_path, tick=again)
    assert again.done == 0
    for split in ("train", "test"):
        one, two = first.splits[split][0].features["text"], second.splits[split][0].features["text"]
        assert one.tobytes() == two.tobytes()
    other_words = Counting()
    with_text(corpus([talk("a", "how are you", "thanks")]), encoder, tmp_path, tick=other_words)
    assert other_words.done == 2
    with torch.no_grad():
        encoder.net.position.weight[0] += 1
    other_weights = Counting()
    with_text(corpus([talk("a", "how are you", "fine")]), encoder, tmp_path, tick=other_weights)
    assert other_weights.done == 2


def test_a_damaged_file_of_the_cache_is_made_anew(encoder: TextEncoder, tmp_path: Path) -> None:
    data = corpus([talk("a", "how are you")])
    first = with_text(data, encoder, tmp_path)
    for path in tmp_path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:70])
    second = with_text(data, encoder, tmp_path)
    assert first.splits["train"][0].features["text"].tobytes() == (
        second.splits["train"][0].features["text"].tobytes()
    )


def test_what_was_said_before_is_read_by_an_encoder_that_can() -> None:
    """Turns without words are skipped, and no conversation reads another."""
    encoder = small_encoder(context=8)
    first, second = ("how are you", "thanks", " ", "fine"), ("what", "fine")
    made = with_text(corpus([talk("a", *first), talk("b", *second, who="JJ")]), encoder).splits["train"]
    memory = encoder.start()
    who = made[0].order_of_appearance()
    for text, speaker, row_D in zip(first, who, made[0].features["text"], strict=True):
        if text.strip():
            want_D, memory = encoder.step(text, speaker, memory)
            np.testing.assert_allclose(row_D, want_D, atol=1e-6)
        else:
            assert np.isnan(row_D).all()
    np.testing.assert_allclose(made[1].features["text"][0], encoder.encode(["what"], [0])[0], atol=1e-6)
    (alone,) = with_text(corpus([talk("b", "fine")]), encoder).splits["train"]
    assert not np.allclose(made[1].features["text"][1], alone.features["text"][0], atol=1e-3)


def test_dropout_is_off_while_encoding_and_on_again_afterwards(encoder: TextEncoder) -> None:
    encoder.net.drop.p = 0.9
    encoder.net.train()
    lines = [[("how are you", 0)]]
    np.testing.assert_array_equal(encoded(encoder, lines), encoded(encoder, lines))
    assert encoder.net.training


def test_the_digest_is_of_the_weights(encoder: TextEncoder) -> None:
    before = digest(encoder)
    assert before == digest(small_encoder())
    with torch.no_grad():
        encoder.net.layers[1].up.bias[3] += 1e-6  # type: ignore[union-attr, operator, index]
    assert digest(encoder) != before


def test_a_corpus_without_words_is_refused(encoder: TextEncoder) -> None:
    silent = replace(talk("dia7", "x", "y"), texts=())
    with pytest.raises(DataError, match="dia7: 0 texts for 2 utterances"):
        with_text(corpus([silent]), encoder)


def test_word_errors_come_at_the_rate_asked_for() -> None:
    """At rate 0 the words are only plain; at 0.3 about that share is wrong, the same ones each time."""
    words = "what have you done with my lovely red car this morning joey"
    data = corpus([talk(f"d{i}", f"{words}, number {i}?") for i in range(60)])
    clean = misheard(data, Noise(0.0))
    assert clean.splits["train"][3].texts[0] == plain(f"{words}, number 3?")
    noisy = misheard(data, Noise(0.3))
    wrong = [
        a != b
        for c, d in zip(noisy.splits["train"], clean.splits["train"], strict=True)
        if len(c.texts[0].split()) == len(d.texts[0].split())
        for a, b in zip(c.texts[0].split(), d.texts[0].split(), strict=True)
    ]
    assert 0.1 < np.mean(wrong) < 0.5
    assert misheard(data, Noise(0.3)).splits["train"][5].texts == noisy.splits["train"][5].texts
    assert misheard(data, Noise(0.3, seed=1)).splits["train"] != noisy.splits["train"]
    fewer = corpus(data.splits["train"], test=data.splits["train"][5:6])
    assert misheard(fewer, Noise(0.3)).splits["test"][0].texts == noisy.splits["train"][5].texts
    with pytest.raises(ValueError, match="between 0 and 1"):
        misheard(data, Noise(3.0))


def test_what_was_heard_is_what_is_encoded(encoder: TextEncoder) -> None:
    made = with_text(corpus([talk("a", "HOW are you?", "...")]), encoder, noise=Noise(0.0))
    c = made.splits["train"][0]
    assert c.texts == ("how are you", "")
    np.testing.assert_allclose(c.features["text"][0], encoder.encode(["how are you"], [0])[0], atol=1e-6)
    assert np.isnan(c.features["text"][1]).all()


def voices(seed: int, n: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 300, (n, 2)).astype(np.float32)


def test_voice_is_normalised_causally_with_the_prior_of_train() -> None:
    """As the shipped model reads it; a missing measure is 0, an unheard utterance stays NaN."""
    one, two = voices(0), voices(1)
    two[2] = np.nan
    two[4, 1] = np.nan
    six = ("x",) * 6
    data = corpus(
        [talk("a", *six, features={"audio": one})],
        test=[talk("b", *six, who="JKJKKJ", features={"audio": two})],
        measures={"audio": MEASURES},
    )
    z = normalised(data).splits["test"][0].features["audio"]
    prior = fit_prior(one.astype(np.float64), MEASURES)
    want = causal_normalise(two.astype(np.float64), (0, 1, 0, 1, 1, 0), prior)
    heard = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(z[heard], want[heard], atol=1e-5)
    assert np.isnan(z[2]).all()
    assert z[4, 1] == 0


def test_other_features_are_standardised_by_train_alone() -> None:
    """Mean 0 and deviation 1 on train; test takes the numbers of train; a constant column becomes 0."""
    train = np.c_[voices(0), np.full(6, 7.0)].astype(np.float32)
    test = 2 * train
    six = ("x",) * 6
    data = corpus(
        [talk("a", *six, features={"visual": train})], test=[talk("b", *six, features={"visual": test})]
    )
    made = normalised(data)
    z = made.splits["train"][0].features["visual"]
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), [1, 1, 0], atol=1e-5)
    y = made.splits["test"][0].features["visual"]
    np.testing.assert_allclose(
        y[:, :2], (test[:, :2] - train[:, :2].mean(0)) / train[:, :2].std(0), rtol=1e-4
    )


def test_a_scale_of_another_width_is_refused() -> None:
    a = corpus([talk("a", "x", "y", features={"visual": np.eye(2, dtype=np.float32)})])
    b = corpus([talk("b", "x", "y", features={"visual": np.ones((2, 3), dtype=np.float32)})])
    with pytest.raises(DataError, match="b: 3 features visual, the scale has 2"):
        Scale.fit(a).apply(b)
    voice = corpus([talk("a", "x", features={"audio": voices(0, 1)})], measures={"audio": MEASURES})
    other = corpus([talk("b", "x", features={"audio": voices(0, 1)})], measures={"audio": MEASURES[::-1]})
    with pytest.raises(DataError, match="the scale has"):
        Scale.fit(voice).apply(other)
    with pytest.raises(DataError, match="no conversation in train"):
        normalised(corpus(test=a.splits["train"]))


def test_mosi_and_iemocap_come_to_a_common_scale() -> None:
    """On train every column has mean 0 (MOSI), and z-scores of voices are within their clip (IEMOCAP)."""
    data = shared_data()
    mosi = normalised(load("mosi", data))
    for name in ("text", "audio", "visual"):
        rows = np.concatenate([c.features[name] for c in mosi.splits["train"]])
        np.testing.assert_allclose(rows.mean(0), 0, atol=1e-3)
    iemocap = normalised(load("iemocap6", data))
    rows = np.concatenate([c.features["audio"] for c in iemocap.splits["test"]])
    assert np.isfinite(rows).all()
    assert np.abs(rows).max() <= 4
