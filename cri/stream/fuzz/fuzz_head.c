/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP head, and terminal sizes, from a hostile client. */
#include <stdint.h>

#include "cri/stream/http.h"
#include "cri/stream/remote_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head;
    struct terminal_size terminal;
    autostrbuf text = STRBUF_INIT;
    struct err err;

    if (http_head_parse((const char *)data, size, &head, &err) > 0) {
        strv_free(http_header_list(&head, "Connection"));
        (void)http_header_has(&head, "Connection", "upgrade");
        http_head_done(&head);
    }
    (void)remote_resize_feed(&text, (const char *)data, size, &terminal);
    return 0;
}
