"""An FFCV pipeline of your own with our decoder in it: python examples/ffcv_decoder.py train.beton

One line differs from FFCV's own pipeline: SubJPEGRandomResizedCrop replaces RandomResizedCropRGBImageDecoder.
"""

import sys

from ffcv.fields.decoders import IntDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import Squeeze, ToTensor, ToTorchImage

from loaders.backends.ffcv import SubJPEGRandomResizedCrop

decoder = SubJPEGRandomResizedCrop(96, flip=True)
loader = Loader(
    sys.argv[1],
    batch_size=8,
    num_workers=2,
    order=OrderOption.RANDOM,
    seed=0,  # of the order and of the crops
    pipelines={"image": [decoder, ToTensor(), ToTorchImage()], "label": [IntDecoder(), ToTensor(), Squeeze()]},
)
for resolution in (96, 160, 224):
    decoder.output_size = resolution  # counts from the next epoch on, without compiling
    for images, labels in loader:
        assert images.shape[2:] == (resolution, resolution) and len(images) == len(labels)
    print(f"B={resolution}: {len(loader)} batches of {tuple(images.shape)}, {images.dtype}")
