"""tools/goldens/make_format_rows.py - random blocks of every GGUF type and what they stand for.

    python tools/goldens/make_format_rows.py        # writes tests/data/format_rows.bin

The floats are those of the gguf package's dequantize. Per type: its name in 8 bytes, padded with
zeros; u32 values; u32 bytes; the bytes; the values as f32. Little endian. Scales are finite halves
of any size and sign, subnormals and zeros among them; all else is random.
"""
from pathlib import Path

import gguf
import numpy as np

VALUES = 1024
OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "format_rows.bin"

# name -> where halves lie in a block
TYPES = {
    "F16": [0], "BF16": [], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
    "IQ4_XS": [0], "MXFP4": [],
}


def halves(draw, count):
    bits = draw.integers(0, 0x7c00, count, dtype=np.uint16)
    bits[::7] &= 0x03ff
    bits[5::64] = 0
    return bits | draw.integers(0, 2, count, dtype=np.uint16) << np.uint16(15)


def rows_of(draw, name, places):
    kind = gguf.GGMLQuantizationType[name]
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = draw.integers(0, 256, (VALUES // values, size), dtype=np.uint8)
    for at in places:
        blocks[:, at:at + 2] = halves(draw, len(blocks)).view(np.uint8).reshape(-1, 2)
    if name == "BF16":
        blocks[:, 1] = blocks[:, 1] & 0xbf      # no NaN
    return blocks.tobytes(), gguf.dequantize(blocks.reshape(1, -1), kind).astype("<f4").tobytes()


def main():
    draw = np.random.default_rng(20)
    with OUT.open("wb") as out:
        for name, places in TYPES.items():
            data, floats = rows_of(draw, name, places)
            out.write(name.encode().ljust(8, b"\0") + np.array([VALUES, len(data)], "<u4").tobytes() + data + floats)


if __name__ == "__main__":
    main()
