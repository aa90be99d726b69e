/* Learned optimizers for C, and for every language that can call C.

       go build -buildmode=c-shared -o libmetaopt.so ./clib

   A rule is a learned optimizer. A run is one optimization run with it: it has a state, and takes steps.

       uint64_t rule, run;
       char *error = NULL;
       size_t shape[] = {100};
       metaopt_tensor layout[] = {{.shape = shape, .axes = 1}};
       if (metaopt_pretrained("mlp", &rule, &error) || metaopt_start(rule, layout, 1, &run, &error)) ...
       float *theta[] = {parameters};
       const float *grad[] = {gradient};
       for (...)
           if (metaopt_step_f32(run, theta, grad, 1, &error)) ...
       metaopt_release(run, NULL);
       metaopt_release(rule, NULL);

   Results. Every function returns METAOPT_OK or the kind of its error. If it fails and error is not NULL, *error is set
   to a text in UTF-8 that says what is wrong; metaopt_free frees it. After a success *error is unchanged. No function
   ends the program. Out-parameters are unchanged after an error.

   Handles. A handle is a number, never 0. A handle that was released or never given out is an error. A run keeps what it needs of
   its rule, which may be released first.

   Threads. All functions may be called from any thread. Calls with different runs may overlap, and runs may share a
   rule. Calls with the same run may not overlap: the second one fails with METAOPT_INVALID and changes nothing. A step
   of 512 coordinates or more uses up to GOMAXPROCS cores (an environment variable, read when the library is loaded; by
   default all). Before a call returns, the library has stopped reading and writing the caller's memory.

   Processes. The library has threads of its own, which do not survive fork(): a child process must not call it, unless it calls exec().
   It installs signal handlers with SA_ONSTACK and passes signals on, as documented for Go's os/signal; it cannot be
   unloaded by dlclose(). */
#ifndef METAOPT_H
#define METAOPT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. Later versions only add functions; metaopt_interface tells the library's. */
#define METAOPT_INTERFACE 1

enum {
	METAOPT_OK = 0,
	METAOPT_INVALID = 1, /* an argument or a handle that the caller must not pass */
	METAOPT_FAILED = 2,  /* a file, data or a state that cannot be used */
	METAOPT_DIVERGED = 3 /* a non-finite gradient, update or parameter; no parameter has changed */
};

/* Kinds of tensors. */
enum {
	METAOPT_VECTOR = 0, /* nothing more is known */
	METAOPT_BIAS = 1,
	METAOPT_MATRIX = 2,     /* two axes */
	METAOPT_CONVOLUTION = 3 /* three axes or more */
};

/* A metaopt_tensor describes a tensor of parameters, whose elements lie one after another in row-major order. Some rules
   read the description; others, as "mlp", treat every coordinate alike. */
typedef struct {
	const char *name;    /* may be NULL */
	const size_t *shape; /* axes numbers; may be NULL for a scalar */
	int32_t axes;
	int32_t kind;
	int32_t output_axis; /* of a matrix or a convolution: the axis that counts outputs; 0 in W x, 1 in x W */
} metaopt_tensor;

/* Returns the library's METAOPT_INTERFACE. */
int metaopt_interface(void);

/* Frees what a function has allocated: a text or data. NULL is allowed. */
void metaopt_free(void *memory);

/* Forgets a rule or a run. */
int metaopt_release(uint64_t handle, char **error);

/* Loads a rule from a file: a .mopt file, or what metaopt export writes as npz, safetensors or flax's msgpack. */
int metaopt_load(const char *path, uint64_t *rule, char **error);

/* Reads a rule from the content of such a file. */
int metaopt_read(const void *data, size_t size, uint64_t *rule, char **error);

/* Gives a rule that comes with the library. An unknown name is an error that lists the known ones. */
int metaopt_pretrained(const char *name, uint64_t *rule, char **error);

/* Writes a rule as the content of a .mopt file, size bytes for metaopt_free. */
int metaopt_write(uint64_t rule, void **data, size_t *size, char **error);

/* Starts a run of a rule on parameters of count tensors. */
int metaopt_start(uint64_t rule, const metaopt_tensor *tensors, size_t count, uint64_t *run, char **error);

/* Says how many steps the run will have, 0 if nobody knows. Some rules then lower their steps toward the end. A saved run does not contain it. */
int metaopt_set_total(uint64_t run, int64_t total, char **error);

/* Gives the number of steps taken. */
int metaopt_steps(uint64_t run, int64_t *steps, char **error);

/* Takes a step: adds the update for the gradient to the parameters, in place.

   theta and grad hold count pointers: one for each tensor of the layout, in its order, or one (count 1) to all
   coordinates, one tensor after the other. Pointers to tensors without elements are not read. theta and grad must not
   overlap. A step is all or nothing: after METAOPT_DIVERGED no parameter has changed. After a non-finite gradient the run
   is unchanged too: leave that gradient out and go on. After a non-finite update or parameter the step counts.

   The rule computes in float32; metaopt_step_f64 rounds what the rule reads, and adds updates in float64. */
int metaopt_step_f32(uint64_t run, float *const *theta, const float *const *grad, size_t count, char **error);
int metaopt_step_f64(uint64_t run, double *const *theta, const double *const *grad, size_t count, char **error);

/* Writes the update into the caller's memory, and changes no parameters. theta may be NULL if the rule does not read
   parameters (metaopt_reads_parameters). update must not overlap theta. */
int metaopt_update_f32(uint64_t run, float *const *update, const float *const *theta, const float *const *grad, size_t count, char **error);

/* Gives 1 if the rule reads parameters and the description of tensors, 0 if it reads gradients alone. */
int metaopt_reads_parameters(uint64_t rule, int *reads, char **error);

/* Saves a run: steps, state and settings, size bytes for metaopt_free. The parameters are the caller's to save. */
int metaopt_save(uint64_t run, void **data, size_t *size, char **error);

/* Continues a saved run, bit for bit. The run must be of the same rule and layout, from metaopt_start. After an error it is unchanged. */
int metaopt_resume(uint64_t run, const void *data, size_t size, char **error);

/* Gives the floats of a run's state, for programs that keep states in a form of their own, and the number of steps. With values NULL it gives the number of floats only.
   For n coordinates: a row of n floats for each h, then each c, of the first layer, and so on for each layer; rows m and v of rnnprop inputs; five rows of
   averages of momenta; if the rule reads parameters, a row with the last update, and at the end five floats for each
   tensor (docs/format.md). */
int metaopt_values(uint64_t run, int64_t *steps, float *values, size_t *count, char **error);

/* Sets the steps and the floats of a run's state. */
int metaopt_set_values(uint64_t run, int64_t steps, const float *values, size_t count, char **error);

#ifdef __cplusplus
}
#endif
#endif
