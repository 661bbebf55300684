"""FFCV reads a pyramid as any beton: python examples/ffcv_reads_pyramid.py train.beton

It sees the full-size images and the labels; it does not read the part of the file that holds the reduced sizes.
"""

import sys

from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import Squeeze, ToTensor, ToTorchImage

loader = Loader(
    sys.argv[1],
    batch_size=8,
    num_workers=2,
    order=OrderOption.RANDOM,
    pipelines={
        "image": [RandomResizedCropRGBImageDecoder((224, 224)), ToTensor(), ToTorchImage()],
        "label": [IntDecoder(), ToTensor(), Squeeze()],
    },
)
for images, labels in loader:
    assert images.shape[1:] == (3, 224, 224) and len(images) == len(labels)
print(f"{len(loader)} batches of {tuple(images.shape)}, {images.dtype}")
