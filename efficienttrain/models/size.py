"""resize: changes the input size of a network in training, in place.

`set_input_size(img_size=(B, B))`, timm's convention, resizes a network; a network without this method accepts any size.
This method determines the *shape* of the parameters. Their *values* are computed here, as in the released code and not
as in timm: by bilinear interpolation (`fit`), for the weights, the optimizer's moments and the moving average.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 32


@torch.no_grad()
def resize(
    model: nn.Module,
    resolution: int,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    ema: nn.Module | None = None,
) -> None:
    """Changes `model` in place to inputs of `resolution` x `resolution` pixels. Does nothing if it already has this
    size.

    Parameters stay the same objects (only their data are exchanged), so the optimizer's groups and other references to
    them stay valid. Their gradients are deleted if the shape changed. Objects that store *shapes* become invalid: wrap
    the module in a new DistributedDataParallel (because of its buckets) and delete the old wrapper, and capture CUDA
    graphs again. torch.compile detects the change and compiles once for each size.

    Args:
        model: the unwrapped network.
        resolution: the new side B, pixels.
        optimizer: of `model`'s parameters; each state tensor of a resized parameter's shape (`exp_avg`, `exp_avg_sq`,
            momentum) is resized like it. If the state has tensors of other shapes, such as the factored moments of
            Adafactor, the optimizer begins anew with that parameter.
        ema: a moving average of the network, a module of the same class.

    Raises:
        ValueError: a size that the model does not accept.

    Source: the released `utils_buffer.py` (adapters for DeiT and Swin), by name here instead of by shape.
    """
    check_resolution(model, resolution)
    if hasattr(model, "set_input_size"):
        before = dict(model.named_parameters())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of timm's interpolation, whose values are not used
            _set_input_size(model, resolution)
        for name, new in list(model.named_parameters()):
            old = before[name]
            if new is not old:
                _put_back(model, name, old, new.shape, {} if optimizer is None else optimizer.state.get(old, {}))
    if ema is not None:
        resize(ema, resolution)


def network_in(module: nn.Module) -> nn.Module | None:
    """The network that can be resized: the module itself, or the only one inside it; None: there is none.

    Raises:
        ValueError: there are several.
    """
    found = [module] if hasattr(module, "set_input_size") else list(_networks(module))
    if len(found) > 1:
        raise ValueError(
            f"`model` must contain one network that can be resized, got {len(found)} in {type(module).__name__}; give "
            "one of them."
        )
    return found[0] if found else None


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost networks inside a module. The parts of timm's networks have the method, too, and are none."""
    for child in module.children():
        if hasattr(child, "set_input_size") and (hasattr(child, "forward_features") or hasattr(child, "size_multiple")):
            yield child
        else:
            yield from _networks(child)


def check_resolution(model: nn.Module, resolution: int) -> None:
    """Checks that the network accepts inputs of this size.

    Raises:
        ValueError: not a multiple of the network's divisor (32 for Swin, CSWin and PVT, the patch for a ViT), too
            small, or another size than the only one of a network with a fixed size.
    """
    multiple = multiple_of(model)
    least = max(SMALLEST, getattr(model, "smallest_size", 2 * multiple if _is_swin(model) else multiple))
    kind = type(model).__name__
    if resolution < least or resolution % multiple:
        low = max(least, resolution // multiple * multiple)
        near = f"nearest is {low}" if resolution < least else f"nearest are {low} and {low + multiple}"
        raise ValueError(
            f"`resolution` of {kind} must be a multiple of {multiple}, at least {least}, got {resolution}; {near}."
        )
    fixed = None if hasattr(model, "set_input_size") else _fixed_size(model)
    if fixed not in (None, resolution) and not _takes(model, resolution):
        raise ValueError(
            f"`resolution` of {kind} can only be {fixed}, got {resolution}: it has no `set_input_size` to change it by."
        )


def multiple_of(model: nn.Module) -> int:
    """Divisor of the input's side: `model.size_multiple` if present, else determined by inspection."""
    multiple: Any = getattr(model, "size_multiple", None)
    if multiple is not None:
        return int(multiple)
    patch: Any = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is None or not hasattr(model, "set_input_size"):
        return 1
    side = patch if isinstance(patch, int) else max(patch)
    return side * 8 if _is_swin(model) else side


def _set_input_size(model: nn.Module, resolution: int) -> None:
    size: Any = (resolution, resolution)
    if _is_swin(model):  # windows of B / 32: always 8 x 8, 4 x 4, 2 x 2 and 1 of them
        window = (resolution // 32, resolution // 32)
        model.set_input_size(img_size=size, window_size=window)  # type: ignore[operator]
    else:
        model.set_input_size(img_size=size)  # type: ignore[operator]


def _put_back(model: nn.Module, name: str, parameter: nn.Parameter, shape: torch.Size, state: dict[str, Any]) -> None:
    """Restores the object `parameter` if the model replaced it, with its values and its state in the new shape."""
    if any(
        isinstance(value, Tensor) and value.numel() > 1 and value.shape != parameter.shape for value in state.values()
    ):
        state.clear()  # factors of a moment: the optimizer begins anew with this parameter
    for key, value in state.items():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            state[key] = fit(value, shape)
    values = fit(parameter.data, shape)
    parameter.grad = None
    # Autograd keeps the node that collects this parameter's gradient, with the old shape, as long as a graph is
    # referenced (by a loss or a DistributedDataParallel). A change of type releases the node, a change of shape does
    # not.
    parameter.data = values.new_empty(0, dtype=torch.float16 if values.dtype != torch.float16 else torch.float32)
    parameter.data = values
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, parameter)


def _is_swin(model: nn.Module) -> bool:
    return any(kind.__name__ == "SwinTransformer" for kind in type(model).__mro__)


def _fixed_size(model: nn.Module) -> int | None:
    """The size of a timm network that accepts only one."""
    facts = getattr(model, "pretrained_cfg", None) or {}
    if not facts.get("fixed_input_size"):
        return None
    size = getattr(getattr(model, "patch_embed", None), "img_size", None) or facts["input_size"]
    return int(size[-1])


@torch.no_grad()
def _takes(model: nn.Module, resolution: int) -> bool:
    """Whether an image of this size passes through the network. timm calls some networks fixed that accept any size."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        model(next(model.parameters()).new_zeros(1, 3, resolution, resolution))
        return True
    except Exception:  # whatever the network raises at a wrong size
        return False
    finally:
        for module, mode in modes.items():
            module.training = mode


MOST_EXTRA = 16  # class token, distillation token, registers


def fit(values: Tensor, shape: Sequence[int]) -> Tensor:
    """`values` at another size, interpolated bilinearly over the grid (`align_corners=False`).

    Args:
        values: tokens [1, extra + side^2, channels], extra ones (class token) first; or a table of relative position
            biases [side^2 + extra, heads], extra ones last, as in BEiT, or [heads, side^2], as in EfficientViT. Extra
            rows are unchanged.
        shape: the requested shape, which differs only in the number of rows.

    Returns:
        A tensor of that shape, of the same type and device.

    Raises:
        ValueError: shapes that do not fit a square grid.

    Source: the adapters of the released `utils_buffer.py`.
    """
    if tuple(values.shape) == tuple(shape):
        return values
    if values.ndim == len(shape) == 2 and values.shape[0] == shape[0]:
        return fit(values.T, shape[::-1]).T.contiguous()
    alike = values.ndim == len(shape) > 1 and values.shape[-1] == shape[-1] and values.shape[:-2] == tuple(shape[:-2])
    old, new = (values.shape[-2], shape[-2]) if alike else (0, 0)
    extra = next((k for k in range(MOST_EXTRA + 1) if _square(old - k) and _square(new - k)), None)
    if extra is None:
        raise ValueError(f"a square grid of positions can be resized, not {tuple(values.shape)} to {tuple(shape)}.")
    tokens = values.ndim == 3
    kept, grid = (values[:, :extra], values[:, extra:]) if tokens else (values[old - extra :], values[: old - extra])
    side, wanted = math.isqrt(old - extra), math.isqrt(new - extra)
    image = grid.reshape(-1, side, side, grid.shape[-1]).movedim(-1, 1).float()
    image = F.interpolate(image, (wanted, wanted), mode="bilinear", align_corners=False)
    grid = image.movedim(1, -1).reshape(*grid.shape[:-2], wanted * wanted, -1).to(values.dtype)
    return torch.cat((kept, grid) if tokens else (grid, kept), dim=-2)


def _square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def fit_to_checkpoint(model: nn.Module, resolutions: Sequence[int]) -> None:
    """Makes `model.load_state_dict` accept weights saved at any of these resolutions, pixels.

    Frameworks restore the weights before a callback can set their stage. The size is therefore derived from the shapes
    in the checkpoint. If the weights fit none of the sizes, torch raises its own error.
    """
    sizes = sorted(set(resolutions))

    def before(module: nn.Module, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
        for size in sizes:
            if _fits(module, state, prefix):
                return
            resize(module, size)

    model._register_load_state_dict_pre_hook(before, with_module=True)  # without underscore from torch 2.5 on


def _fits(module: nn.Module, state: Mapping[str, Any], prefix: str) -> bool:
    return all(
        not isinstance(saved := state.get(prefix + name), Tensor) or saved.shape == own.shape
        for name, own in module.named_parameters()
    )
