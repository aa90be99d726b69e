// A plugin for qemu 7.2 (Debian 12) that counts the instructions executed in each function of an emulated program and prints
// them at its end, a function a line: its name and the number. arm64.sh builds it. The declarations are those of qemu-plugin.h,
// which Debian does not ship.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t id_t_;
struct tb;
struct insn;
size_t qemu_plugin_tb_n_insns(const struct tb *);
struct insn *qemu_plugin_tb_get_insn(const struct tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(id_t_, void (*)(id_t_, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *, int op, void *, uint64_t);
void qemu_plugin_register_atexit_cb(id_t_, void (*)(id_t_, void *), void *);

EXPORT int qemu_plugin_version = 1;

// A function and its instructions. The list is short, and is searched only when a block is translated.
struct function {
	char *name;
	uint64_t count;
	struct function *next;
};
static struct function *all;

static struct function *find(const char *name) {
	for (struct function *f = all; f; f = f->next)
		if (!strcmp(f->name, name))
			return f;
	struct function *f = calloc(1, sizeof *f);
	f->name = strdup(name);
	f->next = all;
	return all = f;
}

static void translated(id_t_ id, struct tb *tb) {
	const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
	enum { add = 0 };
	qemu_plugin_register_vcpu_tb_exec_inline(tb, add, &find(name ? name : "?")->count, qemu_plugin_tb_n_insns(tb));
}

static void ended(id_t_ id, void *data) {
	FILE *out = fopen(data, "w");
	for (struct function *f = all; out && f; f = f->next)
		fprintf(out, "%s\t%llu\n", f->name, (unsigned long long)f->count);
	if (!out || fclose(out))
		perror(data);
}

EXPORT int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv) {
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "use -plugin count.so,out=FILE\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, strdup(argv[0] + 4));
	return 0;
}
