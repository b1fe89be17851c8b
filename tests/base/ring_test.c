/* tests/base/ring_test.c - messages arrive once, in order and whole, and no wake-up is lost. Run
 * under TSan too. */
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/ring.h"

#define MESSAGES 50000

struct message {
	uint64_t number;
	uint64_t check;
	char padding[24];
};

static void full_and_empty_are_answers(void **state)
{
	struct ring *r = ring_open(4, sizeof(int));
	int out = -1;

	(void)state;
	assert_false(ring_pop(r, &out));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ring_room(r), 4 - i);
		assert_true(ring_push(r, &i));
	}
	assert_false(ring_push(r, &out));
	assert_int_equal(ring_count(r), 4);
	for (int i = 0; i < 4; i++) {
		assert_true(ring_pop(r, &out));
		assert_int_equal(out, i);
	}
	assert_false(ring_pop(r, &out));
	assert_int_equal(ring_room(r), 4);
	ring_close(r);
	ring_close(NULL);
}

static void order_holds_over_many_rounds_at_every_fill(void **state)
{
	struct ring *r = ring_open(8, 3);  /* odd sizes are whole too */
	uint32_t in = 0;
	uint32_t out = 0;

	(void)state;
	for (uint32_t round = 0; round < 1000; round++) {
		for (uint32_t i = 0; i < round % 9; i++, in++)
			assert_true(ring_push(r,
				(const uint8_t[3]){(uint8_t)in, (uint8_t)(in >> 8), 7}));
		for (uint32_t i = 0; i < round % 9; i++, out++) {
			uint8_t got[3];

			assert_true(ring_pop(r, got));
			assert_int_equal(got[0] | got[1] << 8, out & 0xFFFF);
			assert_int_equal(got[2], 7);
		}
	}
	ring_close(r);
}

static void a_ring_that_cannot_be_had_leaves_nothing(void **state)
{
	(void)state;
	for (int64_t n = 1; n <= 2; n++) {
		mem_fail_after(n, 0);
		assert_null(ring_open(4, 8));
	}
	mem_fail_after(0, 0);
}

struct pipe {
	struct ring *ring;
	struct wake wake;
	struct wake room;
};

static void *produce(void *argument)
{
	struct pipe *pipe = argument;

	for (uint64_t i = 0; i < MESSAGES;) {
		const struct message m = {.number = i, .check = ~i};

		if (ring_push(pipe->ring, &m)) {
			i++;
			wake_set(&pipe->wake);
		} else {
			wake_wait(&pipe->room, -1);
		}
	}
	return NULL;
}

/* A lost wake-up would leave both asleep: the test would time out. */
static void two_threads_pass_everything_in_order_and_never_sleep_through(void **state)
{
	struct pipe pipe = {.ring = ring_open(16, sizeof(struct message))};
	pthread_t producer;
	uint64_t expected = 0;

	(void)state;
	assert_int_equal(wake_open(&pipe.wake), 0);
	assert_int_equal(wake_open(&pipe.room), 0);
	assert_int_equal(pthread_create(&producer, NULL, produce, &pipe), 0);
	while (expected < MESSAGES) {
		struct message m;

		while (ring_pop(pipe.ring, &m)) {
			assert_int_equal(m.number, expected);
			assert_int_equal(m.check, ~expected);
			expected++;
		}
		wake_set(&pipe.room);
		if (expected < MESSAGES)
			wake_wait(&pipe.wake, -1);
	}
	pthread_join(producer, NULL);
	assert_int_equal(ring_count(pipe.ring), 0);
	wake_close(&pipe.wake);
	wake_close(&pipe.room);
	ring_close(pipe.ring);
}

static void a_wake_set_before_the_wait_returns_at_once_and_only_once(void **state)
{
	struct wake w;

	(void)state;
	assert_int_equal(wake_open(&w), 0);
	wake_set(&w);
	wake_set(&w);
	assert_true(wake_wait(&w, -1));
	assert_false(wake_wait(&w, 0));
	assert_false(wake_take(&w));
	wake_set(&w);
	assert_true(wake_take(&w));
	assert_false(wake_take(&w));
	wake_close(&w);
}

static void a_wait_ends_when_its_time_is_over(void **state)
{
	struct wake w;

	(void)state;
	assert_int_equal(wake_open(&w), 0);
	assert_false(wake_wait(&w, 1000000));
	wake_close(&w);
}

struct sender {
	struct ring *ring;
	struct wake *wake;  /* shared by all senders */
};

static void *send_many(void *argument)
{
	const struct sender *sender = argument;

	for (uint32_t i = 0; i < 20000; i++) {
		ring_push(sender->ring, &i);
		wake_set(sender->wake);
	}
	return NULL;
}

/* As a poll loop uses it: only the descriptor says when to look, and two rings share it. */
static void polling_the_descriptor_misses_nothing_either(void **state)
{
	struct sender senders[2];
	pthread_t threads[2];
	struct wake wake;
	uint32_t received = 0;

	(void)state;
	assert_int_equal(wake_open(&wake), 0);
	for (int i = 0; i < 2; i++) {
		senders[i] = (struct sender){
			.ring = ring_open(32768, sizeof(uint32_t)), .wake = &wake};
		assert_int_equal(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
	}
	while (received < 40000) {
		struct pollfd poll_fd = {.fd = wake.fd, .events = POLLIN};
		uint32_t out;

		assert_true(poll(&poll_fd, 1, -1) > 0);
		wake_take(&wake);
		for (int i = 0; i < 2; i++) {
			while (ring_pop(senders[i].ring, &out))
				received++;
		}
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		ring_close(senders[i].ring);
	}
	wake_close(&wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_and_empty_are_answers),
		cmocka_unit_test(order_holds_over_many_rounds_at_every_fill),
		cmocka_unit_test(a_ring_that_cannot_be_had_leaves_nothing),
		cmocka_unit_test(two_threads_pass_everything_in_order_and_never_sleep_through),
		cmocka_unit_test(a_wake_set_before_the_wait_returns_at_once_and_only_once),
		cmocka_unit_test(a_wait_ends_when_its_time_is_over),
		cmocka_unit_test(polling_the_descriptor_misses_nothing_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
