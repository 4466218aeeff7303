"""Makes the text that ships with the project, nni_darts/tasks/language/texts/alice: `python
docs/alice.py FILE`.

FILE is testdata/alice29.txt of snappy 1.1.9, as in Debian's source package snappy (see the README
beside the text).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "nni_darts/tasks/language/texts/alice"
PARTS = {"train": range(0, 10), "valid": range(10, 11), "test": range(11, 12)}
"""Chapters, counted from 0."""


def paragraphs(chapter: str) -> list[list[str]]:
    """The words and the stops of each paragraph, in lower case; quotation marks are left out."""
    text = re.sub(r"-\n", "-", chapter.lower())
    found = [re.findall(r"[a-z]+(?:['-][a-z]+)*|[.,;:!?]", p) for p in text.split("\n\n")]
    return [words for words in found if any(w.isalpha() for w in words)]


def main(file: str) -> None:
    text = Path(file).read_text(encoding="ascii").replace("THE END", "")
    chapters = [paragraphs(c) for c in re.split(r"CHAPTER [IVX]+\n", text)[1:]]
    parts = {name: [p for i in part for p in chapters[i]] for name, part in PARTS.items()}
    counts = Counter(word for p in parts["train"] for word in p)
    for name, lines in parts.items():
        # As in the Penn Treebank of language models: what is rare in training has no name.
        known = [" ".join(w if counts[w] > 1 else "<unk>" for w in line) for line in lines]
        (FOLDER / f"{name}.txt").write_text("\n".join(known) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1])
