"""Our loader on top of FFCV's: python examples/ffcv_backend.py train.beton

The beton may be a ladder, or one that FFCV wrote. The batches are those of backend="torch", bit for bit.
"""

import sys

from loaders import Loader

with Loader(sys.argv[1], batch_size=8, backend="ffcv", bandwidth=96, seed=0) as loader:
    for bandwidth in (96, 160, 224):
        loader.set_stage(bandwidth=bandwidth)
        for images, labels in loader:
            assert images.shape[2:] == (bandwidth, bandwidth) and len(images) == len(labels)
        print(f"B={bandwidth}: {len(loader)} batches of {tuple(images.shape)}, {images.dtype}")
