"""The low-frequency crop in an FFCV pipeline: python examples/ffcv_lowfreq.py train.beton

FFCV takes any torch module as a step. Behind ToDevice it runs on the device, whole batches at a time.
"""

import sys

import torch
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import Squeeze, ToDevice, ToTensor, ToTorchImage

from loaders.transforms import LowFrequencyCrop

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
crop = LowFrequencyCrop(96, "fourier")  # or "lanczos"
loader = Loader(
    sys.argv[1],
    batch_size=8,
    num_workers=2,
    order=OrderOption.RANDOM,
    seed=0,
    pipelines={
        "image": [RandomResizedCropRGBImageDecoder((224, 224)), ToTensor(), ToDevice(device), ToTorchImage(), crop],
        "label": [IntDecoder(), ToTensor(), ToDevice(device), Squeeze()],
    },
)
for method in ("fourier", "lanczos"):
    crop.method = method
    for images, _labels in loader:
        assert images.shape[1:] == (3, 96, 96)
    print(f"{method}: {len(loader)} batches of {tuple(images.shape)}, {images.dtype}, on {images.device.type}")
