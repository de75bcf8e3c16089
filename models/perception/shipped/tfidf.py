"""What both baselines of the words read: tf-idf of words and pairs of words."""

from __future__ import annotations

from typing import Any

from models.extras import install


def vectors() -> Any:
    """An unfitted vectoriser of scikit-learn.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError(f"the baseline of the words needs scikit-learn; run: {install('train')}") from None
    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
