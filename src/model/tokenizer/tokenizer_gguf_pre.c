/* model/tokenizer/tokenizer_gguf_pre.c - see tokenizer_gguf_pre.h. */
#include "model/tokenizer/tokenizer_gguf_pre.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/tokenizer/tokenizer_gguf.h"

#define PATTERNS_MAX 6
#define NAME_SHOWN   32
#define DEFAULT_NAME "default"

/* What several expressions have in common. */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SHORT     "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define FIRST     "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER     "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPACE     "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SYMBOLS   " ?[^\\s\\p{L}\\p{N}]+"
#define TEKKEN    FIRST UPPER "*" LOWER "+|" FIRST UPPER "+" LOWER "*|\\p{N}|" SYMBOLS \
		  "[\\r\\n/]*|" SPACE
#define GPT4O     FIRST UPPER "*" LOWER "+" SHORT "?|" FIRST UPPER "+" LOWER "*" SHORT \
		  "?|\\p{N}{1,3}|" SYMBOLS "[\\r\\n/]*|" SPACE
#define MINICPM5  SHORT "|" FIRST "\\p{L}+|\\p{N}+|" SYMBOLS "[\\r\\n]*|" SPACE
#define SEED      SHORT "|" FIRST "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACE
#define BAILING   "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| " \
		  "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define BLOOM     " ?[^(\\s|.,!?…。，、।۔،)]+"
#define HAN       "[一-龥ࠀ-一가-퟿]+"
#define LETTERS   "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
#define DEEPSEEK3 "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" \
		  "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACE

struct pre {
	const char *names;                   /* separated by blanks; the first is written */
	const char *patterns[PATTERNS_MAX];  /* one after the other, their matches isolated */
	bool ignore_merges;
	bool adds_bos;
};

static const struct pre PRES[] = {
	{.names = "qwen2 deepseek-r1-qwen megrez stablelm2 hunyuan solar-open grok-2 kormo f2llmv2",
		.patterns = {SHORT "|" FIRST "\\p{L}+|\\p{N}|" SYMBOLS "[\\r\\n]*|" SPACE}},
	{.names = "qwen35", .patterns = {SHORT "|" FIRST "[\\p{L}\\p{M}]+|\\p{N}| "
		"?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACE}},
	{.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
		.patterns = {SHORT "|" FIRST "\\p{L}+|\\p{N}{1,3}|" SYMBOLS "[\\r\\n]*|" SPACE},
		.ignore_merges = true, .adds_bos = true},
	{.names = "dbrx smaug-bpe glm4 chatglm-bpe",
		.patterns = {SHORT "|" FIRST "\\p{L}+|\\p{N}{1,3}|" SYMBOLS "[\\r\\n]*|" SPACE}},
	{.names = "gpt-2 phi-2 gigachat a.x-4.0 mellum modern-bert mpt olmo jais trillion "
		  "granite-docling exaone4", .patterns = {GPT2}},
	{.names = "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
		.patterns = {"\\p{N}", GPT2}},
	{.names = "tekken", .patterns = {TEKKEN}, .ignore_merges = true, .adds_bos = true},
	{.names = "gpt-4o llama4 kanana2 minimax-m2", .patterns = {GPT4O}},
	{.names = "deepseek-llm", .patterns = {"[\\r\\n]", LETTERS,
		"\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", HAN, "\\p{N}+"}},
	{.names = "deepseek-coder",
		.patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN, "\\p{N}"}},
	{.names = "deepseek-v3 hunyuan-dense joyai-llm",
		.patterns = {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3}},
	{.names = "falcon", .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
	{.names = "poro-chat bloom gpt3-finnish", .patterns = {BLOOM}},
	{.names = "viking", .patterns = {BLOOM, "\\p{N}"}},
	{.names = "bailingmoe bailingmoe2 llada-moe", .patterns = {BAILING}},
	{.names = "seed-coder", .patterns = {SEED}},
	{.names = "superbpe", .patterns = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
	{.names = "minicpm5", .patterns = {"\\p{N}{1,3}", MINICPM5}, .ignore_merges = true},
	{.names = DEFAULT_NAME, .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+",
		"[0-9][0-9][0-9]"}},
};

#define PRE_COUNT (sizeof(PRES) / sizeof(*PRES))

static enum err pre_steps(const struct pre *pre, struct pretokenizer_steps *out,
	struct err_info *info)
{
	enum err code = ERR_NONE;

	out->count = 0;
	for (size_t i = 0; i < PATTERNS_MAX && pre->patterns[i] && !code; i++)
		code = pretokenizer_add_regex(out,
			(struct pretokenizer_step){.pattern = pre->patterns[i],
				.pattern_size = strlen(pre->patterns[i])},
			info);
	return code;
}

/* ---- from a name ----------------------------------------------------------------------------- */

/* Whether name is one of names. */
static bool is_among(const struct gguf_string *name, const char *names)
{
	for (const char *at = names; *at; at += strspn(at, " ")) {
		const size_t size = strcspn(at, " ");

		if (size == name->size && memcmp(at, name->data, size) == 0)
			return true;
		at += size;
	}
	return false;
}

static const struct pre *find_pre(const struct gguf_string *name)
{
	for (size_t i = 0; i < PRE_COUNT; i++)
		if (is_among(name, PRES[i].names))
			return &PRES[i];
	return NULL;
}

/* Only the first name of each way: all of them would not fit into an error. */
static enum err refuse(const struct gguf *g, const struct gguf_string *name, struct err_info *info)
{
	char known[ERR_TEXT_MAX];
	size_t size = 0;

	for (size_t i = 0; i < PRE_COUNT && size < sizeof(known); i++)
		size += (size_t)snprintf(known + size, sizeof(known) - size, "%s%.*s",
			i ? " " : "", (int)strcspn(PRES[i].names, " "), PRES[i].names);
	return err_set(info, ERR_UNSUPPORTED,
		"%s: tokenizer.ggml.pre \"%.*s\" is not known, only %s and their other names",
		g->file, (int)(name->size < NAME_SHOWN ? name->size : NAME_SHOWN), name->data,
		known);
}

/* The name that a file without one stands for. */
static enum err name_by_architecture(const struct gguf *g, struct gguf_string *name,
	struct err_info *info)
{
	struct gguf_string arch = {.data = "", .size = 0};
	const enum err code = gguf_get_string(g, "general.architecture", &arch, info);

	*name = (struct gguf_string){.data = "qwen2", .size = 5};
	if (code || (arch.size >= 4 && memcmp(arch.data, "qwen", 4) == 0))
		return code;
	log_line(LOG_WARN, "model/tokenizer",
		"%s: no tokenizer.ggml.pre; text is cut as llama.cpp's default does", g->file);
	*name = (struct gguf_string){.data = DEFAULT_NAME, .size = strlen(DEFAULT_NAME)};
	return ERR_NONE;
}

enum err gguf_pre_read(const struct gguf *g, struct tokenizer_source *source,
	struct err_info *info)
{
	struct gguf_string name = {.data = NULL, .size = 0};
	const struct pre *pre;
	enum err code;

	if ((code = gguf_get_string(g, "tokenizer.ggml.pre", &name, info)))
		return code;
	if (!name.data && (code = name_by_architecture(g, &name, info)))
		return code;
	if (!(pre = find_pre(&name)))
		return refuse(g, &name, info);
	source->ignore_merges = pre->ignore_merges;
	source->adds_bos = pre->adds_bos;
	return pre_steps(pre, &source->pretokenizer, info);
}

/* ---- to a name ------------------------------------------------------------------------------- */

static bool same_step(const struct pretokenizer_step *a, const struct pretokenizer_step *b)
{
	if (a->kind != b->kind || a->kind == PRETOKENIZER_PREFIX_SPACE)
		return false;
	if (a->kind == PRETOKENIZER_RULE)
		return a->rule == b->rule;
	return a->literal == b->literal && a->behavior == b->behavior && a->invert == b->invert &&
	       a->pattern_size == b->pattern_size &&
	       memcmp(a->pattern, b->pattern, a->pattern_size) == 0;
}

static bool is_pre_of(const struct pre *pre, const struct tokenizer_source *source)
{
	const struct pretokenizer_steps *wanted = &source->pretokenizer;
	struct pretokenizer_steps steps;
	struct err_info ignored = {0};

	if (pre_steps(pre, &steps, &ignored) || steps.count != wanted->count ||
		source->ignore_merges != pre->ignore_merges)
		return false;
	for (size_t i = 0; i < steps.count; i++)
		if (!same_step(&steps.steps[i], &wanted->steps[i]))
			return false;
	return true;
}

/* GGUF has no normalizer. What NFC would change llama.cpp takes as it is, for Qwen's too. */
static bool is_without_normalizer(const struct normalizer_steps *steps)
{
	for (size_t i = 0; i < steps->count; i++)
		if (steps->steps[i].kind != NORMALIZER_FORM ||
			steps->steps[i].form != NORMAL_FORM_C)
			return false;
	return true;
}

bool tokenizer_gguf_pre(const struct tokenizer_source *source, char out[TOKENIZER_PRE_MAX])
{
	if (!is_without_normalizer(&source->normalizer))
		return false;
	for (size_t i = 0; i < PRE_COUNT; i++)
		if (is_pre_of(&PRES[i], source)) {
			snprintf(out, TOKENIZER_PRE_MAX, "%.*s", (int)strcspn(PRES[i].names, " "),
				PRES[i].names);
			return true;
		}
	return false;
}
