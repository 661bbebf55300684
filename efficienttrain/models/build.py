"""build: a network by name: ours, timm's, or the user's own factory."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from efficienttrain.models import cswin, pvt
from efficienttrain.models.size import check_resolution
from efficienttrain.presets import ALIASES, canonical

OURS: dict[str, Callable[..., nn.Module]] = {**cswin.FACTORIES, **pvt.FACTORIES}
NEAREST = 3
INSTEAD = {"pretrained": ", and give a file as `init`", "pool": ""}


def build(
    name: str,
    *,
    num_classes: int,
    drop_path: float = 0.0,
    resolution: int = 224,
    head_dropout: float = 0.0,
    zero_init_last: bool | None = None,
    pool: str | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """A network for inputs [n, 3, B, B] and logits [n, num_classes], with fresh weights unless `pretrained`.

    Args:
        name: a timm name, a name in a released script ("swin_tiny", "CSWin_64_12211_tiny_224"), one of ours
            ("cswin_tiny", "pvt_small"), or the user's factory: "package.module:factory" or "file.py:factory". A factory
            is called as `factory(num_classes=...)`, with those of the arguments below that it accepts.
        num_classes: outputs, at least 1.
        drop_path: stochastic depth of the last block, 0 to below 1; ignored by a network without it.
        resolution: side B of the initial input, pixels; `resize` changes it.
        head_dropout: dropout before the classifier, 0 to below 1 (timm's `drop_rate`).
        zero_init_last: for timm's ResNets: whether the last norm of each residual branch begins at 0. torchvision's
            ResNet-50, which the released code trains, begins at 1. None: the default of the model's code.
        pool: input of the head in a timm ViT: "avg" (mean of the patches) or "token"; None: the network's own.
        pretrained: use timm's weights for this name, downloaded from its hub or read from its cache.

    Raises:
        ValueError: an unknown name (the message lists the nearest), an invalid factory, a size that the network does
            not accept, or `pool` or `pretrained` if timm does not offer it.
        FileNotFoundError: no such file.
    """
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be at least 1, got {num_classes}.")
    name = canonical(name)
    if (pool is not None or pretrained) and (":" in name or name in OURS):
        wish = "pretrained" if pretrained else "pool"
        raise ValueError(f"`{wish}` needs a model of timm's, got {name!r}; leave it out{INSTEAD[wish]}.")
    wishes: dict[str, Any] = {"num_classes": num_classes, "drop_path": drop_path, "resolution": resolution}
    if head_dropout:
        wishes["head_dropout"] = head_dropout
    if zero_init_last is not None:
        wishes["zero_init_last"] = zero_init_last
    if ":" in name:
        model = _users(name, wishes)
    elif name in OURS:
        model = OURS[name](**_accepted(OURS[name], wishes))
    else:
        model = _timms(name, **wishes, pool=pool, pretrained=pretrained)
    check_resolution(model, resolution)
    return model


def check_name(name: str) -> None:
    """Checks that a model of this name exists.

    Raises:
        ValueError: there is none; the message gives the nearest names. The user's own factories are not checked.
    """
    import timm

    if ":" in name or canonical(name) in OURS or timm.is_model(canonical(name)):
        return
    near = get_close_matches(name, [*OURS, *ALIASES, *timm.list_models()], n=NEAREST, cutoff=0.5)
    remedy = f"nearest are {', '.join(near)}" if near else "`timm.list_models()` gives the names"
    raise ValueError(
        f"`model` must be a name of timm's, one of ours ({', '.join(OURS)}) or module:factory, got {name!r}; {remedy}."
    )


def _timms(
    name: str,
    *,
    num_classes: int,
    drop_path: float,
    resolution: int,
    pool: str | None,
    pretrained: bool,
    head_dropout: float = 0.0,
    **rest: Any,
) -> nn.Module:
    from timm.models import get_pretrained_cfg_value

    check_name(name)
    options: dict[str, Any] = {"num_classes": num_classes, "drop_path_rate": drop_path, **rest}
    if head_dropout:
        options["drop_rate"] = head_dropout
    if get_pretrained_cfg_value(name, "fixed_input_size"):
        options["img_size"] = resolution
        if name.startswith("swin_"):  # as models/size.py sets it
            options["window_size"] = max(1, resolution // 32)
    if pool is not None:
        options["global_pool"] = pool
    try:
        model = _created(name, options, pretrained)
    except TypeError as error:
        for option in ("zero_init_last", "drop_rate"):
            if f"'{option}'" in str(error):
                raise ValueError(_without(name, "head_dropout" if option == "drop_rate" else option)) from None
        if "drop_path_rate" not in str(error):
            raise
        del options["drop_path_rate"]
        model = _created(name, options, pretrained)
    parts = dict(model.named_modules())
    if {"head.drop", "head.fc.head_drop"} <= parts.keys():  # CAFormer's authors drop within the head, timm before it
        parts["head.drop"].p, parts["head.fc.head_drop"].p = 0.0, head_dropout
    return model


def _created(name: str, options: dict[str, Any], pretrained: bool) -> nn.Module:
    import timm

    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:
        why = " ".join(str(error).split())
        if isinstance(error, TypeError) and "'global_pool'" not in why:
            raise  # the network lacks this option
        if "global_pool" in options and isinstance(error, (TypeError, AssertionError, NotImplementedError, ValueError)):
            raise ValueError(f"`pool` of {name} cannot be {options['global_pool']!r} ({why}); leave it out.") from error
        if pretrained:
            raise ValueError(
                f"timm's weights of {name} are not available ({why[:120]}); choose a name of "
                "`timm.list_pretrained()`, or give a file as `init`."
            ) from error
        raise
    return model


def _users(name: str, wishes: dict[str, Any]) -> nn.Module:
    """The network of the user's factory."""
    place, _, attribute = name.rpartition(":")
    names = vars(_module(name, place))
    factory = names.get(attribute)
    if not callable(factory):
        near = get_close_matches(attribute, [key for key, value in names.items() if callable(value)], n=NEAREST)
        raise ValueError(
            f"`model` {name!r}: {place} has no function or class {attribute!r}"
            + (f"; nearest are {', '.join(near)}." if near else ".")
        )
    model = factory(**_accepted(factory, wishes))
    if not isinstance(model, nn.Module):
        raise ValueError(f"`model` {name!r}: the factory must give a torch.nn.Module, got {type(model).__name__}.")
    return model


def _accepted(factory: Callable[..., Any], wishes: dict[str, Any]) -> dict[str, Any]:
    """The requested options for which the factory has arguments, and the number of classes, which is required.

    Raises:
        ValueError: the factory lacks an argument for an option that the user or a custom recipe sets.
    """
    taken = inspect.signature(factory).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    for option in ("head_dropout", "zero_init_last"):
        if option in wishes and not anything and option not in taken:
            raise ValueError(_without(getattr(factory, "__name__", "this model"), option))
    return {key: wish for key, wish in wishes.items() if anything or key in taken or key == "num_classes"}


def _without(name: str, option: str) -> str:
    return f"`{option}` must be left out for {name}: the network has no such setting."


def _module(name: str, place: str) -> ModuleType:
    """The user's module, imported as if Python had been started in its folder."""
    file = Path(place)
    folder = str(file.parent.resolve() if place.endswith(".py") else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"`model` {name!r}: {error}; is its folder on PYTHONPATH?") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"`model` {name!r}: no such file: {place}.") from None
    return module
