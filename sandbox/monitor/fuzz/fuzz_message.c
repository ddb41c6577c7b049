/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a control message. */
#include <stdint.h>
#include <stdlib.h>

#include "sandbox/monitor/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message m = message_parse((const char *)data, size);

    if (m.type == MESSAGE_RESIZE && (m.width == 0 || m.height == 0))
        abort();
    return 0;
}
