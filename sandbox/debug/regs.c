/* SPDX-License-Identifier: Apache-2.0 */
/* regs - unicri:regs: registers and a backtrace. The guest stands still only while they are read,
 * and goes on before a byte is printed. */
#include <time.h>

#include "base/strbuf.h"
#include "sandbox/debug/regs_text.h"
#include "sandbox/debug/tracee.h"

struct snapshot {
    struct user_regs_struct r;
    struct backtrace trace;
    double stopped_ms;
};

static int read_guest(void *arg, uint64_t addr, void *buf, size_t len)
{
    struct err *ignored = arg;

    return tracee_read(addr, buf, len, ignored);
}

static int take(const struct code_ranges *code, struct snapshot *s, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct backtrace_source source = {.read = read_guest, .arg = &ignored, .code = code};
    struct timespec from, to;
    int rc;

    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    if (tracee_stop(err) < 0)
        return -1;
    rc = tracee_registers(&s->r, err);
    if (rc == 0)
        backtrace_make(&source, s->r.rip, s->r.rsp, s->r.rbp, &s->trace);
    tracee_close();
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    s->stopped_ms =
        (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    return rc;
}

static int run(const struct debug_options *o, struct err *err)
{
    autofree struct snapshot *s = XNEW(struct snapshot);
    struct code_ranges code = {0};
    autostrbuf text = STRBUF_INIT;
    struct err why = ERR_INIT;

    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    if (o->kernel_fd >= 0 && symbols_code(o->kernel_fd, &code, &why) < 0)
        code.n = 0;
    if (take(&code, s, err) < 0)
        return -1;
    strbuf_addf(&text, "%s guest, %llu bytes of memory, stopped for %.2f ms\n\n",
                o->hvt ? "hvt" : "spt", (unsigned long long)o->memory, s->stopped_ms);
    regs_text_registers(&text, &s->r);
    regs_text_trace(&text, &s->trace, o->kernel_fd, &why);
    return output_text(text.s, text.len, err);
}

const struct debug_command debug_regs = {.name = "regs", .traces = true, .run = run};
