"""tools/goldens/golden_files.py - the files of tests/golden: how each base is stored."""
from checkpoints import Layout
from ggufs import GgufFile
from quantized_weights import Quantization

LAYOUTS = (
    Layout("checkpoints/qwen3-f32", "qwen3", "F32", spelling="old"),
    Layout("checkpoints/qwen3-mini-f16", "qwen3_mini", "F16", tokenizer="files"),
    Layout("checkpoints/qwen3-mini-bf16-sharded", "qwen3_mini", "BF16", spelling="old",
           shards=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")),
    Layout("checkpoints/qwen3_5-bf16", "qwen3_5", "BF16", names="nested", extras=True,
           keep_f32=True, interval=True, template="file",
           shards=("model.safetensors-00001-of-00001.safetensors",)),
    Layout("checkpoints/qwen3_5-mini-bf16", "qwen3_5_mini", "BF16", spelling="old",
           template="file"),
    Layout("checkpoints/qwen3_5-mini-older-f16", "qwen3_5_mini", "F16", names="older",
           tokenizer="files", template="file"),
    Layout("checkpoints/qwen3_5-mini-packed-bf16", "qwen3_5_mini", "BF16", packed=True,
           template="file"),
    Layout("checkpoints/qwen3-fp8", "qwen3_tiles", "BF16",
           quantization=Quantization("fp8", scale="BF16", plain=("layers.1.mlp",))),
    Layout("checkpoints/qwen3-fp8-f32-scales", "qwen3_tiles", "BF16", spelling="old",
           quantization=Quantization("fp8", scale="F32")),
    Layout("checkpoints/qwen3-gptq-int4", "qwen3_groups", "F16", spelling="old",
           quantization=Quantization("gptq")),
    Layout("checkpoints/qwen3-gptq-int4-act-order", "qwen3_groups", "F16", spelling="old",
           quantization=Quantization("gptq", group=32, symmetric=False, act_order=True,
                                     format="unsaid")),
    Layout("checkpoints/qwen3-gptq-int8-v2", "qwen3_groups", "BF16",
           quantization=Quantization("gptq", bits=8, group=-1, symmetric=False,
                                     format="gptq_v2")),
    Layout("checkpoints/qwen3-awq", "qwen3_groups", "F16", spelling="old",
           quantization=Quantization("awq", group=64, symmetric=False)),
    Layout("checkpoints/qwen3-packed-int4", "qwen3_groups", "BF16",
           quantization=Quantization("packed", scale="BF16")),
    Layout("checkpoints/qwen3-packed-int4-zeros", "qwen3_groups", "BF16",
           quantization=Quantization("packed", group=32, symmetric=False, scale="BF16")),
    Layout("checkpoints/qwen3-packed-int8", "qwen3_groups", "BF16",
           quantization=Quantization("packed", bits=8, group=-1, scale="BF16")),
    Layout("checkpoints/qwen3-float8", "qwen3_groups", "BF16",
           quantization=Quantization("float8", scale="BF16")),
)

GGUFS = (
    GgufFile("gguf/qwen3-q8_0.gguf", "qwen3", "Q8_0"),
    GgufFile("gguf/qwen3-q4_0.gguf", "qwen3", "Q4_0", {"attn_v": "Q8_0"}),
    GgufFile("gguf/qwen3-mini-f32.gguf", "qwen3_mini", "F32"),
    GgufFile("gguf/qwen3-mini-f16.gguf", "qwen3_mini", "F16"),
    GgufFile("gguf/qwen3-mini-bf16.gguf", "qwen3_mini", "BF16"),
    GgufFile("gguf/qwen3_5-q8_0.gguf", "qwen3_5", "Q8_0"),
    GgufFile("gguf/qwen3_5-q4_0.gguf", "qwen3_5", "Q4_0",
             {"ssm_alpha": "F32", "ssm_beta": "F32", "attn_v": "Q8_0"}, own_head="Q8_0"),
    GgufFile("gguf/qwen3_5-mini-f32.gguf", "qwen3_5_mini", "F32"),
    GgufFile("gguf/qwen3_5-mini-f16.gguf", "qwen3_5_mini", "F16"),
    GgufFile("gguf/qwen3_5-mini-bf16.gguf", "qwen3_5_mini", "BF16"),
)

# Formats that the program does not read yet: their cases stand under "waiting" in index.json.
WAITING = ("fp8", "gptq", "awq", "packed", "float8")


def waits(case):
    return case["dtype"] in WAITING
