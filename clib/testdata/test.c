/* Prints what the library computes; clib_test.go compares it with Go. Exits with 1 and the line of a check that fails.

       test FILE.mopt NAME      NAME is a rule that comes with the library */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metaopt.h"

#define CHECK(x)                                                                                                      \
	do                                                                                                                \
		if (!(x)) {                                                                                                   \
			printf("line %d: %s\n", __LINE__, #x);                                                                    \
			exit(1);                                                                                                  \
		}                                                                                                             \
	while (0)

enum { N = 21, STEPS = 12, CANARY = 4 };

/* Checks that a call failed with this result and a text that contains part. */
static void fails(int line, int want, int got, char *error, const char *part)
{
	if (got != want || error == NULL || strstr(error, part) == NULL) {
		printf("line %d: result %d, want %d; error %s, want %s\n", line, got, want, error ? error : "NULL", part);
		exit(1);
	}
	metaopt_free(error);
}
#define FAILS(want, part, call)                                                                                       \
	do {                                                                                                              \
		char *error = NULL;                                                                                           \
		int got = call;                                                                                               \
		fails(__LINE__, want, got, error, part);                                                                      \
	} while (0)

static const size_t matrix[] = {3, 4}, bias[] = {4}, none[] = {0}, vector[] = {5};
static const metaopt_tensor layout[] = {
	{.name = "w", .shape = matrix, .axes = 2, .kind = METAOPT_MATRIX, .output_axis = 1},
	{.name = "b", .shape = bias, .axes = 1, .kind = METAOPT_BIAS},
	{.shape = none, .axes = 1},
	{.shape = vector, .axes = 1},
};
enum { TENSORS = 4 };
static const int offsets[] = {0, 12, 16, 16};

static float gradient(int step, int i) { return (float)((step * 7 + i * 5) % 11 - 5) / (float)(1 + i % 3); }

static uint64_t started(uint64_t rule)
{
	uint64_t run = 0;
	CHECK(metaopt_start(rule, layout, TENSORS, &run, NULL) == METAOPT_OK && run != 0);
	CHECK(metaopt_set_total(run, STEPS, NULL) == METAOPT_OK);
	return run;
}

static void step32(uint64_t run, float *theta, int step)
{
	float grad[N], *into[TENSORS];
	const float *from[TENSORS];
	for (int i = 0; i < N; i++)
		grad[i] = gradient(step, i);
	for (int k = 0; k < TENSORS; k++) {
		into[k] = theta + offsets[k];
		from[k] = grad + offsets[k];
	}
	into[2] = NULL; /* it has no elements */
	char *error = NULL;
	if (metaopt_step_f32(run, into, from, TENSORS, &error)) {
		printf("step %d: %s\n", step, error);
		exit(1);
	}
}

static void print(const char *what, const float *theta)
{
	printf("%s", what);
	for (int i = 0; i < N; i++)
		printf(" %a", theta[i]);
	printf("\n");
}

/* Takes all steps in memory with canaries around it, saves and resumes on the way in both ways. */
static void run32(uint64_t rule, float *out)
{
	float memory[N + 2 * CANARY], *theta = memory + CANARY;
	for (int i = 0; i < N + 2 * CANARY; i++)
		memory[i] = 0.25f;
	uint64_t run = started(rule);
	for (int t = 0; t < STEPS; t++) {
		if (t == 5) {
			void *data;
			size_t size;
			CHECK(metaopt_save(run, &data, &size, NULL) == METAOPT_OK && size > 0);
			CHECK(metaopt_release(run, NULL) == METAOPT_OK);
			run = started(rule);
			FAILS(METAOPT_FAILED, "bad state", metaopt_resume(run, data, size - 1, &error));
			CHECK(metaopt_resume(run, data, size, NULL) == METAOPT_OK);
			metaopt_free(data);
		}
		if (t == 8) {
			size_t count = 0;
			int64_t steps = 0;
			CHECK(metaopt_values(run, &steps, NULL, &count, NULL) == METAOPT_OK && steps == 8 && count > N);
			float *values = malloc(count * sizeof *values);
			CHECK(metaopt_values(run, NULL, values, &count, NULL) == METAOPT_OK);
			CHECK(metaopt_release(run, NULL) == METAOPT_OK);
			run = started(rule);
			FAILS(METAOPT_FAILED, "values, want", metaopt_set_values(run, steps, values, count - 1, &error));
			CHECK(metaopt_set_values(run, steps, values, count, NULL) == METAOPT_OK);
			free(values);
		}
		step32(run, theta, t);
	}
	int64_t steps = 0;
	CHECK(metaopt_steps(run, &steps, NULL) == METAOPT_OK && steps == STEPS);
	for (int i = 0; i < CANARY; i++)
		CHECK(memory[i] == 0.25f && memory[N + CANARY + i] == 0.25f);
	CHECK(metaopt_release(run, NULL) == METAOPT_OK);
	memcpy(out, theta, N * sizeof *out);
}

/* The same in double, in one piece. */
static void run64(uint64_t rule)
{
	double theta[N], grad[N], *into[] = {theta};
	const double *from[] = {grad};
	for (int i = 0; i < N; i++)
		theta[i] = 0.25;
	uint64_t run = started(rule);
	for (int t = 0; t < STEPS; t++) {
		for (int i = 0; i < N; i++)
			grad[i] = gradient(t, i);
		CHECK(metaopt_step_f64(run, into, from, 1, NULL) == METAOPT_OK);
	}
	printf("f64");
	for (int i = 0; i < N; i++)
		printf(" %a", theta[i]);
	printf("\n");
	CHECK(metaopt_release(run, NULL) == METAOPT_OK);
}

/* Updates instead of steps. */
static void updates(uint64_t rule, const float *want)
{
	float theta[N], grad[N], update[N], *into[TENSORS];
	const float *at[TENSORS], *from[TENSORS];
	uint64_t run = started(rule);
	for (int i = 0; i < N; i++)
		theta[i] = 0.25f;
	for (int k = 0; k < TENSORS; k++) {
		into[k] = update + offsets[k];
		at[k] = theta + offsets[k];
		from[k] = grad + offsets[k];
	}
	for (int t = 0; t < STEPS; t++) {
		for (int i = 0; i < N; i++)
			grad[i] = gradient(t, i);
		CHECK(metaopt_update_f32(run, into, at, from, TENSORS, NULL) == METAOPT_OK);
		for (int i = 0; i < N; i++)
			theta[i] += update[i];
	}
	CHECK(memcmp(theta, want, sizeof theta) == 0);
	CHECK(metaopt_release(run, NULL) == METAOPT_OK);
}

static void *thread(void *rule)
{
	float *out = malloc(N * sizeof *out);
	run32(*(uint64_t *)rule, out);
	return out;
}

static void errors(uint64_t rule)
{
	uint64_t run = started(rule), other = 0;
	FAILS(METAOPT_FAILED, "no pretrained optimizer \"adam\"", metaopt_pretrained("adam", &other, &error));
	FAILS(METAOPT_FAILED, "no-such-file", metaopt_load("no-such-file.mopt", &other, &error));
	FAILS(METAOPT_FAILED, "checkpoint", metaopt_read("rubbish", 7, &other, &error));
	FAILS(METAOPT_INVALID, "NULL", metaopt_load(NULL, &other, &error));
	FAILS(METAOPT_INVALID, "NULL", metaopt_pretrained("mlp", NULL, &error));
	FAILS(METAOPT_INVALID, "no run with the handle 0", metaopt_steps(0, NULL, &error));
	FAILS(METAOPT_INVALID, "not of a run", metaopt_steps(rule, NULL, &error));
	FAILS(METAOPT_INVALID, "not of a rule", metaopt_start(run, layout, TENSORS, &other, &error));
	FAILS(METAOPT_INVALID, "without a coordinate", metaopt_start(rule, layout, 0, &other, &error));
	const size_t huge[] = {SIZE_MAX / 2, 3};
	const metaopt_tensor large = {.shape = huge, .axes = 2}, strange = {.shape = vector, .axes = 1, .kind = METAOPT_MATRIX};
	FAILS(METAOPT_INVALID, "too large", metaopt_start(rule, &large, 1, &other, &error));
	FAILS(METAOPT_INVALID, "a matrix has two dimensions", metaopt_start(rule, &strange, 1, &other, &error));
	CHECK(other == 0);
	float theta[N], grad[N], *into[] = {theta, NULL};
	const float *from[] = {grad, NULL};
	for (int i = 0; i < N; i++)
		theta[i] = grad[i] = 1;
	FAILS(METAOPT_INVALID, "2 pointers for 4 tensors", metaopt_step_f32(run, into, from, 2, &error));
	FAILS(METAOPT_INVALID, "elements at", metaopt_step_f32(run, into, from + 1, 1, &error));
	grad[7] = NAN;
	FAILS(METAOPT_DIVERGED, "gradient", metaopt_step_f32(run, into, from, 1, &error));
	int64_t steps = 1;
	CHECK(metaopt_steps(run, &steps, NULL) == METAOPT_OK && steps == 0);
	for (int i = 0; i < N; i++)
		CHECK(theta[i] == 1);
	CHECK(metaopt_step_f32(run, into, from, 1, NULL) == METAOPT_DIVERGED); /* whoever wants no text gets none */
	CHECK(metaopt_release(run, NULL) == METAOPT_OK);
	FAILS(METAOPT_INVALID, "it was released", metaopt_release(run, &error));
	FAILS(METAOPT_INVALID, "it was released", metaopt_step_f32(run, into, from, 1, &error));
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	CHECK(metaopt_interface() == METAOPT_INTERFACE);
	uint64_t rule, again, shipped;
	int reads = -1;
	CHECK(metaopt_load(argv[1], &rule, NULL) == METAOPT_OK);
	CHECK(metaopt_reads_parameters(rule, &reads, NULL) == METAOPT_OK);
	printf("reads %d\n", reads);
	void *data;
	size_t size;
	CHECK(metaopt_write(rule, &data, &size, NULL) == METAOPT_OK);
	CHECK(metaopt_read(data, size, &again, NULL) == METAOPT_OK);
	metaopt_free(data);
	float theta[N], of_shipped[N];
	run32(again, theta);
	print("f32", theta);
	run64(rule);
	updates(rule, theta);
	CHECK(metaopt_pretrained(argv[2], &shipped, NULL) == METAOPT_OK);
	run32(shipped, of_shipped);
	print("shipped", of_shipped);

	/* Threads share a rule. */
	pthread_t threads[4];
	for (int k = 0; k < 4; k++)
		CHECK(pthread_create(&threads[k], NULL, thread, &rule) == 0);
	for (int k = 0; k < 4; k++) {
		void *out;
		CHECK(pthread_join(threads[k], &out) == 0);
		CHECK(memcmp(out, theta, sizeof theta) == 0);
		free(out);
	}
	errors(rule);

	/* A run outlives its rule. */
	uint64_t run = started(rule);
	CHECK(metaopt_release(rule, NULL) == METAOPT_OK && metaopt_release(again, NULL) == METAOPT_OK && metaopt_release(shipped, NULL) == METAOPT_OK);
	step32(run, theta, 0);
	CHECK(metaopt_release(run, NULL) == METAOPT_OK);
	printf("ok\n");
	return 0;
}
