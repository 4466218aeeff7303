"""The space of NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326) as an NNI model space."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import nn

from nni_darts._common.checks import truth
from nni_darts.genotypes.nas_bench_201 import EDGES, LABELS, OPERATIONS, Cell201
from search_spaces.cell_space import CellSpace
from search_spaces.nas_bench_201_network import (
    DenseCell,
    Frame201,
    NasBench201Network,
    check_frame,
    check_weights,
    operation,
)


class NasBench201(CellSpace, Frame201, ModelSpace):
    """Space of all networks of one cell with six edges, which all cells share: 5^6 = 15,625.

    Edge (i, j) has the label `cell_{j}_{i}`. All edges are kept, each with the strongest of its
    five operations, `none` included, as in the benchmark's own searches. `freeze(sample)` gives the
    `NasBench201Network` with newly initialised weights: the network of the benchmark.

    The normalisations of the cells are by default those of the searches that followed the benchmark
    (NATS-Bench): without scale and shift, and with the statistics of the batch at all times. The
    convolutions have no bias, which their normalisation would take away.

    Args:
        channels: of the first stage, twice as many in each of the two others.
        cells_per_stage: number of cells of a stage.
        num_classes: number of classes, at least 2.
        affine: whether normalisations of the cells have scale and shift.
        track_running_stats: whether normalisations of the cells keep running statistics, which
            evaluation then uses.
        in_channels: channels of the images.

    Raises:
        ValueError: an argument is out of its range.
    """

    network = NasBench201Network

    def __init__(
        self,
        channels: int = 16,
        cells_per_stage: int = 5,
        num_classes: int = 10,
        affine: bool = False,
        track_running_stats: bool = False,
        in_channels: int = 3,
    ) -> None:
        frame = check_frame(channels, cells_per_stage, num_classes, in_channels)
        norm = partial(
            nn.BatchNorm2d,
            affine=truth("affine", affine),
            track_running_stats=truth("track_running_stats", track_running_stats),
        )

        def operations(width: int) -> dict[str, nn.Module]:
            return {name: operation(name, width, norm) for name in OPERATIONS}

        def edge(width: int, target: int, source: int) -> nn.Module:
            return LayerChoice(operations(width), label=LABELS[target, source])

        check_weights(frame, lambda width: [m for _ in EDGES for m in operations(width).values()])
        super().__init__()
        self.build(lambda width: DenseCell(partial(edge, width)), **frame)

    @classmethod
    def found(cls, sample: Mapping[str, Any], arguments: Mapping[str, Any]) -> Cell201:
        return Cell201.from_sample(sample)
