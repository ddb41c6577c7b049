/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a VMM's answer: heads within their bounds, words that can be shown, and the same
 * bytes through a socket. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/api.h"

#define SENT_MAX 65536 /* what a socket takes without a reader */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct api_head head;
    char words[API_WORDS_MAX_BYTES];
    autojson *answer = NULL;
    int pair[2];

    if (api_head_parse((const char *)data, size, &head, &err) > 0 &&
        (head.head_len > API_HEAD_MAX_BYTES || head.head_len > size ||
         head.body_len > API_BODY_MAX_BYTES || head.status < 200 || head.status > 599))
        abort();
    api_words((const char *)data, size, words);
    if (!*words || !memchr(words, '\0', sizeof(words)))
        abort();
    for (const char *p = words; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            abort();
    if (size > SENT_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    if (send(pair[1], data, size, MSG_DONTWAIT) == (ssize_t)size) {
        struct api api = {.fd = pair[0], .vmm = "fuzz", .deadline = deadline_in(NSEC_PER_SEC)};

        (void)shutdown(pair[1], SHUT_WR);
        if (api_call(&api, "GET", "/", NULL, &answer, &err) == 0 && answer &&
            !json_is_object(answer))
            abort();
    }
    close(pair[0]);
    close(pair[1]);
    return 0;
}
