"""Our decoder in a ResNet-50 pipeline of FFCV's on a GPU: python examples/ffcv_gpu.py train.beton

FFCV's own steps follow the decoder. Our modules follow `ToDevice` and run on FFCV's streams.
"""

import sys
import time

import torch
from ffcv.fields.decoders import IntDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import Squeeze, ToDevice, ToTensor, ToTorchImage

from loaders.backends.ffcv import SubJPEGRandomResizedCrop
from loaders.transforms import LowFrequencyCrop, Normalize

device = torch.device("cuda")
decoder = SubJPEGRandomResizedCrop(224, flip=True)
normalize = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), torch.float16, torch.channels_last)
pipelines = {
    "image": [decoder, ToTensor(), ToDevice(device), ToTorchImage(), LowFrequencyCrop(160, "lanczos"), normalize],
    "label": [IntDecoder(), ToTensor(), Squeeze(), ToDevice(device)],
}
loader = Loader(sys.argv[1], batch_size=256, num_workers=8, order=OrderOption.RANDOM, seed=0, pipelines=pipelines)
for epoch in range(3):
    began, total = time.perf_counter(), 0
    for images, labels in loader:
        assert images.is_cuda and images.dtype == torch.float16 and images.shape[2:] == (160, 160)
        assert len(images) == len(labels)
        total += len(images)
    torch.cuda.synchronize()
    print(f"epoch {epoch}: {total / (time.perf_counter() - began):.0f} images/s")
