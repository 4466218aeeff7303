from __future__ import annotations

import json
from collections.abc import Callable

from nni_darts.genotypes.cell import Edge
from nni_darts.genotypes.genotype_json import digest, parse
from nni_darts.genotypes.random_cells import draw

OWN = '{"recurrent": [["swish", 0], ["my.own", 1]], "concat": [1, 2]}'


def test_operations_of_the_users_own_are_read() -> None:
    assert parse(OWN).recurrent.nodes == ((Edge("swish", 0),), (Edge("my.own", 1),))


def test_a_genotype_has_one_name_however_it_is_written() -> None:
    one, other = (genotype.to_json() for genotype in draw(2, 0))
    values = json.loads(one)
    for name in ("normal", "reduce"):
        edges = values[name]
        values[name] = [edge for i in range(0, len(edges), 2) for edge in edges[i : i + 2][::-1]]
    assert json.dumps(values) != one
    assert digest(json.dumps(values)) == digest(one) == parse(one).digest
    assert len({digest(text) for text in (one, other, OWN)}) == 3


def test_a_sample_of_another_space_is_no_genotype(message: Callable[..., str]) -> None:
    said = message(ValueError, parse, '{"layer": 1}')
    assert said == message(ValueError, digest, '{"layer": 1}')
    assert "'layer'" in said
