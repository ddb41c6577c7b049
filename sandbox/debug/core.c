/* SPDX-License-Identifier: Apache-2.0 */
/* core - unicri:core: the guest as a core file, which goes to the client while the guest stands
 * still; a client that stops reading does not keep it so (output.c). */
#include "sandbox/debug/core_file.h"

static int run(const struct debug_options *o, struct err *err)
{
    struct core_request q = {.kernel_fd = o->kernel_fd};
    uint64_t bytes = 0;
    int rc;

    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    if (tracee_stop(err) < 0)
        return -1;
    rc = core_file_write(&q, &bytes, err);
    tracee_close();
    if (rc == 0)
        output_note("unicri:core: %llu bytes; open it with: gdb KERNEL FILE",
                    (unsigned long long)bytes);
    return rc;
}

const struct debug_command debug_core = {.name = "core", .traces = true, .run = run};
