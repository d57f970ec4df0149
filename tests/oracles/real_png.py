"""What PNG files of real data sets hold beside their pixels."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UPRIGHT = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
ANCILLARY = [  # as cameras, MATLAB, Photoshop and ImageMagick write them
    (b"gAMA", struct.pack(">I", 45455)),
    (b"sRGB", b"\0"),
    (b"pHYs", struct.pack(">IIB", 3779, 3779, 1)),
    (b"tEXt", b"Software\0by hand"),
    (b"eXIf", _UPRIGHT),
]


def decorate(path, *, bytes_a_piece=7):
    """Give a PNG the chunks that real ones have, and its pixels in many pieces."""
    chunks = list(read_chunks(path.read_bytes()))
    pixels = b"".join(data for kind, data in chunks if kind == b"IDAT")
    pieces = [
        pixels[start : start + bytes_a_piece] for start in range(0, len(pixels), bytes_a_piece)
    ]
    header, *rest = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    *before, end = rest
    content = [header, *ANCILLARY, *before, *((b"IDAT", piece) for piece in pieces), end]
    path.write_bytes(SIGNATURE + b"".join(map(written, content)))
    return path


def read_chunks(content):
    """The kind and the data of each chunk."""
    place = len(SIGNATURE)
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length


def written(chunk):
    """One chunk with its length and its checksum."""
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
