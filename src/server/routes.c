/* server/routes.c - which path is whose, and who may; the small routes themselves. */
#include <assert.h>
#include <string.h>

#include "server/chat.h"
#include "server/front.h"

static void serve_alive(struct call *c)
{
	struct front *f = c->front;

	buf_clear(&f->out);
	buf_add_str(&f->out, "{\"status\":\"ok\"}");
	call_answer(c, 200, "application/json", &f->out);
	call_free(c);
}

static void serve_ready(struct call *c)
{
	struct front *f = c->front;
	struct openai_error error;

	if (c->state != CALL_REPORTING) {
		call_report(c);
	} else if (f->report.stats.store_failing || f->report.stats.draining) {
		openai_error_refusal(&error, f->report.stats.draining ? CORE_REFUSE_DRAINING
			: CORE_REFUSE_STORE_DOWN, 0);
		call_fail(c, &error);
		call_free(c);
	} else {
		serve_alive(c);
	}
}

static void serve_metrics(struct call *c)
{
	struct front *f = c->front;

	if (c->state != CALL_REPORTING) {
		call_report(c);
		return;
	}
	buf_clear(&f->out);
	metrics_format(&f->out, &f->metrics, &f->report, f->config->model_count == 1
		? f->models[0].id : "", f->currency);
	call_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", &f->out);
	call_free(c);
}

static void model_add(struct front *f, uint32_t model)
{
	openai_model_object(&f->out, f->models[model].id, f->created_s, f->context_max[model]);
}

static void serve_models(struct call *c)
{
	struct front *f = c->front;

	buf_clear(&f->out);
	buf_add_str(&f->out, "{\"object\":\"list\",\"data\":[");
	for (uint32_t i = 0; i < f->config->model_count; i++) {
		if (i > 0)
			buf_add_char(&f->out, ',');
		model_add(f, i);
	}
	buf_add_str(&f->out, "]}");
	call_answer(c, 200, "application/json", &f->out);
	call_free(c);
}

/* What follows a prefix, or "". */
static const char *route_argument(const struct call *c)
{
	const char *path = http_parse_path(http_request(c->conn));

	return c->route->prefix ? path + strlen(c->route->path) + 1 : "";
}

static void serve_model(struct call *c)
{
	struct front *f = c->front;
	const char *id = route_argument(c);
	struct openai_error error;

	for (uint32_t i = 0; i < f->config->model_count; i++)
		if (strcmp(f->models[i].id, id) == 0) {
			buf_clear(&f->out);
			model_add(f, i);
			call_answer(c, 200, "application/json", &f->out);
			call_free(c);
			return;
		}
	openai_error_refusal(&error, CORE_REFUSE_MODEL_NOT_FOUND, 0);
	call_fail(c, &error);
	call_free(c);
}

/* rules.md 10: without a key only the first four, /metrics on loopback. */
static const struct route ROUTES[] = {
	{"GET", "/health", false, false, ROUTE_OPEN, serve_alive},
	{"GET", "/livez", false, false, ROUTE_OPEN, serve_alive},
	{"GET", "/readyz", false, false, ROUTE_OPEN, serve_ready},
	{"GET", "/metrics", false, false, ROUTE_OPEN_ON_LOOPBACK, serve_metrics},
	{"GET", "/v1/models", false, false, ROUTE_KEY, serve_models},
	{"GET", "/v1/models", true, false, ROUTE_KEY, serve_model},
	{"POST", "/v1/chat/completions", false, true, ROUTE_KEY, chat_serve},
};

static bool path_fits(const struct route *route, const char *path)
{
	const size_t size = strlen(route->path);

	if (!route->prefix)
		return strcmp(path, route->path) == 0;
	return strncmp(path, route->path, size) == 0 && path[size] == '/' && path[size + 1] != '\0';
}

static bool method_fits(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 || (strcmp(route->method, "GET") == 0 &&
		strcmp(method, "HEAD") == 0);
}

const struct route *route_find(const char *method, const char *path, bool *path_known,
	struct buf *allow)
{
	for (size_t i = 0; i < sizeof(ROUTES) / sizeof(ROUTES[0]); i++) {
		if (!path_fits(&ROUTES[i], path))
			continue;
		if (method_fits(&ROUTES[i], method))
			return &ROUTES[i];
		*path_known = true;
		buf_add_str(allow, strcmp(ROUTES[i].method, "GET") == 0 ? "GET, HEAD, OPTIONS"
			: "POST, OPTIONS");
	}
	return NULL;
}
