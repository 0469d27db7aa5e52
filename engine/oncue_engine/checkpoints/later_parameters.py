"""Modules without parameters of their own: for those that get theirs from a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

__all__ = ["parameters_later"]


@contextmanager
def parameters_later() -> Iterator[None]:
    """What this thread builds inside has its parameters on the meta device: no memory, no draws. Buffers are real.

    `load_state_dict(..., assign=True)` then puts a file's tensors in their place.
    """
    owner = threading.get_ident()

    def to_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or threading.get_ident() != owner:
            return None
        return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)

    # PyTorch's annotation forgets what its documentation says: what the hook returns takes the parameter's place.
    handle = register_module_parameter_registration_hook(to_meta)  # type: ignore[arg-type]
    try:
        with _NoDraws():
            yield
    finally:
        handle.remove()


class _NoDraws(TorchFunctionMode):
    """Drawing numbers for a tensor that holds none takes milliseconds each, to no end."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in _DRAWS:
            tensor: Tensor = args[0] if args else named["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **named)


_DRAWS = frozenset(
    (
        Tensor.normal_,
        Tensor.uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.kaiming_uniform_,
        nn.init.trunc_normal_,
    )
)
