"""Export: a checkpoint as a Hugging Face folder (fp32 safetensors) and as one GGUF file (Q8_0).

    python tools/train_poet/export.py --run RUN --gguf poet.gguf --hf poet-hf

The GGUF follows llama.cpp's converter for `qwen35`: norms stored plus one, ssm_a = -exp(A_log),
value heads of DeltaNet tiled over key heads instead of grouped, the convolution squeezed.
"""

import argparse
import json
import os

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

from model import NORM_EPS, Poet, Shape
from tokenizer import PATTERN, SPECIALS, Tokenizer

CONTEXT_LENGTH = 2048
NAME = "tongyun-poet"
DESCRIPTION = "Writes Tang-style poems in Chinese. Trained from chinese-poetry (MIT)."
LICENCE = "MIT"
SOURCE_NAME = "chinese-poetry"
SOURCE_URL = "https://github.com/chinese-poetry/chinese-poetry"
THINK_TOKENS = SPECIALS[3:]  # kept when special tokens are skipped, as in Qwen

# transformers' name within a layer -> GGUF's.
LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight",
    "linear_attn.A_log": "ssm_a",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
GLOBAL_NAMES = {"model.embed_tokens.weight": "token_embd.weight",
                "model.norm.weight": "output_norm.weight"}


def template():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_template.jinja")
    with open(path, encoding="utf-8") as source:
        return source.read().rstrip("\n")


def load_model(run, device="cpu"):
    """(model, progress) of the run's checkpoint."""
    state = torch.load(os.path.join(run, "checkpoint.pt"), map_location=device)
    model = Poet(Shape(**state["shape"])).to(device)
    model.load_state_dict(state["model"])
    return model.eval(), state["progress"]


# --- Hugging Face ---

def hf_config(shape, tokenizer):
    sections = mrope_sections(shape)
    return {
        "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "dtype": "float32",
        "vocab_size": shape.vocab_size, "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim, "hidden_act": "silu", "rms_norm_eps": NORM_EPS,
        "max_position_embeddings": CONTEXT_LENGTH, "tie_word_embeddings": True,
        "attention_bias": False, "attn_output_gate": True,
        "full_attention_interval": shape.attention_interval,
        "layer_types": ["full_attention" if shape.is_attention(i) else "linear_attention"
                        for i in range(shape.layers)],
        "linear_conv_kernel_dim": shape.conv_kernel, "linear_key_head_dim": shape.state_dim,
        "linear_value_head_dim": shape.state_dim, "linear_num_key_heads": shape.key_heads,
        "linear_num_value_heads": shape.value_heads, "mamba_ssm_dtype": "float32",
        "rope_parameters": {
            "rope_type": "default", "rope_theta": shape.rope_theta,
            "partial_rotary_factor": shape.rotary_dim / shape.head_dim,
            "mrope_section": sections, "mrope_interleaved": True},
        "eos_token_id": tokenizer.turn_end, "pad_token_id": tokenizer.end_of_text,
    }


def mrope_sections(shape):
    """Time, height, width pairs; for text they do not matter but must add up."""
    half = shape.rotary_dim // 2
    return [half - 2 * (half // 3), half // 3, half // 3]


def hf_tokenizer(tokenizer):
    """tokenizer.json of the `tokenizers` library."""
    specials = {tokenizer.id_of[s]: s for s in SPECIALS}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": s not in THINK_TOKENS}
                         for i, s in specials.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
             "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
             "use_regex": False}]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                    "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokenizer.tokens) if i not in specials},
                  "merges": [list(pair) for pair in tokenizer.merges]},
    }


def write_hf(folder, model, tokenizer):
    os.makedirs(folder, exist_ok=True)
    texts = {
        "config.json": hf_config(model.shape, tokenizer),
        "generation_config.json": {"do_sample": True, "temperature": 0.8,
                                   "eos_token_id": [tokenizer.turn_end, tokenizer.end_of_text],
                                   "pad_token_id": tokenizer.end_of_text},
        "tokenizer.json": hf_tokenizer(tokenizer),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast",
                                  "eos_token": SPECIALS[2], "pad_token": SPECIALS[0],
                                  "add_bos_token": False, "chat_template": template(),
                                  "model_max_length": CONTEXT_LENGTH},
    }
    for name, content in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as target:
            json.dump(content, target, ensure_ascii=False, indent=1)
    with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8") as target:
        target.write(template())
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


# --- GGUF ---

def tile_value_heads(array, shape, head_rows):
    """Leading axis [key_heads * repeat * head_rows] from grouped to tiled order."""
    repeat = shape.value_heads // shape.key_heads
    split = array.reshape(shape.key_heads, repeat, head_rows, *array.shape[1:])
    return np.ascontiguousarray(split.swapaxes(0, 1)).reshape(array.shape)


def gguf_array(name, array, shape):
    """The array as GGUF's reader wants it; name is within the layer."""
    dim, first_value = shape.state_dim, 2 * shape.key_heads * shape.state_dim
    if name == "linear_attn.A_log":
        return tile_value_heads(-np.exp(array), shape, 1)
    if name in ("linear_attn.dt_bias", "linear_attn.in_proj_a.weight",
                "linear_attn.in_proj_b.weight"):
        return tile_value_heads(array, shape, 1)
    if name in ("linear_attn.in_proj_qkv.weight", "linear_attn.conv1d.weight"):
        array = array.squeeze(1) if array.ndim == 3 else array
        values = tile_value_heads(array[first_value:], shape, dim)
        return np.concatenate([array[:first_value], values])
    if name == "linear_attn.in_proj_z.weight":
        return tile_value_heads(array, shape, dim)
    if name == "linear_attn.out_proj.weight":
        return np.ascontiguousarray(tile_value_heads(array.T, shape, dim).T)
    if name.endswith("norm.weight") and name != "linear_attn.norm.weight":
        return array + 1
    return array


def gguf_tensors(model):
    """(GGUF name, fp32 array) in file order."""
    for name, weight in model.state_dict().items():
        array = weight.float().cpu().numpy()
        if name in GLOBAL_NAMES:
            yield GLOBAL_NAMES[name], gguf_array(name, array, model.shape)
        else:
            _, _, index, inner = name.split(".", 3)
            yield f"blk.{index}.{LAYER_NAMES[inner]}", gguf_array(inner, array, model.shape)


def is_quantized(name, array):
    return array.ndim == 2 and "conv1d" not in name


def add_shape(writer, shape):
    writer.add_block_count(shape.layers)
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(NORM_EPS)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.rotary_dim)
    writer.add_rope_dimension_sections([*mrope_sections(shape), 0])
    writer.add_ssm_conv_kernel(shape.conv_kernel)
    writer.add_ssm_state_size(shape.state_dim)
    writer.add_ssm_group_count(shape.key_heads)
    writer.add_ssm_time_step_rank(shape.value_heads)
    writer.add_ssm_inner_size(shape.value_heads * shape.state_dim)
    writer.add_full_attention_interval(shape.attention_interval)
    writer.add_vocab_size(shape.vocab_size)


def token_type(token):
    if token in THINK_TOKENS:
        return gguf.TokenType.USER_DEFINED
    if token in SPECIALS:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.UNUSED if token.startswith("[PAD") else gguf.TokenType.NORMAL


def add_tokenizer(writer, tokenizer):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen35")
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types([token_type(token) for token in tokenizer.tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer.merges])
    writer.add_eos_token_id(tokenizer.turn_end)
    writer.add_pad_token_id(tokenizer.end_of_text)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template())


def write_gguf(path, model, tokenizer):
    writer = gguf.GGUFWriter(path, "qwen35")
    writer.add_type("model")
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license(LICENCE)
    writer.add_dataset_count(1)
    writer.add_dataset_name(0, SOURCE_NAME)
    writer.add_dataset_repo_url(0, SOURCE_URL)
    writer.add_languages(["zh", "en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_sampling_temp(0.8)
    add_shape(writer, model.shape)
    add_tokenizer(writer, tokenizer)
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, array in gguf_tensors(model):
        if is_quantized(name, array):
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, np.ascontiguousarray(array, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--gguf", help="file to write")
    parser.add_argument("--hf", help="folder to write")
    arguments = parser.parse_args()
    model, progress = load_model(arguments.run)
    tokenizer = Tokenizer.load(os.path.join(arguments.run, "tokenizer.json"))
    if arguments.gguf:
        write_gguf(arguments.gguf + ".new", model, tokenizer)
        os.replace(arguments.gguf + ".new", arguments.gguf)
        print(arguments.gguf, os.path.getsize(arguments.gguf), "bytes, step", progress["step"])
    if arguments.hf:
        write_hf(arguments.hf, model, tokenizer)


if __name__ == "__main__":
    main()
