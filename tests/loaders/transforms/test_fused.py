"""The GPU's kernels give the CPU reference's numbers: in Triton's interpreter, or on a GPU where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from loaders.transforms import Mixup, Normalize, RandAugment, RandomErasing, fused
from loaders.transforms.randaugment import IMAGENET_MEAN
from loaders.transforms.randaugment_ops import Op, augment
from tests.loaders.transforms.test_randaugment import photos

triton = pytest.importorskip("triton")
CUDA = torch.cuda.is_available()
if not CUDA and triton.__version__.startswith("3.0."):
    pytest.skip("Triton 3.0's interpreter refuses constants as arguments of arange", allow_module_level=True)
TRIED = {  # two arguments of each operation
    Op.POSTERIZE: (1, 4),
    Op.SOLARIZE: (0, 200),
    Op.SOLARIZE_ADD: (11, 110),
    **dict.fromkeys((Op.CONTRAST, Op.BRIGHTNESS, Op.COLOR, Op.SHARPNESS), (0.19, 1.9)),
    Op.ROTATE: (-30, 3.3),
    **dict.fromkeys((Op.SHEAR_X, Op.SHEAR_Y), (-0.3, 0.033)),
    **dict.fromkeys((Op.TRANSLATE_X, Op.TRANSLATE_Y), (-0.45, 0.05)),
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where the kernels run: a GPU, or the CPU with the interpreter, which tests/conftest.py asks for."""
    if CUDA:
        return torch.device("cuda")
    monkeypatch.setattr(fused, "usable", lambda _: True)
    monkeypatch.setattr(fused, "BLOCK", 1024)
    return torch.device("cpu")


def reference(images: torch.Tensor, op: np.ndarray, argument: np.ndarray) -> torch.Tensor:
    for step in range(op.shape[1]):
        images = augment(images, op[:, step], argument[:, step], IMAGENET_MEAN)
    return images


def test_each_operation_has_the_references_pixels(device: torch.device) -> None:
    side = 22  # no multiple of a block, nor a power of two
    cases = [(-1, 0.0), *((op, argument) for op in Op for argument in TRIED.get(op, (0,)))]
    op = np.array([[kind] for kind, _ in cases], np.int64)
    argument = np.array([[value] for _, value in cases], float)
    images = photos(side, len(cases)).contiguous()
    got = fused.rand_augment(images.to(device), op, argument, IMAGENET_MEAN).cpu()
    gap = (got.int() - reference(images, op, argument).int()).abs()
    assert not gap.any(), sorted({Op(int(kind)).name for kind in op[gap.flatten(1).any(1).numpy(), 0]})


@pytest.mark.parametrize(
    ("dtype", "layout"), [(torch.float32, torch.contiguous_format), (torch.bfloat16, torch.channels_last)]
)
def test_two_steps_end_normalised(device: torch.device, dtype: torch.dtype, layout: torch.memory_format) -> None:
    images, normalize = photos(8, 8), Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.25), dtype, layout)
    kinds = [Op.EQUALIZE, Op.COLOR, Op.SHEAR_X, Op.SHARPNESS, Op.INVERT, Op.TRANSLATE_Y, Op.CONTRAST, Op.SOLARIZE]
    op = np.stack((kinds, kinds[::-1]), axis=1).astype(np.int64)
    argument = np.full(op.shape, 0.3)
    table = normalize.table(device)
    got = fused.rand_augment(images.to(device), op, argument, IMAGENET_MEAN, table, layout)
    assert got.dtype == dtype and got.is_contiguous(memory_format=layout)
    assert torch.equal(got.cpu(), normalize(reference(images, op, argument)))


def test_the_modules_use_the_kernels(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    real = fused.launch
    monkeypatch.setattr(fused, "launch", lambda name, *rest, **more: (names.append(name), real(name, *rest, **more)))
    images, indices, keys = photos(16, 6), np.arange(6), {"seed": 3, "epoch": 1}
    normalize = Normalize((0.5,) * 3, (0.25,) * 3)
    got = RandAugment(5, then=normalize)(images.to(device), indices, **keys).cpu()
    assert names == ["tables", "apply"] * 2
    with monkeypatch.context() as patch:
        patch.setattr(fused, "usable", lambda _: False)
        wanted = RandAugment(5, then=normalize)(images, indices, **keys)
        plain = RandAugment(5)(images, indices, **keys)
    assert torch.equal(got, wanted) and torch.equal(wanted, normalize(plain))
    assert RandAugment(5)(images[:0].to(device), indices[:0], **keys).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_erasing(
    device: torch.device,
    channels: int,
    layout: torch.memory_format,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = torch.zeros(12, channels, 20, 24, dtype=dtype).contiguous(memory_format=layout)
    module, keys = RandomErasing(0.7), {"seed": 2**63 + 5, "epoch": 9}
    got = module(images.clone().to(device), np.arange(12) + 2**40, **keys).cpu()
    with monkeypatch.context() as patch:
        patch.setattr(fused, "usable", lambda _: False)
        wanted = module(images.clone(), np.arange(12) + 2**40, **keys)
    assert wanted.any() and torch.equal(got, wanted)
    assert not RandomErasing(0.0)(images.clone().to(device), np.arange(12), **keys).any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["mixup", "cutmix", "neither"])
def test_mixing(
    device: torch.device, layout: torch.memory_format, dtype: torch.dtype, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Mixup(0.8 * (kind != "cutmix"), 1.0 * (kind == "cutmix"), prob=float(kind != "neither"), num_classes=7)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3, 12, 10))).to(dtype)
    images, labels = images.contiguous(memory_format=layout), torch.tensor([3, 0, 6, 2, 2])
    for batch in range(3):
        got, got_targets = module(images.to(device), labels.to(device), batch, seed=1, epoch=2)
        with monkeypatch.context() as patch:
            patch.setattr(fused, "usable", lambda _: False)
            wanted, targets = module(images, labels, batch, seed=1, epoch=2)
        assert torch.equal(got_targets.cpu(), targets) and got.is_contiguous(memory_format=layout)
        if kind == "mixup" and not CUDA:  # the interpreter's fused multiply-add rounds twice
            torch.testing.assert_close(got, wanted, rtol=torch.finfo(dtype).eps, atol=2e-7)
        else:
            assert torch.equal(got.cpu(), wanted)


def test_without_triton_torch_does_it_after_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(fused, "launch", broken)
    fused._runs.cache_clear()
    with pytest.warns(RuntimeWarning, match="Failed to find C compiler.*takes torch's operations"):
        assert not fused._runs(torch.device("cpu"))
    fused._runs.cache_clear()
    assert not fused.usable(torch.zeros(1, 3, 8, 8))


VARIANTS = """
import json
from collections import Counter
import numpy as np, torch
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime.jit import create_function_from_signature
from loaders.transforms import Mixup, RandAugment, RandomErasing, fused, gpu_kernels

variants, backend = set(), make_backend(GPUTarget("cuda", 90, 32))

def launch(name, grid, *arguments, **constants):
    kernel = getattr(gpu_kernels, name)
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    variants.add((name, str(bind(*arguments, **constants)[1])))

fused.usable, fused.launch = lambda _: True, launch
mix, erase, augment = Mixup(num_classes=10), RandomErasing(0.5), RandAugment(9)
for batch in range(100):
    n = (16, 15, 1)[batch % 3]
    keys, labels = np.arange(n) + 16 * batch, torch.zeros(n, dtype=torch.int64)
    augment(torch.zeros(n, 3, 48, 48, dtype=torch.uint8), keys, seed=0, epoch=0)
    images = erase(torch.zeros(n, 3, 48, 48), keys, seed=0, epoch=0)
    mix(images, labels, batch, seed=0, epoch=0)
print(json.dumps(Counter(name for name, _ in variants)))
"""


def compiling(script: str, *arguments: str, **variables: str) -> str:
    """What a script prints in a process of its own, in which Triton compiles instead of interpreting."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**environment, **variables},
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_batches_of_one_shape_and_the_last_one_share_their_kernels() -> None:
    """Each variant of a kernel takes seconds to compile, in the middle of a training."""
    assert json.loads(compiling(VARIANTS)) == {"tables": 1, "apply": 1, "erase": 1, "mix": 2, "targets": 1}


COMPILE = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from loaders.transforms import fused, gpu_kernels, keyed_noise

words = {"WEYL": keyed_noise.WEYL, "FIRST": keyed_noise.FIRST, "SECOND": keyed_noise.SECOND}
half, bytes_, ints, longs, floats = "*bf16", "*u8", "*i32", "*i64", "*fp32"
cases = {
    "tables": ({"images": bytes_, "parameters": ints, "out": bytes_}, {}),
    "apply": (
        {"images": bytes_, "parameters": ints, "weights": floats, "level_tables": bytes_, "finish": half, "out": half},
        {"FINISH": True},
    ),
    "erase": ({"images": half, "boxes": longs, "quantiles": floats}, words),
    "mix": ({"images": half, "out": half, "share": "fp32"}, {"CUT": False}),
    "targets": ({"labels": longs, "out": floats, **dict.fromkeys(("off", "on", "share", "rest"), "fp32")}, {}),
}
for name, (types, constants) in cases.items():
    function, constants = getattr(gpu_kernels, name), {**constants, "BLOCK": fused.BLOCK}
    names = function.arg_names
    signature = {key: "constexpr" if key in constants else types.get(key, "i32") for key in names}
    source = ASTSource(function, signature, {(names.index(key),): value for key, value in constants.items()})
    for capability in map(int, sys.argv[1:]):
        made = compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
        assert made.asm["cubin"], name
        print(name, capability)
"""


@pytest.mark.slow
def test_they_compile_for_gpus_that_are_not_here(tmp_path: Path) -> None:
    made = compiling(COMPILE, "75", "80", "90", "100", "120", TRITON_CACHE_DIR=str(tmp_path))
    assert len(made.splitlines()) == 25
