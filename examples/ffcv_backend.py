"""Our loader on top of FFCV's: python examples/ffcv_backend.py train.beton

The beton may be a pyramid, or one that FFCV wrote. The batches are those of backend="torch", bit for bit.
"""

import sys

from loaders import Loader

with Loader(sys.argv[1], batch_size=8, backend="ffcv", resolution=96, seed=0) as loader:
    for resolution in (96, 160, 224):
        loader.set_stage(resolution=resolution)
        for images, labels in loader:
            assert images.shape[2:] == (resolution, resolution) and len(images) == len(labels)
        print(f"B={resolution}: {len(loader)} batches of {tuple(images.shape)}, {images.dtype}")
