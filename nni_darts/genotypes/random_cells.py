"""Random cells: the baseline that a search has to beat (paper, section 3.1)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from nni_darts._common import limits
from nni_darts._common.checks import size, texts
from nni_darts.genotypes.cell import NONE, PRIMITIVES, RNN_PRIMITIVES, Cell, Edge
from nni_darts.genotypes.genotype import Genotype

__all__ = ["draw", "draw_recurrent"]


def draw(
    count: int, seed: int, num_nodes: int = 4, primitives: Sequence[str] = PRIMITIVES
) -> list[Genotype]:
    """Genotypes of distinct digests, drawn uniformly from the space that DARTS searches.

    The two cells are drawn independently. Each node has 2 distinct predecessors, all pairs equally
    likely, each with one of the operations besides none; all nodes are concatenated.

    Args:
        count: number of genotypes, at least 1 and at most as many as the space has.
        seed: seed, at least 0; the first n genotypes of a longer draw are the draw of n.
        num_nodes: intermediate nodes of each cell, at least 1.
        primitives: distinct names of operations, also such as only the user's space knows.

    Raises:
        ValueError: an argument is out of its range.
    """
    num_nodes, operations = _checked(num_nodes, primitives)
    total = _size_of_space(num_nodes, len(operations))

    def one(rng: random.Random) -> Genotype:
        return Genotype(
            tuple(_cell(rng, kind, num_nodes, operations) for kind in ("normal", "reduce"))
        )

    return _distinct(one, count, seed, total, f"{num_nodes} node(s) and {len(operations)}")


def draw_recurrent(
    count: int, seed: int, num_nodes: int = 8, primitives: Sequence[str] = RNN_PRIMITIVES
) -> list[Genotype]:
    """Recurrent genotypes of distinct digests: one predecessor per node, all nodes averaged.

    Args:
        count: see `draw`.
        seed: see `draw`.
        num_nodes: intermediate nodes of the cell, at least 1.
        primitives: see `draw`.

    Raises:
        ValueError: an argument is out of its range.
    """
    num_nodes, operations = _checked(num_nodes, primitives)
    states = range(1, 1 + num_nodes)
    total = math.prod(states) * len(operations) ** num_nodes

    def one(rng: random.Random) -> Genotype:
        nodes = tuple((Edge(rng.choice(operations), rng.randrange(state)),) for state in states)
        return Genotype((Cell("recurrent", nodes, tuple(states), operations),))

    return _distinct(one, count, seed, total, f"{num_nodes} node(s) and {len(operations)}")


def _checked(num_nodes: int, primitives: Sequence[str]) -> tuple[int, list[str]]:
    """Number of nodes, and the operations besides none."""
    num_nodes = size("num_nodes", num_nodes, 1, limits.NODES, "num_nodes=")
    # A text is a list of names of one letter.
    names = list(primitives) if isinstance(primitives, str) else texts("primitives", primitives)
    operations = [name for name in names if name != NONE]
    if not operations or len(set(operations)) < len(operations):
        raise ValueError(
            "primitives must be distinct names, one of them other than none, "
            f"got {list(primitives)}"
        )
    return num_nodes, operations


def _distinct(
    one: Callable[[random.Random], Genotype], count: int, seed: int, total: int, space: str
) -> list[Genotype]:
    """Genotypes of distinct digests, `count` of them, out of a space of `total`."""
    count = size("count", count, 1, limits.ARCHITECTURES, "count=")
    # Random takes the absolute value of a negative one: two seeds would give one draw.
    seed = size("seed", seed, 0, limits.SEED, "seed=")
    if count > total:
        raise ValueError(
            f"count must be at most {total}, all genotypes of {space} operation(s), "
            f"got count={count}"
        )
    rng = random.Random(seed)
    drawn: dict[str, Genotype] = {}
    seen: set[Genotype] = set()
    while len(drawn) < count:
        if len(seen) == total:  # a digest of 32 bits: two genotypes may share one
            raise ValueError(
                f"count must be at most {len(drawn)}, all distinct digests of the space"
            )
        genotype = one(rng)
        seen.add(genotype)
        drawn.setdefault(genotype.digest, genotype)
    return list(drawn.values())


def _cell(rng: random.Random, kind: str, num_nodes: int, operations: Sequence[str]) -> Cell:
    states = range(2, 2 + num_nodes)
    nodes = tuple(
        tuple(
            Edge(rng.choice(operations), source) for source in sorted(rng.sample(range(state), 2))
        )
        for state in states
    )
    return Cell(kind, nodes, tuple(states), operations)


def _size_of_space(num_nodes: int, num_operations: int) -> int:
    """Product over the nodes of (pairs of predecessors) * operations ** 2, for two cells."""
    nodes = (math.comb(state, 2) * num_operations**2 for state in range(2, 2 + num_nodes))
    return math.prod(nodes) ** 2
