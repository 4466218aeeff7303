"""Trained network, read from the checkpoint of its training. Torch only.

A checkpoint is Lightning's: a dict with the weights of the training module under "state_dict",
those of its network with the prefix `network.`. One more key says which network that is, so that
it runs where torch alone is installed.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from nni_darts._common import files
from nni_darts._common.checks import as_path
from nni_darts._common.messages import unknown
from nni_darts.genotypes.genotype import Genotype
from search_spaces.activations import ACTIVATIONS
from search_spaces.darts_network import DartsNetwork
from search_spaces.darts_rnn_network import DartsRNNNetwork
from search_spaces.operations import OPERATIONS

KEY = "nni_darts"
VERSION = 1
PREFIX = "network."

_FIELDS = {"genotype": str, "network": dict, "input": dict, "training": str}
Network: TypeAlias = "DartsNetwork | DartsRNNNetwork"
_Types: TypeAlias = "type | tuple[type, ...]"


class CheckpointError(ValueError):
    """A file that gives no network: one line that names the file and says what to do."""


class DamagedCheckpointError(CheckpointError):
    """A file that is no whole checkpoint, and never will be."""


class UnreadableCheckpointError(CheckpointError, OSError):
    """A file that the system does not let be read."""


# Here and not with the tasks, whose settings need more than torch.
class _Family(NamedTuple):
    """Networks of one kind of genotype: their arguments and their least size."""

    network: type[Network]
    arguments: Mapping[str, _Types]
    """Arguments besides the genotype, with their types."""
    size: str
    """Whole numbers among them, in words."""


_CNN = _Family(
    DartsNetwork,
    {
        **dict.fromkeys(("channels", "num_cells", "num_classes", "in_channels"), int),
        "auxiliary": bool,
        "stem": str,
    },
    size="{num_cells} cells of {channels} channels",
)

_RNN = _Family(
    DartsRNNNetwork,
    {
        "vocabulary": int,
        "embedding": int,
        "hidden": int,
        **{f"dropout_{which}": (int, float) for which in ("out", "h", "x", "i", "e")},
    },
    size="{vocabulary} words of {embedding} numbers and states of {hidden}",
)


def _family(genotype: Genotype) -> _Family:
    return _RNN if genotype.cells[0].kind == "recurrent" else _CNN


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint about its network."""

    genotype: Genotype
    arguments: dict[str, Any]
    """Arguments of `DartsNetwork` or `DartsRNNNetwork`, besides the genotype."""
    input: dict[str, Any]
    """Data that the network was trained on, as far as known: `image_size`, `mean` and `std` per
    channel; or `words`, the word of each token."""
    training: str
    """Settings that the network was trained with, JSON."""
    state: dict[str, Tensor]
    """Weights of the network by name, on the CPU."""


def describe(network: Network, input: Mapping[str, Any], training: str) -> dict[str, Any]:
    """Content of a checkpoint under `KEY`: plain values only, so that it loads without code.

    Args:
        network: the one that is trained.
        input: `image_size`: an int, `mean` and `std`: a list of floats, one per channel; or
            `words`: a list of texts, one per token; what is not known is left out.
        training: the settings that it is trained with, JSON.

    Raises:
        TypeError: a value of `input` that JSON does not have.
        ValueError: an `input` as above it is not.
    """
    plain = json.loads(json.dumps({"network": network.arguments, "input": dict(input)}))
    _check_input(plain["input"])
    genotype = network.genotype.to_json()
    return {"version": VERSION, "genotype": genotype, **plain, "training": training}


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Trained network, ready to use: on the CPU, in evaluation mode.

    A `DartsNetwork` maps images (N, in_channels, H, W), prepared as `read(path).input` says, to
    logits (N, num_classes). The auxiliary head, which serves training only, is left behind. A
    `DartsRNNNetwork` reads tokens (T, B), whose words `read(path).input` has.

    Raises:
        CheckpointError: see `read`; and for weights that do not fit the network.
    """
    checkpoint = read(path)
    try:
        return _network(checkpoint)
    # RuntimeError: sizes beyond the memory.
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: {_line(error)}") from None


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Content of a checkpoint about its network, with the weights. The file cannot run code.

    A genotype may name operations of the user's own, if `search_spaces.operations.OPERATIONS`, or
    for a recurrent cell `search_spaces.activations.ACTIVATIONS`, has them.

    Raises:
        CheckpointError: there is no such file; it is damaged, would need code to load, or is not a
            checkpoint of such a network.
    """
    path = as_path("path", path)
    values = content(path)
    try:
        return _checkpoint(values)
    except (ValueError, RuntimeError) as error:  # the second of a type that torch cannot look at
        raise CheckpointError(f"{path}: {_line(error)}") from None


def content(path: str | os.PathLike[str], opened: Callable[[], BinaryIO] | None = None) -> Any:
    """Content of a file of torch's: tensors and plain values.

    Args:
        path: of the file.
        opened: opens it as `files.open_regular` does, where it lies elsewhere.

    Raises:
        CheckpointError: it needs code to load; as `DamagedCheckpointError` it is damaged, as
            `UnreadableCheckpointError` the system is in the way.
    """
    try:
        with files.open_regular(path) if opened is None else opened() as file:
            with zipfile.ZipFile(file) as archive:
                _require_plain(archive, file.seek(0, os.SEEK_END))
                # torch compares no checksums: a flipped bit would be a wrong weight.
                if (damaged := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"{damaged} is damaged")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; give the path of a checkpoint") from None
    except files.DamagedError as error:
        inside = " in it" * os.path.isdir(path)
        raise CheckpointError(f"{path}: {error}; give the path of a checkpoint{inside}") from None
    except OSError as error:
        raise UnreadableCheckpointError(f"{path}: cannot be read ({_line(error)})") from None
    except MemoryError:
        raise UnreadableCheckpointError(f"{path}: there is not enough memory to read it") from None
    # Damage shows as one of a dozen exceptions: of zipfile, of pickle, of torch's C++.
    except Exception as error:
        if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path}: needs code to load ({code[1]}), which could do anything, and is refused; "
                "save a checkpoint of tensors, numbers, text, lists and dicts only"
            ) from None
        raise DamagedCheckpointError(
            f"{path}: is not a complete checkpoint ({_line(error)}); take an earlier one or train "
            "again"
        ) from None


def _require_plain(archive: zipfile.ZipFile, size: int) -> None:
    """ValueError where what is packed is more than the file: torch packs without compression."""
    members = archive.infolist()
    if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
        raise zipfile.BadZipFile("it is compressed or encrypted, as torch writes none")
    if sum(m.file_size for m in members) > size:
        raise zipfile.BadZipFile("it says to hold more than it has bytes")


def _checkpoint(values: Any) -> Checkpoint:
    if not isinstance(values, dict) or KEY not in values:
        raise ValueError(
            f"is not a checkpoint of a network trained here: it lacks the key {KEY!r}; give one "
            "that a training of nni_darts wrote (the checkpoint of a search holds no network yet)"
        )
    fields = _of_type(values[KEY], KEY, dict)
    version = _of_type(fields.get("version"), "version", int)
    if version > VERSION:
        raise ValueError(
            f"is of format {version}, written by a newer nni_darts; this one reads format "
            f"{VERSION}: install the newer one"
        )
    for name, kind in _FIELDS.items():
        _of_type(fields.get(name), name, kind)
    state = {
        name.removeprefix(PREFIX): _weights(_of_type(value, name, Tensor), name)
        for name, value in _of_type(values.get("state_dict"), "state_dict", dict).items()
        if isinstance(name, str) and name.startswith(PREFIX)
    }
    _check_input(fields["input"])
    genotype = _genotype(fields["genotype"])
    return Checkpoint(
        genotype,
        _arguments(fields["network"], _family(genotype).arguments),
        fields["input"],
        fields["training"],
        state,
    )


def _weights(tensor: Tensor, name: str) -> Tensor:
    """The tensor; ValueError where it is none of numbers in memory, one each."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_complex() or tensor.is_quantized:
        raise ValueError(f"is broken: {name} must be a dense tensor of real numbers")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"is broken: {name} says to hold more numbers than there are")
    if not tensor.isfinite().all():
        raise ValueError(
            f"{name} has weights that are not finite; take an earlier checkpoint or train again"
        )
    return tensor


def _genotype(text: str) -> Genotype:
    try:
        return Genotype.parse(text, operations=[*OPERATIONS, *ACTIVATIONS])
    except ValueError as error:
        raise ValueError(
            f"genotype: {error}; an operation of your own must be in "
            "search_spaces.operations.OPERATIONS before, one of a recurrent cell in "
            "search_spaces.activations.ACTIVATIONS"
        ) from None


def _arguments(values: dict[Any, Any], known: Mapping[str, _Types]) -> dict[str, Any]:
    for name in values:
        if name not in known:
            raise ValueError(unknown("argument of the network", name, known))
    return {name: _of_type(values.get(name), name, kind) for name, kind in known.items()}


def _check_input(values: dict[str, Any]) -> None:
    if "image_size" in values and _of_type(values["image_size"], "image_size", int) < 1:
        raise ValueError(f"image_size must be at least 1, got {values['image_size']}")
    for name in ("mean", "std"):
        for value in _of_type(values.get(name, []), name, list):
            if not math.isfinite(_of_type(value, name, (int, float))):
                raise ValueError(f"{name} must be finite, got {value}")
    for word in _of_type(values.get("words", []), "words", list):
        _of_type(word, "a word", str)


def _of_type(value: Any, name: str, kind: _Types) -> Any:
    """The value; ValueError where it is of another type (a bool is no int here)."""
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    kinds = kind if isinstance(kind, tuple) else (kind,)
    raise ValueError(
        f"is broken: {name} must be of type {' or '.join(k.__name__ for k in kinds)}, "
        f"got {type(value).__name__}; take an earlier checkpoint or train again"
    )


def _network(checkpoint: Checkpoint) -> Network:
    state, arguments = checkpoint.state, checkpoint.arguments
    family = _family(checkpoint.genotype)
    # Who wrote other numbers than the weights have could fill the memory.
    weights = sum(tensor.numel() for tensor in state.values())
    if any(kind is int and arguments[name] > weights for name, kind in family.arguments.items()):
        raise ValueError(
            f"{family.size.format(**arguments)} do not fit its {weights} weights; take an earlier "
            "checkpoint or train again"
        )

    def made(device: str) -> Network:
        # What is drawn is overwritten; the random numbers of the caller stay as they were.
        with torch.random.fork_rng(devices=[]), torch.device(device):
            return family.network(checkpoint.genotype, **arguments)

    # The shapes say whether it fits before it takes any memory. What has none cannot be filled, for
    # an operation of the user's own may hold more than its weights.
    bare = None
    with suppress(Exception):  # such an operation needs data, or what is wrong is said below
        bare = made("meta")
    if bare is not None:
        _require_fitting(bare.state_dict(), state)
    network = made("cpu")
    _require_fitting(network.state_dict(), state)
    network.load_state_dict(state)
    if isinstance(network, DartsNetwork):
        network.auxiliary = None
    return network.eval()


def _require_fitting(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """ValueError where the weights are not those of a network, by name and shape."""
    problems = [
        *(f"{name} is missing" for name in expected if name not in state),
        *(f"{name} is not in the network" for name in state if name not in expected),
        *(
            f"{name} must have shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        ),
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise ValueError(
            f"the weights do not fit the network that it describes: {problems[0]}{more}; load it "
            "with the operations and the version that it was trained with"
        )


def _line(error: Exception) -> str:
    """The first line of a message that may have many, or none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
