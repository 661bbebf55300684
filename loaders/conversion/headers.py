"""The headers of some images of a source, which show what it holds before all of it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice

from .. import native
from ..errors import LoaderError, TooManyOpenFiles, reason
from ..pillow import Header, header
from ..sources.source import FileRange, Sample, Source, indexable
from ..storage.files import each

LOOKED_AT = 64
"""Images of a source whose headers are read."""
_HEAD = 64 << 10  # bytes in which most files have all their headers
_AT_ONCE = 8  # bounds the memory: the pixels of a Python object may have tens of megabytes


def some_samples(source: Source) -> Iterator[Sample]:
    """Some of the samples: spread evenly, or the first ones if they can only be read one after the other."""
    count = min(len(source), LOOKED_AT)
    if not indexable(source):
        return islice(source.samples(), count)
    return (source[k * len(source) // count] for k in range(count))


def headers(samples: Iterable[Sample]) -> Iterator[Header | str]:
    """The headers of each sample's image, or the reason why it has none. Takes `_AT_ONCE` samples at a time."""
    rest = iter(samples)
    while some := list(islice(rest, _AT_ONCE)):
        yield from each(_header, some, remote=True)


def _header(sample: Sample) -> Header | str:
    image = sample.image
    try:
        if sample.problem:
            return sample.problem
        if isinstance(image, FileRange) and image.size > _HEAD:
            try:
                return _parsed(image._replace(size=_HEAD, offset=image.offset or 0).read())
            except LoaderError:  # long headers come first, or the format has them at its end
                pass
        return _parsed(image if isinstance(image, bytes) else image.read())
    except TooManyOpenFiles:
        raise
    except (OSError, LoaderError) as error:
        return reason(error)


def _parsed(data: bytes) -> Header:
    try:
        info = native.peek(data)
    except native.JpegError:
        return header(BytesIO(data))
    return Header("JPEG", info.width, info.height)
