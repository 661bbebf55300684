"""JPEGs of every kind that the codec meets, also of those that Pillow does not write."""

from __future__ import annotations

from tests.images import jpeg, picture

SIZES = [(1, 1), (17, 9), (61, 47), (203, 149)]
KINDS = ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey", "rgb", "restarts", "progressive", "scans"]
OWN = ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "grey", "rgb", "restarts"]  # what the kernel decodes without libjpeg


def make(kind: str, width: int, height: int, key: int = 1) -> bytes:
    """A JPEG of one of KINDS."""
    if kind == "4:4:0":
        return _declared(width, height, key, "4:2:2", (2, 1), (1, 2))
    if kind == "4:1:1":
        return _declared(width, height, key, "4:2:0", (2, 2), (4, 1))
    if kind == "scans":
        return scans(jpeg(picture(width, height, key), "grey"), 3)
    pixels = picture(width, height, key)
    if kind == "rgb":
        return jpeg(pixels, "4:4:4", keep_rgb=True)
    if kind == "restarts":
        return jpeg(pixels, "4:2:0", restart=5)
    if kind == "progressive":
        return jpeg(pixels, "4:2:0", progressive=True)
    return jpeg(pixels, kind)


def frame(data: bytes) -> int:
    """Where the frame header stands: height at +5, width at +7, number of components at +9, three bytes for each."""
    return max(data.find(b"\xff\xc0\x00"), data.find(b"\xff\xc2\x00"))


def resized(data: bytes, width: int, height: int) -> bytes:
    """The same bytes with other sides in the frame header."""
    at = frame(data)
    return data[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 9 :]


def _declared(
    width: int, height: int, key: int, sampling: str, factors: tuple[int, int], wanted: tuple[int, int]
) -> bytes:
    """Another sampling whose MCUs have as many blocks, which the frame header then declares to lie differently."""
    across, down = -(-width // (8 * wanted[0])), -(-height // (8 * wanted[1]))
    data = jpeg(picture(across * 8 * factors[0], down * 8 * factors[1], key), sampling)
    data = resized(data, width, height)
    at = frame(data) + 11
    return data[:at] + bytes([wanted[0] << 4 | wanted[1]]) + data[at + 1 :]


def scans(grey: bytes, count: int) -> bytes:
    """A baseline JPEG of three components, each with the content of `grey`, in a scan of its own; more scans repeat."""
    at, sos = frame(grey), grey.index(b"\xff\xda")
    components = b"".join(bytes([c, 0x11, 0]) for c in (1, 2, 3))
    header = b"\xff\xc0\x00\x11" + grey[at + 4 : at + 9] + b"\x03" + components
    scan = grey[sos + 10 : -2]
    each = [b"\xff\xda\x00\x08\x01" + bytes([i % 3 + 1, 0, 0, 63, 0]) + scan for i in range(count)]
    return grey[:at] + header + grey[at + 13 : sos] + b"".join(each) + b"\xff\xd9"
