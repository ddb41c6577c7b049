/* SPDX-License-Identifier: Apache-2.0 */
/* message - see message.h. */
#include "sandbox/monitor/message.h"

#include <string.h>

#include "sandbox/monitor/text.h"

static struct message resize(char *rest)
{
    struct message bad = {.type = MESSAGE_BAD}, ret = {.type = MESSAGE_RESIZE};
    char *blank = strchr(rest, ' ');
    int64_t w, h;

    if (!blank)
        return bad;
    *blank = '\0';
    if (!text_number(rest, 1, UINT16_MAX, &w) || !text_number(blank + 1, 1, UINT16_MAX, &h))
        return bad;
    ret.width = (unsigned short)w;
    ret.height = (unsigned short)h;
    return ret;
}

struct message message_parse(const char *data, size_t len)
{
    struct message ret = {.type = MESSAGE_BAD};
    char s[MESSAGE_REQUEST_MAX_BYTES];

    if (len == 0 || len >= sizeof(s) || memchr(data, '\0', len))
        return ret;
    memcpy(s, data, len);
    s[len] = '\0';
    if (strcmp(s, "reopen") == 0)
        ret.type = MESSAGE_REOPEN;
    else if (strcmp(s, "ping") == 0)
        ret.type = MESSAGE_PING;
    else if (strcmp(s, "stat") == 0)
        ret.type = MESSAGE_STAT;
    else if (strcmp(s, "attach 0") == 0 || strcmp(s, "attach 1") == 0)
        ret = (struct message){.type = MESSAGE_ATTACH, .input = s[7] == '1'};
    else if (strncmp(s, "resize ", 7) == 0)
        ret = resize(s + 7);
    return ret;
}
