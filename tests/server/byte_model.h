/* tests/server/byte_model.h - a model without weights, for servers that are tested or measured:
 * tokens are bytes, the template is ChatML, the executor is the simulated one with a fixed time for
 * each step. Opening it ends the program when it fails.
 */
#ifndef TESTS_SERVER_BYTE_MODEL_H
#define TESTS_SERVER_BYTE_MODEL_H

#include "engine/executor_sim.h"
#include "server/server.h"

#define BYTE_MODEL_TOKENS 256

/* What is between open and server_open may be changed. */
struct byte_model {
	struct tokenizer *tokenizer;
	struct chat_template *template;
	int64_t step_ns;
	struct executor_limits limits;
	struct executor_sim_faults faults;
	struct server_model served;     /* its executor reads the three above */
};

void byte_model_open(struct byte_model *m);
void byte_model_close(struct byte_model *m);

#endif
