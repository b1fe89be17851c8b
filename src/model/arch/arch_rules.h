/* model/arch/arch_rules.h - between arch.c and the arch_NAME.c: the table's rows, and the rules
 * that many architectures share. Names from transformers' modules and llama.cpp's conversion. */
#ifndef MODEL_ARCH_ARCH_RULES_H
#define MODEL_ARCH_ARCH_RULES_H

#include "model/arch/arch.h"

extern const struct arch arch_llama;
extern const struct arch arch_qwen2;
extern const struct arch arch_qwen2_moe;
extern const struct arch arch_qwen2_vl;
extern const struct arch arch_qwen3;
extern const struct arch arch_qwen3_moe;
extern const struct arch arch_qwen3_vl;
extern const struct arch arch_qwen3_vl_moe;
extern const struct arch arch_qwen3_next;
extern const struct arch arch_qwen3_5;
extern const struct arch arch_qwen3_5_moe;

#define ARCH_RULES(list) .rules = (list), .rule_count = sizeof(list) / sizeof((list)[0])

/* clang-format off */
#define RULES_ONCE \
	{WEIGHT_EMBED, PLACE_ONCE, FORM_MATRIX, EXTENT_VOCAB, EXTENT_HIDDEN, \
		"embed_tokens.weight", "token_embd.weight"}, \
	{WEIGHT_FINAL_NORM, PLACE_ONCE, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE, \
		"norm.weight", "output_norm.weight"}, \
	{WEIGHT_HEAD, PLACE_ONCE, FORM_MATRIX, EXTENT_VOCAB, EXTENT_HIDDEN, \
		"lm_head.weight", "output.weight"}

#define RULES_LAYER_NORMS(gguf_ffn_norm) \
	{WEIGHT_INPUT_NORM, PLACE_LAYER, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE, \
		"input_layernorm.weight", "attn_norm.weight"}, \
	{WEIGHT_FFN_NORM, PLACE_LAYER, FORM_NORM, EXTENT_HIDDEN, EXTENT_NONE, \
		"post_attention_layernorm.weight", gguf_ffn_norm}

#define RULES_FFN \
	{WEIGHT_FFN_GATE, PLACE_DENSE, FORM_MATRIX, EXTENT_FFN, EXTENT_HIDDEN, \
		"mlp.gate_proj.weight", "ffn_gate.weight"}, \
	{WEIGHT_FFN_UP, PLACE_DENSE, FORM_MATRIX, EXTENT_FFN, EXTENT_HIDDEN, \
		"mlp.up_proj.weight", "ffn_up.weight"}, \
	{WEIGHT_FFN_DOWN, PLACE_DENSE, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_FFN, \
		"mlp.down_proj.weight", "ffn_down.weight"}

#define RULES_FFN_BIAS \
	{WEIGHT_FFN_GATE_BIAS, PLACE_FFN_BIAS, FORM_VECTOR, EXTENT_FFN, EXTENT_NONE, \
		"mlp.gate_proj.bias", "ffn_gate.bias"}, \
	{WEIGHT_FFN_UP_BIAS, PLACE_FFN_BIAS, FORM_VECTOR, EXTENT_FFN, EXTENT_NONE, \
		"mlp.up_proj.bias", "ffn_up.bias"}, \
	{WEIGHT_FFN_DOWN_BIAS, PLACE_FFN_BIAS, FORM_VECTOR, EXTENT_HIDDEN, EXTENT_NONE, \
		"mlp.down_proj.bias", "ffn_down.bias"}

#define RULES_EXPERTS \
	{WEIGHT_ROUTER, PLACE_EXPERTS, FORM_ROUTER, EXTENT_EXPERTS, EXTENT_HIDDEN, \
		"mlp.gate.weight", "ffn_gate_inp.weight"}, \
	{WEIGHT_EXPERTS_GATE, PLACE_EXPERTS, FORM_EXPERTS, EXTENT_EXPERTS_FFN, EXTENT_HIDDEN, \
		"gate_proj.weight", "ffn_gate_exps.weight"}, \
	{WEIGHT_EXPERTS_UP, PLACE_EXPERTS, FORM_EXPERTS, EXTENT_EXPERTS_FFN, EXTENT_HIDDEN, \
		"up_proj.weight", "ffn_up_exps.weight"}, \
	{WEIGHT_EXPERTS_DOWN, PLACE_EXPERTS, FORM_EXPERTS, EXTENT_EXPERTS_HIDDEN, \
		EXTENT_EXPERT_FFN, "down_proj.weight", "ffn_down_exps.weight"}

#define RULES_SHARED_EXPERT \
	{WEIGHT_SHARED_ROUTER, PLACE_SHARED, FORM_ROUTER, EXTENT_NONE, EXTENT_HIDDEN, \
		"mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight"}, \
	{WEIGHT_SHARED_GATE, PLACE_SHARED, FORM_MATRIX, EXTENT_SHARED_FFN, EXTENT_HIDDEN, \
		"mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight"}, \
	{WEIGHT_SHARED_UP, PLACE_SHARED, FORM_MATRIX, EXTENT_SHARED_FFN, EXTENT_HIDDEN, \
		"mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight"}, \
	{WEIGHT_SHARED_DOWN, PLACE_SHARED, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_SHARED_FFN, \
		"mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight"}

#define RULES_ATTENTION \
	{WEIGHT_ATTN_Q, PLACE_ATTENTION, FORM_MATRIX, EXTENT_Q, EXTENT_HIDDEN, \
		"self_attn.q_proj.weight", "attn_q.weight"}, \
	{WEIGHT_ATTN_K, PLACE_ATTENTION, FORM_MATRIX, EXTENT_KV, EXTENT_HIDDEN, \
		"self_attn.k_proj.weight", "attn_k.weight"}, \
	{WEIGHT_ATTN_V, PLACE_ATTENTION, FORM_MATRIX, EXTENT_KV, EXTENT_HIDDEN, \
		"self_attn.v_proj.weight", "attn_v.weight"}, \
	{WEIGHT_ATTN_OUT, PLACE_ATTENTION, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_ATTN, \
		"self_attn.o_proj.weight", "attn_output.weight"}, \
	{WEIGHT_ATTN_Q_BIAS, PLACE_QKV_BIAS, FORM_VECTOR, EXTENT_Q, EXTENT_NONE, \
		"self_attn.q_proj.bias", "attn_q.bias"}, \
	{WEIGHT_ATTN_K_BIAS, PLACE_QKV_BIAS, FORM_VECTOR, EXTENT_KV, EXTENT_NONE, \
		"self_attn.k_proj.bias", "attn_k.bias"}, \
	{WEIGHT_ATTN_V_BIAS, PLACE_QKV_BIAS, FORM_VECTOR, EXTENT_KV, EXTENT_NONE, \
		"self_attn.v_proj.bias", "attn_v.bias"}, \
	{WEIGHT_ATTN_OUT_BIAS, PLACE_OUT_BIAS, FORM_VECTOR, EXTENT_HIDDEN, EXTENT_NONE, \
		"self_attn.o_proj.bias", "attn_output.bias"}

#define RULES_QK_NORM \
	{WEIGHT_ATTN_Q_NORM, PLACE_ATTENTION, FORM_NORM, EXTENT_HEAD, EXTENT_NONE, \
		"self_attn.q_norm.weight", "attn_q_norm.weight"}, \
	{WEIGHT_ATTN_K_NORM, PLACE_ATTENTION, FORM_NORM, EXTENT_HEAD, EXTENT_NONE, \
		"self_attn.k_norm.weight", "attn_k_norm.weight"}

/* Checkpoints of both generations with delta layers may pack their projections. */
#define ARCH_JSON_PACKED \
	.json_qkvz = "linear_attn.in_proj_qkvz.weight", .json_ba = "linear_attn.in_proj_ba.weight"

/* What the two generations with delta layers have in common. */
#define RULES_DELTA \
	{WEIGHT_DELTA_QKV, PLACE_DELTA, FORM_MATRIX, EXTENT_CHANNELS, EXTENT_HIDDEN, \
		"linear_attn.in_proj_qkv.weight", "attn_qkv.weight"}, \
	{WEIGHT_DELTA_Z, PLACE_DELTA, FORM_MATRIX, EXTENT_V, EXTENT_HIDDEN, \
		"linear_attn.in_proj_z.weight", "attn_gate.weight"}, \
	{WEIGHT_DELTA_B, PLACE_DELTA, FORM_MATRIX, EXTENT_V_HEADS, EXTENT_HIDDEN, \
		"linear_attn.in_proj_b.weight", "ssm_beta.weight"}, \
	{WEIGHT_DELTA_A, PLACE_DELTA, FORM_MATRIX, EXTENT_V_HEADS, EXTENT_HIDDEN, \
		"linear_attn.in_proj_a.weight", "ssm_alpha.weight"}, \
	{WEIGHT_DELTA_CONV, PLACE_DELTA, FORM_CONV, EXTENT_CHANNELS, EXTENT_TAPS, \
		"linear_attn.conv1d.weight", "ssm_conv1d.weight"}, \
	{WEIGHT_DELTA_DECAY, PLACE_DELTA, FORM_DECAY, EXTENT_V_HEADS, EXTENT_NONE, \
		"linear_attn.A_log", "ssm_a"}, \
	{WEIGHT_DELTA_DT_BIAS, PLACE_DELTA, FORM_VECTOR, EXTENT_V_HEADS, EXTENT_NONE, \
		"linear_attn.dt_bias", "ssm_dt.bias"}, \
	{WEIGHT_DELTA_NORM, PLACE_DELTA, FORM_VECTOR, EXTENT_V_DIM, EXTENT_NONE, \
		"linear_attn.norm.weight", "ssm_norm.weight"}, \
	{WEIGHT_DELTA_OUT, PLACE_DELTA, FORM_MATRIX, EXTENT_HIDDEN, EXTENT_V, \
		"linear_attn.out_proj.weight", "ssm_out.weight"}
/* clang-format on */

#endif
