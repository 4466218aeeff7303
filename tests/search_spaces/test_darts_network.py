from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from golden import SHARED
from spaces import count
from torch import nn

from nni_darts.genotypes import published as papers
from nni_darts.genotypes.genotype import Genotype
from search_spaces import DartsNetwork, operations

DARTS_V2 = papers.get("DARTS_V2")


def published() -> dict[str, Any]:
    path = SHARED / "genotypes.json"
    if not path.exists():
        return {}
    return {k: v for k, v in json.loads(path.read_text()).items() if v["kind"] == "cnn"}


GENOTYPES = published()


# facts.md, section 4: parameters on CIFAR (C 36, 20 cells) and ImageNet (C 48, 14 cells).
COUNTS = {
    "DARTS_V1": (3_169_414, 4_510_432),
    "DARTS_V2": (3_349_342, 4_718_752),
    "PC_DARTS_cifar": (3_634_678, 5_270_560),
    "PC_DARTS_image": (3_721_510, 5_342_464),
    "PDARTS": (3_433_798, 4_944_352),
    "GDAS_V1": (3_368_782, 4_969_216),
    "NASNet": (3_830_950, None),
    "AmoebaNet": (3_145_078, None),
}


IMAGENET = {"channels": 48, "num_cells": 14, "num_classes": 1000, "stem": "imagenet"}


def test_parameters_of_darts_v2() -> None:
    assert count(DartsNetwork(DARTS_V2)) == 3_349_342
    assert count(DartsNetwork(DARTS_V2, auxiliary=True)) == 3_349_342 + 476_426
    assert count(DartsNetwork(DARTS_V2, **IMAGENET)) == 4_718_752
    assert count(DartsNetwork(DARTS_V2, **IMAGENET, auxiliary=True)) == 4_718_752 + 1_260_776


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_published_genotypes(name: str) -> None:
    if name not in GENOTYPES:
        pytest.skip("../shared/genotypes.json is not here")
    genotype = Genotype.parse(json.dumps(GENOTYPES[name]))
    cifar, imagenet = COUNTS[name]
    assert count(DartsNetwork(genotype)) == cifar
    if imagenet is not None:
        assert count(DartsNetwork(genotype, **IMAGENET)) == imagenet


@pytest.mark.parametrize("name", GENOTYPES)
def test_published_genotypes_run_and_count_as_the_reference(name: str) -> None:
    genotype = Genotype.parse(json.dumps(GENOTYPES[name]))
    small = DartsNetwork(genotype, 8, 5, auxiliary=True, drop_path=0.2)
    logits, auxiliary = small(torch.randn(2, 3, 32, 32))
    assert logits.shape == auxiliary.shape == (2, 10)
    assert small.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    counts = json.loads((SHARED / "data/param_mac_counts.json").read_text())["counts"]
    for repository, by_name in counts.items():
        if name not in by_name:
            continue
        assert count(DartsNetwork(genotype)) == by_name[name]["cifar"]
        assert count(DartsNetwork(genotype, auxiliary=True)) == by_name[name]["cifar_aux"]
        assert count(DartsNetwork(genotype, **IMAGENET)) == by_name[name]["inet"]
        if repository != "chenxin061+pdarts":
            # That one puts back the last normalisation of ImageNet's auxiliary head.
            auxiliary = DartsNetwork(genotype, **IMAGENET, auxiliary=True)
            assert count(auxiliary) == by_name[name]["inet_aux"]


def test_drop_path_spares_the_identity_and_evaluation() -> None:
    network = DartsNetwork(DARTS_V2, 8, 5, drop_path=0.5)
    drops = [m for m in network.modules() if isinstance(m, operations.DropPath)]
    edges = sum(len(node.edges) for cell in network.cells for node in cell.nodes)
    identities = sum(isinstance(m, nn.Identity) for m in network.modules())
    assert len(drops) == edges - identities
    network.drop_path = 0.3
    assert {m.p for m in drops} == {0.3}
    x = torch.randn(2, 3, 16, 16)
    network.eval()
    assert torch.equal(network(x), network(x))


def test_the_arguments_of_a_network_build_it_again() -> None:
    network = DartsNetwork(DARTS_V2, 4, 3, 7, auxiliary=True, stem="imagenet", in_channels=1)
    assert network.arguments == {
        "channels": 4,
        "num_cells": 3,
        "num_classes": 7,
        "auxiliary": True,
        "stem": "imagenet",
        "in_channels": 1,
    }
    again = DartsNetwork(DARTS_V2, **network.arguments)
    assert again.arguments == network.arguments
    again.load_state_dict(network.state_dict())
    again.auxiliary = None
    assert not again.arguments["auxiliary"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_cells": 2}, "num_cells must be at least 3, got 2"),
        ({"channels": 9}, "channels must be divisible by 2"),
        ({"drop_path": 1.0}, "drop_path must be in [0, 1), got 1.0"),
    ],
)
def test_bad_networks(arguments: dict[str, Any], expected: str, message: Any) -> None:
    assert expected in message(ValueError, DartsNetwork, DARTS_V2, **arguments)


def test_a_recurrent_genotype_is_no_cnn(message: Any) -> None:
    rnn = Genotype.parse("Genotype(recurrent=[('relu', 0)], concat=[1])")
    assert "normal and reduce cells is needed" in message(ValueError, DartsNetwork, rnn)


def test_an_operation_without_a_module_is_refused(message: Any) -> None:
    text = DARTS_V2.to_authors().replace("dil_conv_3x3", "dil_conv_9x9")
    genotype = Genotype.parse(text, operations=["dil_conv_9x9"])
    assert "unknown primitive 'dil_conv_9x9'" in message(ValueError, DartsNetwork, genotype)
