"""What a language model must beat: unigrams and smoothed bigrams of the same text.

    python benchmarks/language_baselines.py --data ptb --data-dir FOLDER

Both are trained on the training text and measured on the validation and the test text, each word
after the first once, as networks are. The unigrams have one count more for each word of the
vocabulary. The bigrams are interpolated Kneser-Ney (Chen and Goodman, 1999, section 2.7) with the
discount n1 / (n1 + 2 n2) of Ney, Essen and Kneser (1994): nothing is tuned on what is measured.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor

from nni_darts.tasks.language.data import TextTrainingData


def unigram(train: Tensor, text: Tensor, vocabulary: int) -> float:
    """The perplexity of a text (N,) by add-one unigrams."""
    counts = torch.bincount(train, minlength=vocabulary).double() + 1
    return math.exp(-float((counts / counts.sum()).log()[text[1:]].mean()))


def bigram(train: Tensor, text: Tensor, vocabulary: int) -> float:
    """The perplexity of a text (N,) by interpolated Kneser-Ney bigrams.

    p(w | h) = max(c(h, w) - D, 0) / c(h) + D * N(h, .) / c(h) * p(w), where N(h, .) is the number
    of distinct words that follow h, and p(w) the share of the distinct pairs that end in w; for
    words that end none, one pair more for each word of the vocabulary.
    """
    pairs, c = (train[:-1] * vocabulary + train[1:]).unique(return_counts=True)
    n1, n2 = int((c == 1).sum()), int((c == 2).sum())
    D = n1 / (n1 + 2 * n2) if n1 else 0.5
    h, w = pairs // vocabulary, pairs % vocabulary
    c_h = torch.bincount(train[:-1], minlength=vocabulary).double()
    followers = torch.bincount(h, minlength=vocabulary).double()
    p_w = torch.bincount(w, minlength=vocabulary).double() + 1
    p_w = p_w / p_w.sum()

    asked = text[:-1] * vocabulary + text[1:]
    at = torch.searchsorted(pairs, asked).clamp(max=len(pairs) - 1)
    c_hw = torch.where(pairs[at] == asked, c[at], 0).double()
    before, after = text[:-1], text[1:]
    seen = c_h[before] > 0
    total = c_h[before].clamp(min=1)
    p = ((c_hw - D).clamp(min=0) + D * followers[before] * p_w[after]) / total
    # A word that is only the last one of the training text is followed by none.
    return math.exp(-float(torch.where(seen, p, p_w[after]).log().mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="alice")
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    data = TextTrainingData(options.data, root=options.data_dir, batch_size=1, bptt=1)
    data.setup("fit")
    data.setup("test")
    train = data.tokens("train")
    print(f"{len(train):,} words to train on, vocabulary {data.vocabulary:,}")
    for part in ("valid", "test"):
        text = data.tokens(part)
        for name, model in (("unigrams", unigram), ("bigrams (Kneser-Ney)", bigram)):
            print(f"{part:<6} {name:<21} perplexity {model(train, text, data.vocabulary):8.2f}")


if __name__ == "__main__":
    main()
