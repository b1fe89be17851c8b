/* tests/model/qwen_tokenizer.h - the real vocabulary of Qwen2 to Qwen3 for tests that need one. */
#ifndef TESTS_MODEL_QWEN_TOKENIZER_H
#define TESTS_MODEL_QWEN_TOKENIZER_H

#include "unit.h"

#include "base/mem.h"
#include "model/tokenizer/tokenizer.h"
#include "test_data.h"

/* Ids of Qwen2 to Qwen3 above the ordinary ones (tokenizer_config.json): a range of consecutive
 * ids. */
static const char *const QWEN3_ADDED[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>",
	"<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
	"<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
	"<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
	"<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
	"<tool_response>", "</tool_response>", "<think>", "</think>"};
#define QWEN3_ADDED_FIRST 151643

static inline json_t *qwen3_config(void)
{
	json_t *decoder = json_object();

	for (size_t i = 0; i < sizeof(QWEN3_ADDED) / sizeof(QWEN3_ADDED[0]); i++) {
		char id[16];

		snprintf(id, sizeof(id), "%zu", QWEN3_ADDED_FIRST + i);
		json_object_set_new(decoder, id,
			json_pack("{s:s, s:b}", "content", QWEN3_ADDED[i], "special",
				QWEN3_ADDED[i][1] == '|'));
	}
	return json_pack("{s:o, s:s}", "added_tokens_decoder", decoder, "eos_token", "<|im_end|>");
}

/* The vocabulary of Qwen2, with or without NFC; without as llama.cpp does it. */
static inline struct tokenizer *open_qwen2(enum pretokenize_rule rule)
{
	struct buf vocab = test_read("data/tokenizer/qwen2-vocab.json");
	struct buf merges = test_read("data/tokenizer/qwen2-merges.txt");
	json_t *config = qwen3_config();
	char *config_text = json_dumps(config, 0);
	struct err_info info = {0};
	struct tokenizer *t;

	const enum err code = tokenizer_open_vocab(&t, vocab.data, vocab.size, merges.data,
		merges.size, config_text, strlen(config_text), rule, &info);
	if (code)
		fail_msg("%s", info.text);
	mem_free(config_text);
	json_decref(config);
	buf_free(&merges);
	buf_free(&vocab);
	return t;
}

#endif
