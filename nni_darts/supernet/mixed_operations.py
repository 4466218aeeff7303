"""Versions of NNI's mixed operations from which the chosen part can be taken with its weights.

NNI's own `freeze` fails for an operation without bias or scale, and gives one on the CPU, in
float32, and in training mode.
"""

from __future__ import annotations

from typing import Any

from nni.nas.oneshot.pytorch.supermodule import operation as nni_operation
from nni.nas.oneshot.pytorch.supermodule.operation import MixedOperation
from nni.nas.space import model_context
from torch import nn


class _Frozen(MixedOperation):
    """Mixin for NNI's mixed operations, placed before them in the bases."""

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Freeze to the chosen operation as one of torch's own, with its part of the weights."""
        chosen = {name: mutable.freeze(sample) for name, mutable in self.mutable_arguments.items()}
        arguments = {**self.init_arguments, **chosen}
        with model_context(sample):
            operation: nn.Module = self.bound_type(**arguments)
        weights = {n: w for n, w in self.freeze_weight(**arguments).items() if w is not None}
        for weight in weights.values():
            operation.to(weight.device, weight.dtype)
        operation.load_state_dict(weights)
        return operation.train(self.training)


class Linear(_Frozen, nni_operation.MixedLinear):
    """A linear map of the chosen size."""


class Conv2d(_Frozen, nni_operation.MixedConv2d):
    """A convolution of the chosen kernel and channels."""


class BatchNorm2d(_Frozen, nni_operation.MixedBatchNorm2d):
    """A normalisation of the chosen channels."""

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]
    ) -> BatchNorm2d | None:
        """The mutation hook; the mixed one has what the space has set since it made its own."""
        mixed: BatchNorm2d | None = super().mutate(module, name, memo, mutate_kwargs)
        if mixed is not None:
            for setting in {"eps", "momentum"} - mixed.mutable_arguments.keys():
                mixed.init_arguments[setting] = getattr(module, setting)
        return mixed

    def freeze_weight(self, num_features: Any, **kwargs: Any) -> dict[str, Any]:
        size = self.num_features if isinstance(num_features, dict) else num_features
        kept = {n: getattr(self, n) for n in ("weight", "bias", "running_mean", "running_var")}
        return {n: tensor if tensor is None else tensor[:size] for n, tensor in kept.items()}


class LayerNorm(_Frozen, nni_operation.MixedLayerNorm):
    """A normalisation of the chosen shape."""


class MultiheadAttention(_Frozen, nni_operation.MixedMultiHeadAttention):
    """Attention of the chosen dimensions."""


HOOKS = {
    nni_operation.MixedLinear.mutate: Linear.mutate,
    nni_operation.MixedConv2d.mutate: Conv2d.mutate,
    nni_operation.MixedBatchNorm2d.mutate: BatchNorm2d.mutate,
    nni_operation.MixedLayerNorm.mutate: LayerNorm.mutate,
    nni_operation.MixedMultiHeadAttention.mutate: MultiheadAttention.mutate,
}
"""The mutation hooks that stand for NNI's."""
