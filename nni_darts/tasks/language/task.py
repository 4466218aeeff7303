"""Language: models of recurrent cells that predict words. Loads neither torch nor NNI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nni_darts._common.metric import PERPLEXITY
from nni_darts._common.validation import SettingsError
from nni_darts.genotypes.cell import RNN_PRIMITIVES
from nni_darts.genotypes.genotype import Genotype
from nni_darts.genotypes.random_cells import draw_recurrent
from nni_darts.tasks.cells import CellTask

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nni_darts.tasks.components import Component
    from nni_darts.tasks.language.data import TextSearchData, TextTrainingData
    from nni_darts.tasks.language.search_module import TextSearchRecipe
    from nni_darts.tasks.language.settings import TextRun, TextSearch, TextSettings, TextTraining
    from nni_darts.tasks.language.streams import Words
    from nni_darts.tasks.language.training_module import TextTrainingRecipe
    from search_spaces.darts_rnn_network import DartsRNNNetwork


class TextTask(CellTask):
    """Language models of texts, which all come by name."""

    name = "text"
    metric = PERPLEXITY
    cells = ("recurrent",)
    primitives = RNN_PRIMITIVES
    counted = (
        "multiply-adds of one word: one for each multiplication by a weight of the cell or the "
        "decoder; gates, activations and additions are not counted"
    )
    states = "0 joins the word and the state before, the others are nodes"
    data = ("alice", "ptb", "wikitext2", "text")
    for_space = needed_by_space = ("vocabulary",)
    test_batch = 1

    def drawn(self, count: int, seed: int) -> list[Genotype]:
        return draw_recurrent(count, seed, primitives=self.primitives)

    @property
    def settings(self) -> type[TextSettings]:
        from nni_darts.tasks.language.settings import TextSettings

        return TextSettings

    @property
    def run(self) -> type[TextRun]:
        from nni_darts.tasks.language.settings import TextRun

        return TextRun

    @property
    def training(self) -> type[TextTraining]:
        from nni_darts.tasks.language.settings import TextTraining

        return TextTraining

    @property
    def search_data(self) -> type[TextSearchData]:
        from nni_darts.tasks.language.data import TextSearchData

        return TextSearchData

    @property
    def training_data(self) -> type[TextTrainingData]:
        from nni_darts.tasks.language.data import TextTrainingData

        return TextTrainingData

    def check_data(self, component: Component, data: TextSearchData | TextTrainingData) -> None:
        # Texts are small enough to be read.
        data.setup("fit")

    def check_test(self, component: Component, data: TextTrainingData) -> None:
        data.check_test()

    def tiny_batch(self, data: TextSearchData, examples: int, loaded: bool) -> Words:
        from nni_darts.tasks.language import examination

        return examination.tiny_batch(data, examples)

    def search_module(self, settings: TextSearch, data: Any) -> TextSearchRecipe:
        from nni_darts.tasks.language.search_module import TextSearchRecipe

        return TextSearchRecipe(settings)

    def network(
        self, architecture: Genotype, settings: TextTraining, data: TextTrainingData
    ) -> DartsRNNNetwork:
        from nni_darts.tasks.language import networks

        return networks.fresh_network(architecture, settings, data)

    def training_module(
        self, network: DartsRNNNetwork, settings: TextTraining, described: dict[str, Any]
    ) -> TextTrainingRecipe:
        from nni_darts.tasks.language.training_module import TextTrainingRecipe

        return TextTrainingRecipe(network, settings, described)

    def input_of(self, data: TextTrainingData) -> dict[str, Any]:
        return {"words": list(data.words)}

    def count(self, network: DartsRNNNetwork, data: Any) -> dict[str, int]:
        from nni_darts.tasks.language import networks

        return networks.count(network)

    def sizes(self, genotype: Genotype) -> list[str]:
        from nni_darts.tasks.language import networks

        return networks.sizes(genotype)

    def test_settings(self, batch_size: int) -> TextTraining:
        if batch_size != self.test_batch:
            raise SettingsError(
                [f"batch_size: a text is tested on as it is read, in one stream, got {batch_size}"]
            )
        return self.training(batch_size=batch_size)

    def misfits(self, trained: Mapping[str, Any], data: TextTrainingData) -> list[str]:
        known = tuple(trained.get("words", data.words))
        if known == data.words and trained["vocabulary"] == data.vocabulary:
            return []
        return [
            f"was trained with {trained['vocabulary']} words, {data.name} has other words, "
            f"{data.vocabulary}; choose the text that it was trained on"
        ]

    def test(
        self, network: nn.Module, data: TextTrainingData, device: torch.device
    ) -> dict[str, float]:
        from nni_darts.tasks.language import examination

        return examination.test(network, data, device)


TEXT = TextTask()
