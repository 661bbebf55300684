"""Triton kernels for whole batches: RandAugment with normalisation, random erasing, mixup and its targets.

One launch replaces dozens or hundreds of launches of the torch operations in `randaugment_ops`, `erasing` and `mix`.
The torch operations remain the reference: they run on CPUs and without Triton, and the tests compare each kernel with
them, in Triton's interpreter or on a GPU. The kernels must be launched with `enable_fp_fusion=False`: a fused
multiply-add rounds once, the reference twice.

Interpreter: the environment variable TRITON_INTERPRET=1, set before Triton is imported.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _grey(red, green, blue):  # type: ignore[no-untyped-def]
    """Luma of ITU-R 601 in Pillow's fixed-point arithmetic; int32 in and out."""
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


@triton.jit
def _truncate(levels):  # type: ignore[no-untyped-def]
    """Whole levels, int32, of float32 `levels`."""
    return tl.minimum(tl.maximum(levels, 0.0), 255.0).to(tl.int32)


@triton.jit
def _blend(degenerate, levels, factor):  # type: ignore[no-untyped-def]
    """Pillow's blend: `degenerate` at factor 0, `levels` at 1, extrapolated above 1."""
    return _truncate(degenerate + factor * (levels - degenerate))


@triton.jit
def tables(images, parameters, out, pixels, channel_stride, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """For operations that map levels to levels: a table of 256 values for each image and channel. Grid (n, 3).

    Args:
        images: uint8 [n, 3, pixels], contiguous.
        parameters: int32 [n, 8], see `fused.pack`; operations are numbered as `randaugment_ops.Op`.
        out: uint8 [n, 3, 256]; images with other operations are skipped.
    """
    image = tl.program_id(0)
    channel = tl.program_id(1)
    op = tl.load(parameters + image * 8)
    if op >= 0 and op < 8:
        argument = tl.load(parameters + image * 8 + 1).to(tl.float32, bitcast=True)
        ramp = tl.arange(0, 256)
        table = ramp
        base = images + image.to(tl.int64) * 3 * channel_stride
        if op <= 1:  # AUTO_CONTRAST, EQUALIZE
            counts = tl.zeros((256,), tl.int32)
            for start in range(0, pixels, BLOCK):
                place = start + tl.arange(0, BLOCK)
                inside = place < pixels
                levels = tl.load(base + channel * channel_stride + place, mask=inside, other=0).to(tl.int32)
                counts += tl.histogram(levels, 256)
                counts -= tl.where(ramp == 0, BLOCK - tl.sum(inside.to(tl.int32)), 0)
            high = tl.max(tl.where(counts > 0, ramp, 0))
            if op == 0:
                low = tl.min(tl.where(counts > 0, ramp, 255))
                # In double precision, with two separate products: Pillow truncates exactly this value.
                scale = 255.0 / tl.maximum(high - low, 1).to(tl.float64)
                stretched = ramp.to(tl.float64) * scale + (-low).to(tl.float64) * scale
                stretched = tl.minimum(tl.maximum(stretched, 0.0), 255.0).to(tl.int32)
                table = tl.where(high > low, stretched, ramp)
            else:
                highest = tl.sum(tl.where(ramp == high, counts, 0))
                step = (pixels - highest) // 255
                spread = (step // 2 + tl.cumsum(counts, 0) - counts) // tl.maximum(step, 1)
                table = tl.where(step > 0, tl.minimum(spread, 255), ramp)
        elif op == 2:  # INVERT
            table = 255 - ramp
        elif op == 3:  # POSTERIZE
            dropped = 8 - argument.to(tl.int32)
            table = (ramp >> dropped) << dropped
        elif op == 4:  # SOLARIZE
            table = tl.where(ramp.to(tl.float32) < argument, ramp, 255 - ramp)
        elif op == 5:  # SOLARIZE_ADD
            table = tl.where(ramp < 128, tl.minimum(ramp + argument.to(tl.int32), 255), ramp)
        elif op == 6:  # CONTRAST
            total = tl.zeros((BLOCK,), tl.int32)
            for start in range(0, pixels, BLOCK):
                place = start + tl.arange(0, BLOCK)
                inside = place < pixels
                red = tl.load(base + place, mask=inside, other=0).to(tl.int32)
                green = tl.load(base + channel_stride + place, mask=inside, other=0).to(tl.int32)
                blue = tl.load(base + 2 * channel_stride + place, mask=inside, other=0).to(tl.int32)
                total += tl.where(inside, _grey(red, green, blue), 0)
            mean = (2 * tl.sum(total) + pixels) // (2 * pixels)
            table = _blend(mean.to(tl.float32), ramp.to(tl.float32), argument)
        else:  # BRIGHTNESS
            table = _blend(0.0, ramp.to(tl.float32), argument)
        tl.store(out + (image.to(tl.int64) * 3 + channel) * 256 + ramp, table.to(tl.uint8))


@triton.jit
def _tap(plane, y, x, side):  # type: ignore[no-untyped-def]
    """float32 levels at whole positions; positions outside take the level of the nearest edge."""
    y = tl.minimum(tl.maximum(y, 0), side - 1)
    x = tl.minimum(tl.maximum(x, 0), side - 1)
    return tl.load(plane + y * side + x).to(tl.float32)


@triton.jit
def _weight(weights, phase, tap: tl.constexpr):  # type: ignore[no-untyped-def]
    """Weight of a tap in multiples of 2**-14, int32."""
    return (tl.load(weights + phase * 4 + tap) * 16384.0).to(tl.int32)


@triton.jit
def apply(  # type: ignore[no-untyped-def]
    images,
    parameters,
    weights,
    level_tables,
    finish,
    out,
    side,
    fill_red,
    fill_green,
    fill_blue,
    out_image,
    out_channel,
    out_row,
    out_column,
    FINISH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One operation on each image. Grid (n, blocks of pixels).

    Args:
        images: uint8 [n, 3, side, side], contiguous.
        parameters: int32 [n, 8], see `fused.pack`; operations are numbered as `randaugment_ops.Op`, -1: none.
        weights: float32 [1024, 4], of `randaugment_ops.cubic_weights`.
        level_tables: of `tables`.
        finish: [3, 256], the output of each level if FINISH, in the type of `out`.
        out: [n, 3, side, side] of any strides.
        fill_red, fill_green, fill_blue: levels of pixels from outside the image.
    """
    image = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < side * side
    place = tl.where(inside, place, 0)
    row = place // side
    column = place % side
    op = tl.load(parameters + image * 8)
    first = tl.load(parameters + image * 8 + 1).to(tl.float32, bitcast=True)
    # Note [moves in whole numbers] in `randaugment_ops`: places in multiples of 2**-20 pixels, phases of 2**-10.
    map = parameters + image * 8 + 2
    right = (column - side // 2).to(tl.int64)
    down = (row - side // 2).to(tl.int64)
    x_place = tl.load(map) + tl.load(map + 1) * right + tl.load(map + 2) * down
    y_place = tl.load(map + 3) + tl.load(map + 4) * right + tl.load(map + 5) * down
    x_whole = ((x_place + 512) >> 20).to(tl.int32)
    y_whole = ((y_place + 512) >> 20).to(tl.int32)
    x_phase = ((x_place + 512) >> 10).to(tl.int32) & 1023
    y_phase = ((y_place + 512) >> 10).to(tl.int32) & 1023
    x_edge = (x_place + (1 << 19)) >> 20
    y_edge = (y_place + (1 << 19)) >> 20
    within = (x_edge >= 0) & (x_edge < side) & (y_edge >= 0) & (y_edge < side)
    pixels = side * side
    source = images + image * 3 * pixels
    grey = tl.zeros((BLOCK,), tl.float32)
    if op == 8:
        red = tl.load(source + place).to(tl.int32)
        green = tl.load(source + pixels + place).to(tl.int32)
        blue = tl.load(source + 2 * pixels + place).to(tl.int32)
        grey = _grey(red, green, blue).to(tl.float32)
    for channel in range(3):  # not unrolled: the code would take three times as long to compile
        plane = source + channel * pixels
        levels = tl.load(plane + place).to(tl.int32)
        fill = tl.where(channel == 0, fill_red, tl.where(channel == 1, fill_green, fill_blue))
        if op >= 0 and op < 8:
            levels = tl.load(level_tables + (image * 3 + channel) * 256 + levels).to(tl.int32)
        elif op == 8:  # COLOR
            levels = _blend(grey, levels.to(tl.float32), first)
        elif op == 9:  # SHARPNESS
            total = 4 * levels
            for tap in range(9):
                total += _tap(plane, row + tap // 3 - 1, column + tap % 3 - 1, side).to(tl.int32)
            blurred = ((2 * total + 13) // 26).to(tl.float32)
            inner = (row > 0) & (row < side - 1) & (column > 0) & (column < side - 1)
            levels = tl.where(inner, _blend(blurred, levels.to(tl.float32), first), levels)
        elif op == 10:  # ROTATE
            total = tl.full((BLOCK,), 1 << 13, tl.int32)
            for y in tl.static_range(4):
                sums = tl.full((BLOCK,), 128, tl.int32)
                for x in tl.static_range(4):
                    level = _tap(plane, y_whole + y - 1, x_whole + x - 1, side).to(tl.int32)
                    sums += level * _weight(weights, x_phase, x)
                total += (sums >> 8) * _weight(weights, y_phase, y)
            levels = tl.where(within, tl.minimum(tl.maximum(total >> 20, 0), 255), fill)
        elif op >= 11:  # SHEAR_X, TRANSLATE_X, SHEAR_Y, TRANSLATE_Y
            total = tl.full((BLOCK,), 128, tl.int32)
            for tap in tl.static_range(4):
                if op <= 12:
                    level = _tap(plane, row, x_whole + tap - 1, side).to(tl.int32)
                    total += level * _weight(weights, x_phase, tap)
                else:
                    level = _tap(plane, y_whole + tap - 1, column, side).to(tl.int32)
                    total += level * _weight(weights, y_phase, tap)
            levels = tl.where(within, tl.minimum(tl.maximum(total >> 14, 0), 255), fill)
        to = out + image * out_image + channel * out_channel + row * out_row + column * out_column
        if FINISH:
            tl.store(to, tl.load(finish + channel * 256 + levels), mask=inside)
        else:
            tl.store(to, levels.to(tl.uint8), mask=inside)


@triton.jit
def erase(  # type: ignore[no-untyped-def]
    images,
    boxes,
    quantiles,
    wide,
    channels,
    image_stride,
    channel_stride,
    row_stride,
    column_stride,
    WEYL: tl.constexpr,
    FIRST: tl.constexpr,
    SECOND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Normal noise into one box of an image, in place. Grid (boxes, blocks of the largest box).

    Args:
        images: floating-point [n, channels, high, wide] of the given strides.
        boxes: int64 [m, 6]: image, top, left, height, width, key of the noise.
        quantiles: float32 [65536], `keyed_noise`'s; WEYL, FIRST, SECOND are its constants.
    """
    box = boxes + tl.program_id(0) * 6
    image = tl.load(box)
    top = tl.load(box + 1)
    left = tl.load(box + 2)
    height = tl.load(box + 3)
    width = tl.load(box + 4)
    key = tl.load(box + 5)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < height * width
    row = top + pixel // width
    column = left + pixel % width
    words = (channels + 3) // 4
    step = (row * wide + column) * words
    for channel in range(channels):
        bits = key + (step + channel // 4 + 1) * WEYL
        bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * FIRST
        bits = (bits ^ ((bits >> 27) & 0x1FFFFFFFFF)) * SECOND
        bits = bits ^ ((bits >> 31) & 0x1FFFFFFFF)
        which = ((bits >> (channel % 4 * 16)) & 0xFFFF) ^ 0x8000
        noise = tl.load(quantiles + which, mask=inside, other=0.0)
        to = images + image * image_stride + channel * channel_stride + row * row_stride + column * column_stride
        tl.store(to, noise.to(images.dtype.element_ty), mask=inside)


# Triton compiles another variant for integers that are 1 or multiples of 16. Integers that change from batch to batch
# are excluded from this: the last batch's size, and CutMix's rectangle, which would cause dozens of variants.
@triton.jit(do_not_specialize=["count", "top", "bottom", "left", "right"])
def mix(  # type: ignore[no-untyped-def]
    images,
    out,
    count,
    size,
    high,
    wide,
    row_stride,
    column_stride,
    share,
    top,
    bottom,
    left,
    right,
    CUT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mixes each image with its partner at the mirrored batch position. Grid (count, blocks of an image's numbers).

    Args:
        images, out: floating-point, `count` images of `size` numbers one after the other, contiguous or channels last.
        high, wide, row_stride, column_stride: sides of an image, and distances of rows and columns.
        share: of the image itself, if not CUT.
        top, bottom, left, right: the rectangle that comes from the other image, if CUT.
    """
    image = tl.program_id(0).to(tl.int64)
    other = count - 1 - image
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    own = tl.load(images + image * size + place, mask=inside, other=0.0)
    theirs = tl.load(images + other * size + place, mask=inside, other=0.0)
    if CUT:
        row = place // row_stride % high
        column = place // column_stride % wide
        cut = (row >= top) & (row < bottom) & (column >= left) & (column < right)
        mixed = tl.where(cut, theirs, own)
    else:
        begin = theirs.to(tl.float32)
        end = own.to(tl.float32)
        # The two forms of torch.lerp, each exact at its own end.
        if share < 0.5:
            mixed = tl.fma(tl.full((BLOCK,), share, tl.float32), end - begin, begin)
        else:
            mixed = tl.fma(tl.full((BLOCK,), share - 1, tl.float32), end - begin, end)
        mixed = mixed.to(own.dtype)
    tl.store(out + image * size + place, mixed, mask=inside)


@triton.jit(do_not_specialize=["count"])
def targets(labels, out, count, classes, off, on, share, rest, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Soft targets of mixed images, float32 [count, classes]. Grid (count, blocks of classes).

    Args:
        labels: int64 [count].
        off, on: smoothed target of another class and of the image's own.
        share, rest: of the image itself, and of its partner.
    """
    image = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    own = tl.where(place == tl.load(labels + image), on, off)
    theirs = tl.where(place == tl.load(labels + (count - 1 - image)), on, off)
    tl.store(out + image * classes + place, own * share + theirs * rest, mask=place < classes)
