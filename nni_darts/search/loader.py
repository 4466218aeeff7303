"""Batches for the two levels of the search: one for w and one for alpha in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from nni_darts._common.checks import function, instance


class BilevelLoader:
    """An epoch of pairs `{"train": batch for w, "val": batch for alpha}`.

    The epoch is that of the training loader; the other one starts again when it is shorter.

    Args:
        train: the loader of the training half.
        val: the loader of the validation half.
        before_epoch: called when the first batch of an epoch is asked for, before anything is
            drawn.
    """

    def __init__(
        self, train: Iterable[Any], val: Iterable[Any], before_epoch: Callable[[], None]
    ) -> None:
        for name, loader in (("train", train), ("val", val)):
            instance(name, loader, Iterable, "a loader of batches")  # type: ignore[type-abstract]
        function("before_epoch", before_epoch)
        self.train = train
        self.val = val
        self.before_epoch = before_epoch

    def __len__(self) -> int:
        return len(self.train)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.before_epoch()
        val = self._cycle()
        for batch in self.train:
            yield {"train": batch, "val": next(val)}

    def _cycle(self) -> Iterator[Any]:
        while True:
            empty = True
            for batch in self.val:
                empty = False
                yield batch
            if empty:
                raise ValueError(
                    "the validation loader has no batch to learn alpha on; "
                    "give it more data or a smaller batch_size"
                )


def shuffled(loader: Any) -> Any:
    """Loader of the same batches in random order.

    A validation loader usually runs in the order of the data set; alpha must not be learnt on
    batches of one class. Loaders that bring a sampler of their own are left alone.
    """
    if not isinstance(loader, DataLoader) or loader.batch_size is None:
        return loader
    plain = type(loader.batch_sampler) is BatchSampler
    if not (plain and isinstance(loader.sampler, SequentialSampler)):
        return loader
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        shuffle=True,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        # A small last batch would make for a noisy gradient, but a small data set is one batch.
        drop_last=len(loader.dataset) >= loader.batch_size,  # type: ignore[arg-type]
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
    )


def only(loader: Any) -> Any:
    """Loader itself, also where it comes as a list of one.

    Raises:
        ValueError: there are several.
    """
    if isinstance(loader, list | tuple) and len(loader) == 1:
        return loader[0]
    if isinstance(loader, list | tuple | dict):
        raise ValueError(f"one loader is needed for each half of the data, got {len(loader)}")
    return loader
