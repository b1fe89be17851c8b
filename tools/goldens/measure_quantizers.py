"""How far the quantizers of ggml move seeded tensors: the figures that tests/model/quantize_test.c compares with.

    python tools/goldens/measure_quantizers.py path/to/libggml-base.so > tests/data/quantize_reference.json

No importance matrix. The error of a tensor is the mean of w * (x - y)^2: `plain` with w = 1, `weighted` with the
weights that ggml itself has in mind (see weights()); `y` comes from the gguf package's decoders. The tensors are made
of whole-number hashes, sums, products, quotients and square roots only: here and in C they have the same bits, and
`square`, the mean of x^2, shows it.
"""

import ctypes
import json
import sys

import gguf
import numpy as np

ROWS, COLUMNS = 32, 2048
TYPES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def finish(x):
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def unit(seed, index):
    """prng_hash as a number in [0, 1)."""
    with np.errstate(over="ignore"):
        return (finish(finish(np.uint64(seed) + GOLDEN) + index * GOLDEN + GOLDEN) >> np.uint64(11)) * 2.0 ** -53


def normal(seed, index):
    """Twelve uniform numbers less their mean: deviation 1."""
    total = np.zeros(index.shape)
    for k in range(12):
        total = total + unit(seed, index * np.uint64(12) + np.uint64(k))
    return total - 6


def student(seed, index):
    """Student's t with four degrees of freedom: heavy tails."""
    z = [normal(seed, index * np.uint64(5) + np.uint64(k)) for k in range(5)]
    return z[0] / np.sqrt((z[1] * z[1] + z[2] * z[2] + z[3] * z[3] + z[4] * z[4]) / 4)


def tensors():
    i = np.arange(ROWS * COLUMNS, dtype=np.uint64)
    row, column = i // np.uint64(COLUMNS), i % np.uint64(COLUMNS)
    row_unit, column_unit = unit(50, row), unit(51, column)
    spread = (0.004 + 0.02 * row_unit * row_unit) * (0.3 + 1.4 * column_unit * column_unit)
    yield "normal", 0.02 * normal(1, i)
    yield "heavy", 0.02 * student(2, i)
    yield "uniform", 0.05 * (2 * unit(3, i) - 1)
    yield "outliers", np.where(column % np.uint64(64) == 7, 0.4, 0.02) * normal(4, i)
    yield "weights", spread * (0.5 * student(5, i) + normal(6, i))


def weights(name, x):
    """What ggml's encoders multiply a squared error with, when they have no importance matrix."""
    if name in ("Q4_K", "Q5_K"):
        groups = x.reshape(-1, 32)
        return (np.sqrt((groups * groups).mean(axis=1, keepdims=True)) + abs(groups)).reshape(x.shape)
    if name == "Q2_K":
        return abs(x)
    return x * x if name in ("Q3_K", "Q6_K", "IQ4_NL", "IQ4_XS") else np.ones_like(x)


def quantize(ggml, quant_type, x):
    values, size = gguf.GGML_QUANT_SIZES[quant_type]
    out = np.zeros((ROWS, COLUMNS // values * size), np.uint8)
    written = ggml.ggml_quantize_chunk(int(quant_type), x.ctypes.data_as(ctypes.c_void_p),
                                       out.ctypes.data_as(ctypes.c_void_p), 0, ROWS, COLUMNS, None)
    assert written == out.size
    return gguf.quants.dequantize(out, quant_type)


def measure(ggml, x):
    wide = x.astype(np.float64)
    figures = {"square": (wide * wide).mean()}
    for name in TYPES:
        error = (wide - quantize(ggml, gguf.GGMLQuantizationType[name], x)) ** 2
        figures[name] = {"plain": error.mean(), "weighted": (weights(name, wide) * error).mean()}
    return figures


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                         ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    ggml.ggml_version.restype = ggml.ggml_commit.restype = ctypes.c_char_p
    document = {
        "command": "python tools/goldens/measure_quantizers.py libggml-base.so",
        "version": f"ggml {ggml.ggml_version().decode()}, llama.cpp {ggml.ggml_commit().decode()}",
        "tensors": {name: measure(ggml, x.astype(np.float32).reshape(ROWS, COLUMNS)) for name, x in tensors()},
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
