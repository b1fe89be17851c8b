"""tools/goldens/checkpoint_config.py - config.json of a checkpoint, in the spellings in use."""
import quantized_weights
from golden_source import rope_parameters
from small_configs import layer_types
from tiny_tokenizer import tiny_vocab

TORCH_NAME = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}

# Fields of the flat configurations that config.json spells otherwise or does not have.
ELSEWHERE = ("architectures", "rope_theta", "rope_scaling", "partial_rotary_factor",
             "mrope_section", "full_attention_interval", "qkv_bias")

# architecture -> class and model_type of the checkpoint with vision, model_type of its text part.
WITH_VISION = {
    "qwen2": ("Qwen2VLForConditionalGeneration", "qwen2_vl", None),
    "qwen3": ("Qwen3VLForConditionalGeneration", "qwen3_vl", "qwen3_vl_text"),
    "qwen3_moe": ("Qwen3VLMoeForConditionalGeneration", "qwen3_vl_moe", "qwen3_vl_moe_text"),
    "qwen3_5": ("Qwen3_5ForConditionalGeneration", "qwen3_5", "qwen3_5_text"),
    "qwen3_5_moe": ("Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe", "qwen3_5_moe_text"),
}


def token_id(token):
    """The id of an added token of the tiny tokenizer."""
    return next(i for t, i, _ in tiny_vocab()[2] if t == token)


def rope_fields(model, layout):
    """The newer spelling is one dictionary, the older one several fields."""
    flat = dict(model.config)
    if layout.mrope:
        flat["mrope_section"] = list(layout.mrope)
    if layout.spelling == "new":
        return {"rope_parameters": rope_parameters(flat)}
    scaling = dict(flat["rope_scaling"]) if "rope_scaling" in flat else None
    if scaling and scaling["rope_type"] == "yarn":
        scaling["type"] = scaling.pop("rope_type")     # as Qwen2.5's model cards had it
    if "mrope_section" in flat:
        sections = {"mrope_section": flat["mrope_section"]}
        contiguous = layout.names == "beside"          # Qwen2-VL's
        scaling = ({"type": "mrope"} if contiguous else
                   {"type": "default", "mrope_interleaved": True}) | sections
    fields = {"rope_theta": flat["rope_theta"], "rope_scaling": scaling}
    if "partial_rotary_factor" in flat:
        fields["partial_rotary_factor"] = flat["partial_rotary_factor"]
    return fields


def layer_fields(model, layout):
    """layer_types, or what they are derived from."""
    hybrid = "full_attention_interval" in model.config
    if hybrid and layout.interval:
        return {"full_attention_interval": model.config["full_attention_interval"]}
    if hybrid or layout.spelling == "new":
        return {"layer_types": layer_types(model.config)}
    return {}


def text_config(model, layout):
    drop = ELSEWHERE + (("attention_bias",) if model.arch.startswith("qwen2") else ())
    text = {k: v for k, v in model.config.items() if k not in drop}
    # As in the releases: Qwen3 says <|im_end|> here, Qwen3.5 only <|endoftext|>.
    end = "<|endoftext|>" if "full_attention_interval" in model.config else "<|im_end|>"
    text |= {"bos_token_id": None, "eos_token_id": token_id(end),
             "pad_token_id": token_id("<|endoftext|>")}
    text |= layer_fields(model, layout) | rope_fields(model, layout)
    if layout.extras and model.arch.startswith("qwen3_5"):
        text |= {"mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": False}
    new = layout.spelling == "new"
    text |= {"dtype" if new else "torch_dtype": TORCH_NAME[layout.dtype],
             "transformers_version": "5.24.0" if new else "4.57.1"}
    return text


def vision_config(model_type, hidden):
    if model_type == "qwen2_vl":
        return {"model_type": model_type, "depth": 1, "embed_dim": 16, "hidden_size": hidden,
                "mlp_ratio": 2, "num_heads": 2, "in_channels": 3, "patch_size": 4,
                "spatial_merge_size": 2, "temporal_patch_size": 2}
    return {"model_type": model_type, "depth": 1, "hidden_size": 16, "intermediate_size": 32,
            "num_heads": 2, "in_channels": 3, "patch_size": 4, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "num_position_embeddings": 16,
            "out_hidden_size": hidden, "deepstack_visual_indexes": []}


def quantization_config(model, layout, stored_name):
    kept = [stored_name(name, layout).removesuffix(".weight")
            for name, w in model.weights.items()
            if w.ndim == 2 and "embed_tokens" not in name and name.endswith(".weight")
            and not quantized_weights.wants(layout.quantization, name)]
    return quantized_weights.settings(layout.quantization, kept)


def config_json(model, layout, stored_name):
    """The whole file. Where a checkpoint has vision, the text fields are nested, or, in Qwen2-VL's
    older form, stand beside vision_config."""
    text = text_config(model, layout)
    if layout.quantization:
        text["quantization_config"] = quantization_config(model, layout, stored_name)
    if layout.names in ("text", "bare"):
        kind = model.config["architectures"][0]
        if layout.names == "bare":
            kind = kind.replace("ForCausalLM", "Model")
        return {"architectures": [kind], **text}
    kind, model_type, text_type = WITH_VISION[model.arch]
    ids = {f"{part}_token_id": token_id(f"<|{token}|>") for part, token in (
        ("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"),
        ("vision_end", "vision_end"))}
    vision = vision_config(model_type, text["hidden_size"])
    if layout.names == "beside":
        return {"architectures": [kind], **text, "model_type": model_type, **ids,
                "vision_config": vision}
    text["model_type"] = text_type
    text.pop("norm_topk_prob", None)     # Qwen3-VL's router always does it
    if model.arch.startswith("qwen3_5"):
        text["output_gate_type"] = "swish"
    return {"architectures": [kind], "model_type": model_type, **ids,
            "tie_word_embeddings": text["tie_word_embeddings"], "text_config": text,
            "vision_config": vision}
