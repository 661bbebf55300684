"""A CUDA device that is not there: fake tensors on it, counted launches and copies, streams and events that are stubs.

Under `pretending()` code for a GPU runs on a machine without one. Tensors on "cuda" have shapes and no numbers, so that
mixing devices, waiting for the device and shapes that depend on data raise at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from loaders.backends import torch as torch_backend
from loaders.transforms import device as devices
from loaders.transforms import fused, keyed_noise

# Operations that start nothing on a GPU: views and allocations.
FREE = {
    "view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "unsqueeze", "squeeze", "select", "slice",
    "as_strided", "detach", "alias", "split", "split_with_sizes", "unbind", "empty", "empty_strided", "empty_like",
    "new_empty", "lift_fresh", "view_as_real", "view_as_complex", "is_pinned", "_pin_memory", "pin_memory", "diagonal",
    "narrow", "chunk", "unfold", "movedim", "new_empty_strided", "record_stream", "_to_copy_", "resize_",
}  # fmt: skip


class Count(TorchDispatchMode):
    """Counts what would be started on a GPU.

    Attributes:
        launches: kernels, by operation.
        copies: copies from the host, by whether they wait ("pageable") or not ("pinned": non-blocking, out of pinned
            memory).
        waits: operations that wait for the device.
    """

    def __init__(self, pinned: Pinned) -> None:
        super().__init__()
        self._pinned = pinned
        self.launches: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        space, name = func._schema.name.split("::")
        if space != "aten":
            return result
        given, made = list(_devices(args)), list(_devices(result))
        if name in FREE and made == ["cpu"] and isinstance(args[0], torch.Tensor) and args[0] in self._pinned:
            self._pinned.add(result)  # a view of a real tensor is a fake one, with a storage of its own
        if name in ("_to_copy", "copy_"):
            source, target = (given[-1], (made or given)[0]) if name == "copy_" else (given[0], made[0])
            quick = bool((kwargs or {}).get("non_blocking")) or (len(args) > 2 and bool(args[2]))
            if source == "cpu" and target == "cuda":
                self.copies["pinned" if quick and _source(name, args) in self._pinned else "pageable"] += 1
                return result
            if source == "cuda" and target == "cpu":
                self.waits[name] += not quick
                return result
        if name in ("_local_scalar_dense", "nonzero", "item", "is_nonzero"):
            self.waits[name] += "cuda" in given
        elif name.rstrip("_") not in FREE and name not in FREE and "cuda" in made + given:
            self.launches[name] += 1
        return result

    @property
    def total(self) -> int:
        """Kernels."""
        return sum(self.launches.values())


class Pinned:
    """The host's memory that is pinned, as far as is pretended. It is not freed, so that no address comes again."""

    def __init__(self) -> None:
        self._known: dict[tuple[bool, int], Any] = {}

    def add(self, memory: Any) -> Any:
        """Marks the memory of a tensor or an array."""
        self._known[self._key(memory)] = memory
        return memory

    def __contains__(self, memory: Any) -> bool:
        return self._key(memory) in self._known

    @staticmethod
    def _key(memory: Any) -> tuple[bool, int]:
        """Views have the key of their base."""
        if isinstance(memory, np.ndarray):
            return False, memory.ctypes.data
        storage = memory.untyped_storage()
        fake = isinstance(memory, FakeTensor)
        return fake, storage._cdata if fake else storage.data_ptr()


class Event:
    """Stands for `torch.cuda.Event`.

    Attributes:
        passes: whether events pass at once, or never.
        synchronized: events that the host waited for.
    """

    passes = True
    synchronized = 0

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self.timing, self.blocking, self.stream = enable_timing, blocking, None

    def record(self, stream: Any = None) -> None:
        self.stream = stream

    def query(self) -> bool:
        return Event.passes

    def synchronize(self) -> None:
        Event.synchronized += 1

    def elapsed_time(self, _: Event) -> float:
        return 0.0


class Stream:
    """Stands for `torch.cuda.Stream`; remembers which streams it was told to wait for."""

    def __init__(self, device: Any = None, **_: Any) -> None:
        self.device, self.waited_for = device, []

    def wait_stream(self, other: Any) -> None:
        self.waited_for.append(other)

    def synchronize(self) -> None:
        Event.synchronized += 1


@contextmanager
def pretending(*, events_pass: bool = True) -> Iterator[Count]:
    """Code inside sees a CUDA device. Yields the counter, which may be cleared between batches."""
    if not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
        pytest.skip("this torch is too old to simulate a CUDA device")
    torch._C._ensureCUDADeviceGuardSet()  # type: ignore[attr-defined]  # of stubs, where there is no driver
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    user = Stream()
    pinned = Pinned()
    launched = Count(pinned)

    def launch(name: str, grid: tuple[int, ...], *arguments: Any, **_: Any) -> None:
        tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
        assert {tensor.device.type for tensor in tensors} == {"cuda"}, name
        assert all(isinstance(size, int) and size > 0 for size in grid), (name, grid)
        launched.launches[f"triton {name}"] += 1

    @contextmanager
    def stream(_: Any) -> Iterator[None]:
        yield

    with pytest.MonkeyPatch.context() as patch:
        # Fake tensors start the driver where `is_available` says that there is one.
        patch.setattr(FakeTensorMode, "avoid_device_init", True)
        patch.setattr(fake_tensor, "init_gpu_context", lambda _: None)
        patch.setattr(Event, "passes", events_pass)
        patch.setattr(Event, "synchronized", 0)
        for name, stub in {
            "is_available": lambda: True,
            "is_initialized": lambda: False,
            "is_bf16_supported": lambda *_: True,
            "is_current_stream_capturing": lambda: False,
            "_lazy_init": lambda: None,
            "current_device": lambda: 0,
            "device_count": lambda: 1,
            "synchronize": lambda _=None: None,
            "current_stream": lambda _=None: user,
            "mem_get_info": lambda _=None: (2**36, 2**36),
            "get_device_capability": lambda _=None: (9, 0),
            "Stream": Stream,
            "Event": Event,
            "stream": stream,
        }.items():
            patch.setattr(torch.cuda, name, stub)
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: pinned.add(tensor))
        patch.setattr(torch.Tensor, "record_stream", lambda *_: None)
        patch.setattr(torch, "empty", _empty(torch.empty, pinned))
        # The kernel writes into this memory.
        patch.setattr(torch_backend, "_pinned", lambda size: pinned.add(np.empty(size, np.uint8)))
        patch.setattr(keyed_noise, "quantiles", lambda: np.zeros(65536))  # made by torch, on the CPU
        patch.setattr(fused, "launch", launch)
        patch.setattr(fused, "_runs", lambda _: True)
        devices._cached.cache_clear()
        with mode, launched:
            yield launched
    devices._cached.cache_clear()


def moved(model: nn.Module) -> nn.Module:
    """A network that was made before pretending, with its parameters and buffers on the pretended device."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                made = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                module._parameters[name] = nn.Parameter(made, requires_grad=value.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    return model


def _empty(empty: Any, pinned: Pinned) -> Any:
    def marked(*sizes: Any, pin_memory: bool = False, **options: Any) -> Any:
        made = empty(*sizes, **options)
        return pinned.add(made) if pin_memory else made

    return marked


def _source(name: str, arguments: Any) -> torch.Tensor:
    """The tensor that a copy reads."""
    source: torch.Tensor = arguments[1] if name == "copy_" else arguments[0]
    return source


def _devices(tree: Any) -> Iterator[str]:
    for leaf in torch.utils._pytree.tree_leaves(tree):
        if isinstance(leaf, torch.Tensor):
            yield leaf.fake_device.type if isinstance(leaf, FakeTensor) else leaf.device.type
