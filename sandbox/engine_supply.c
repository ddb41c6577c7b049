/* SPDX-License-Identifier: Apache-2.0 */
/* engine_supply - see engine.h: what there is a bounded store of. Jail uids, one for each running
 * guest; and a file that holds room on the disk, given up when the disk is full so that stop and
 * remove still work. */
#include "sandbox/engine.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"

/* ------------------------------------------------------------------ jail uids */

int engine_uid_take(struct engine *engine, uint32_t *ret, struct err *err)
{
    bool found = false;

    mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->uid_count && !found; i++) {
        uint32_t n = (engine->uid_next + i) % engine->uid_count;

        found = !engine->uids[n];
        if (found) {
            engine->uids[n] = 1;
            engine->uid_next = n + 1;
            *ret = engine->uid_first + n;
        }
    }
    mutex_unlock(&engine->lock);
    return found ? 0
                 : err_set(err, ERR_EXHAUSTED, "all %u uids for guests are in use",
                           engine->uid_count);
}

static void uid_set(struct engine *engine, uint32_t uid, uint8_t used)
{
    mutex_lock(&engine->lock);
    if (uid >= engine->uid_first && uid - engine->uid_first < engine->uid_count)
        engine->uids[uid - engine->uid_first] = used;
    mutex_unlock(&engine->lock);
}

void engine_uid_use(struct engine *engine, uint32_t uid)
{
    uid_set(engine, uid, 1);
}

void engine_uid_give(struct engine *engine, uint32_t uid)
{
    uid_set(engine, uid, 0);
}

/* ------------------------------------------------------------------- reserve */

void engine_reserve(struct engine *engine)
{
    int64_t size = engine->config->reserve_bytes;
    bool wanted;

    mutex_lock(&engine->lock);
    wanted = engine->reserve_released && size > 0;
    engine->reserve_released = false;
    mutex_unlock(&engine->lock);
    if (!wanted)
        return;

    autofd int fd = open(engine->reserve_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0 && posix_fallocate(fd, 0, size) == 0)
        return;
    (void)unlink(engine->reserve_file);
    mutex_lock(&engine->lock);
    engine->reserve_released = true;
    mutex_unlock(&engine->lock);
}

void engine_out_of_space(struct engine *engine, const struct err *err)
{
    if (!err || err->code != ERR_EXHAUSTED)
        return;
    mutex_lock(&engine->lock);

    bool first = !engine->reserve_released;

    engine->reserve_released = true;
    mutex_unlock(&engine->lock);
    if (first && unlink(engine->reserve_file) == 0)
        log_warn("out of space: the reserve of %lld bytes is given up so that stop and remove work",
                 (long long)engine->config->reserve_bytes);
}
