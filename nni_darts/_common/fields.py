"""The types of settings: what each may be, and how large at most.

They are strict: `true` is not 1, and a text is no number.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from nni_darts._common import limits

_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+", re.ASCII)


def _number(value: Any) -> Any:
    """YAML 1.1 takes 3e-4, without a dot, for text."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _path(value: str) -> str:
    size = len(value.encode("utf-8", "surrogatepass"))
    if not value or "\0" in value or size > limits.PATH_BYTES:
        raise ValueError(f"must be a path of 1 to {limits.PATH_BYTES} bytes, got {value[:40]!r}")
    return value


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds:
        raise ValueError("at least one seed is needed")
    if len(set(seeds)) < len(seeds):
        raise ValueError("the seeds must be distinct: a seed gives the same run again")
    return seeds


Number = Annotated[float, Field(strict=True), BeforeValidator(_number)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
"""Number from 0 (inclusive) to 1 (exclusive)."""

Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]
Folder = Annotated[Text, AfterValidator(_path)]

Whole = Annotated[int, Field(strict=True)]
Seed = Annotated[Whole, Field(ge=0, le=limits.SEED)]
Seeds = Annotated[tuple[Seed, ...], Field(max_length=limits.SEEDS), AfterValidator(_distinct)]
Epochs = Annotated[Whole, Field(ge=1, le=limits.EPOCHS)]
Warmup = Annotated[Whole, Field(ge=0, le=limits.EPOCHS)]
BatchSize = Annotated[Whole, Field(ge=1, le=limits.BATCH_SIZE)]
TopK = Annotated[Whole, Field(ge=1, le=limits.TOP_K)]
Genotypes = Annotated[tuple[Text, ...], Field(max_length=limits.GENOTYPES)]
Handed = Annotated[Whole, Field(ge=1, le=limits.GENOTYPES)]
"""Number of genotypes that one stage hands to the next."""
Threads = Annotated[Whole, Field(ge=1, le=limits.THREADS)]
Devices = Annotated[Whole, Field(ge=1, le=limits.DEVICES)]
Channels = Annotated[Whole, Field(ge=2, le=limits.CHANNELS, multiple_of=2)]
Cells = Annotated[Whole, Field(ge=3, le=limits.CELLS)]
Pixels = Annotated[Whole, Field(ge=0, le=limits.IMAGE_SIZE)]
Features = Annotated[Whole, Field(ge=1, le=limits.FEATURES)]
Steps = Annotated[Whole, Field(ge=1, le=limits.STEPS)]
