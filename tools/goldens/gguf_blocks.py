"""tools/goldens/gguf_blocks.py - float32 rows as blocks of the GGUF types that the gguf package only
reads: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS.

Plain encoders: the smallest and the largest value of a sub-block, no search. What is tested is
reading; gguf.dequantize, which is other code, says what a block means (layouts: ggml-common.h).
Each takes x [blocks, values] float64 and returns bytes [blocks, block size].
"""
import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

SUPER = 256
IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], float)


def half(x):
    """(bytes [blocks, 2], the value that they hold)"""
    stored = x.astype(np.float16)
    return stored[:, None].view(np.uint8), stored.astype(np.float64)


def over(a, b):
    """a / b, 0 where b is."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


def scales_and_minima(x, levels, top):
    """For y = d*sc*q - dmin*m with q below levels and sc, m up to top; x [blocks, subs, values].
    Returns (bytes of d, bytes of dmin, sc, m, q)."""
    low = np.minimum(x.min(2), 0)
    size = (x.max(2) - low) / (levels - 1)
    d_bytes, d = half(size.max(1) / top)
    m_bytes, dmin = half(-low.min(1) / top)
    sc = np.clip(np.rint(over(size, d[:, None])), 0, top)
    m = np.clip(np.rint(over(-low, dmin[:, None])), 0, top)
    q = np.rint(over(x + (dmin[:, None] * m)[..., None], (d[:, None] * sc)[..., None]))
    return d_bytes, m_bytes, sc.astype(int), m.astype(int), np.clip(q, 0, levels - 1).astype(int)


def signed_scales(x, low, top):
    """For y = d*sc*q with q from low on; the value of largest size gets q = low. Returns
    (bytes of d, sc from -top on, x over its scale)."""
    largest = np.take_along_axis(x, np.abs(x).argmax(2)[..., None], 2)[..., 0]
    size = largest / low
    d_bytes, d = half(np.abs(size).max(1) / top)
    sc = np.clip(np.rint(over(size, d[:, None])), -top, top - 1)
    return d_bytes, sc.astype(int), over(x, (d[:, None] * sc)[..., None])


def as_bytes(*parts):
    return np.concatenate([p.reshape(len(p), -1).astype(np.uint8) for p in parts], axis=1)


def pack_k_scales(sc, m):
    """Eight pairs of six bits in twelve bytes."""
    first = sc[:, :4] | sc[:, 4:] >> 4 << 6
    second = m[:, :4] | m[:, 4:] >> 4 << 6
    third = (sc[:, 4:] & 15) | (m[:, 4:] & 15) << 4
    return np.concatenate([first, second, third], axis=1)


def pack_nibbles(q):
    """q [blocks, 8, 32]: sub-blocks 2i and 2i+1 share 32 bytes."""
    return q[:, 0::2] | q[:, 1::2] << 4


def encode_q4_k(x):
    d, dmin, sc, m, q = scales_and_minima(x.reshape(-1, 8, 32), 16, 63)
    return as_bytes(d, dmin, pack_k_scales(sc, m), pack_nibbles(q))


def encode_q5_k(x):
    d, dmin, sc, m, q = scales_and_minima(x.reshape(-1, 8, 32), 32, 63)
    high = (q >> 4 << np.arange(8)[None, :, None]).sum(1)       # bit of a sub-block: its number
    return as_bytes(d, dmin, pack_k_scales(sc, m), high, pack_nibbles(q & 15))


def pack_two_bits(q):
    """q [blocks, 256]: in each half of 128, value 32j + l has bits 2j of byte l."""
    parts = q.reshape(-1, 2, 4, 32)
    return (parts << (2 * np.arange(4))[None, None, :, None]).sum(2)


def encode_q2_k(x):
    d, dmin, sc, m, q = scales_and_minima(x.reshape(-1, 16, 16), 4, 15)
    return as_bytes(sc | m << 4, pack_two_bits(q.reshape(-1, SUPER)), d, dmin)


def encode_q3_k(x):
    d, sc, y = signed_scales(x.reshape(-1, 16, 16), -4, 32)
    q = np.clip(np.rint(y) + 4, 0, 7).astype(int).reshape(-1, SUPER)
    # Bit 4n + j of byte l: the high bit of value 32j + l of half n.
    high = (q.reshape(-1, 8, 32) >> 2 << np.arange(8)[None, :, None]).sum(1)
    s = sc + 32
    low = (s[:, :8] & 15) | (s[:, 8:] & 15) << 4
    top = (s.reshape(-1, 4, 4) >> 4 << (2 * np.arange(4))[None, :, None]).sum(1)
    return as_bytes(high, pack_two_bits(q & 3), low, top, d)


def encode_q6_k(x):
    d, sc, y = signed_scales(x.reshape(-1, 16, 16), -32, 128)
    q = np.clip(np.rint(y) + 32, 0, 63).astype(int).reshape(-1, 2, 4, 32)
    low = np.concatenate([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4,
                          q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], axis=2)
    high = (q >> 4 << (2 * np.arange(4))[None, None, :, None]).sum(2)
    return as_bytes(low, high, sc, d)


def nearest_iq4(y):
    return np.abs(y[..., None] - IQ4).argmin(-1)


def encode_iq4_nl(x):
    x = x.reshape(-1, 1, 32)
    largest = np.take_along_axis(x, np.abs(x).argmax(2)[..., None], 2)[:, 0, 0]
    d, value = half(largest / IQ4[0])
    q = nearest_iq4(over(x[:, 0], value[:, None]))
    return as_bytes(d, q[:, :16] | q[:, 16:] << 4)


def encode_iq4_xs(x):
    d, sc, y = signed_scales(x.reshape(-1, 8, 32), IQ4[0], 32)
    q, s = nearest_iq4(y), sc + 32
    high = (s >> 4 << (2 * np.arange(8))).sum(1)
    low = (s[:, 0::2] & 15) | (s[:, 1::2] & 15) << 4
    return as_bytes(d, high.astype("<u2")[:, None].view(np.uint8), low,
                    q[:, :, :16] | q[:, :, 16:] << 4)


ENCODE = {Type.Q2_K: encode_q2_k, Type.Q3_K: encode_q3_k, Type.Q4_K: encode_q4_k,
          Type.Q5_K: encode_q5_k, Type.Q6_K: encode_q6_k, Type.IQ4_NL: encode_iq4_nl,
          Type.IQ4_XS: encode_iq4_xs}

# Share of the largest value of a tensor by which a value may move: half a step, and what it costs
# that scales are coarse too. A wrong place of a bit moves far more.
COARSEST = {Type.Q2_K: 0.35, Type.Q3_K: 0.3}


def encode(w, kind):
    """bytes [..., row bytes] of w [..., columns]; checked against gguf.dequantize."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = ENCODE[kind](np.asarray(w, np.float64).reshape(-1, values))
    assert blocks.shape[1] == size, (kind, blocks.shape)
    rows = blocks.reshape(*w.shape[:-1], -1)
    off = np.abs(gguf.dequantize(rows, kind).reshape(w.shape) - w).max() / np.abs(w).max()
    assert off < COARSEST.get(kind, 0.12), (kind, off)
    return rows
