"""tools/goldens/check_quantized.py - the packages that own the quantized formats read our files.

    python tools/goldens/check_quantized.py [tests/golden]

compressed-tensors and transformers' FP8 dequantize each quantized matrix of the committed
checkpoints with their own code, in float32; ours must give the same to the bit. Blocks of FP8 that
end inside a matrix are beyond what transformers takes: it gets the whole blocks. Of GPTQ and AWQ,
whose packages want a GPU, the layouts are those that GPTQModel and AutoAWQ pack (see README).
"""
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from compressed_tensors.compressors.naive_quantized.base import FloatQuantizationCompressor
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import load_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

import golden_files
import quantized_weights


def by_fp8(tensors, _settings):
    weight, scale = tensors["weight"], tensors["weight_scale_inv"].to(torch.float32)
    tile = quantized_weights.TILE
    rows, columns = (n // tile * tile for n in weight.shape)
    if rows == 0 or columns == 0:
        return None
    whole = Fp8Dequantize(SimpleNamespace())._dequantize_one(
        weight[:rows, :columns].contiguous(), scale[:rows // tile, :columns // tile].contiguous(),
        torch.float32)
    return whole.numpy()


def by_compressed(tensors, settings):
    args = QuantizationArgs(**settings["config_groups"]["group_0"]["weights"])
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    owner = (FloatQuantizationCompressor if settings["format"] == "float-quantized"
             else PackedQuantizationCompressor)
    wide = dict(tensors, weight_scale=tensors["weight_scale"].to(torch.float32))
    return owner.decompress(wide, scheme)["weight"].to(torch.float32).numpy()


OWNERS = {"fp8": by_fp8, "compressed-tensors": by_compressed}


def check(root, layout):
    """Number of matrices compared."""
    settings = json.loads((root / layout.folder / "config.json").read_text())
    settings = settings["quantization_config"]
    owner = OWNERS.get(settings["quant_method"])
    found = load_file(root / layout.folder / "model.safetensors")
    stems = {name.rsplit(".", 1)[0] for name in found if "scale" in name.rsplit(".", 1)[1]}
    compared = 0
    for stem in sorted(stems) if owner else ():
        tensors = {k.removeprefix(stem + "."): t for k, t in found.items()
                   if k.startswith(stem + ".")}
        want = owner(tensors, settings)
        if want is None:
            continue
        got = quantized_weights.decode(tensors, layout.quantization)
        assert np.array_equal(got[:want.shape[0], :want.shape[1]], want), (layout.folder, stem)
        compared += 1
    return compared


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden"
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    for layout in golden_files.LAYOUTS:
        if layout.quantization:
            print(f"{check(root, layout):4d} matrices agree  {layout.folder}")


if __name__ == "__main__":
    main()
