/* SPDX-License-Identifier: Apache-2.0 */
/* link - see link.h. Each side has its packets acknowledged here. */
#include "sandbox/debug/link.h"

#include <string.h>

/* No VMM answers with more than one packet at a time, so its length does not matter here. */
static const char *const prefixes[] = {
    "qfThreadInfo",         "qsThreadInfo", "qC",     "qAttached", "qThreadExtraInfo,",
    "qXfer:features:read:", "qSupported",   "vCont;", "vCont?",
};
static const char letters[] = "?gGpPmMcCsSHTzZD";

static bool begins(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool link_allowed(const char *packet)
{
    if (*packet && strchr(letters, *packet))
        return true;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (begins(packet, prefixes[i]))
            return true;
    return false;
}

void link_init(struct link *l, const struct link_ends *ends, void *arg)
{
    memset(l, 0, sizeof(*l));
    l->ends = ends;
    l->arg = arg;
}

static void send_framed(const struct link *l, bool client, const char *data, size_t len)
{
    char frame[PACKET_FRAME_MAX];
    size_t n = packet_frame(data, len, frame);

    if (client)
        l->ends->to_client(l->arg, frame, n);
    else
        l->ends->to_vmm(l->arg, frame, n);
}

static void answer(const struct link *l, const char *text)
{
    send_framed(l, true, text, strlen(text));
}

static bool resumes(const char *packet)
{
    return strchr("cCsS", *packet) || begins(packet, "vCont;");
}

static void client_packet(struct link *l)
{
    const char *p = l->client.data;

    if (l->state == LINK_RUNNING || *p == 'k') {
        l->state = LINK_OVER;
    } else if (begins(p, "vKill")) {
        answer(l, "OK");
        l->state = LINK_OVER;
    } else if (!*p || strlen(p) != l->client.len || !link_allowed(p)) {
        answer(l, "");
    } else if (*p == 'D') {
        l->detaching = true;
        send_framed(l, false, "D;1", 3);
    } else if (begins(p, "qSupported")) {
        l->features_asked = true; /* of ours none: one process, and acknowledgements stay */
        send_framed(l, false, "qSupported", strlen("qSupported"));
    } else {
        if (resumes(p))
            l->state = LINK_RUNNING;
        send_framed(l, false, p, l->client.len);
    }
}

void link_client(struct link *l, const char *data, size_t len)
{
    for (size_t i = 0; i < len && l->state != LINK_OVER; i++) {
        switch (packet_take(&l->client, data[i])) {
        case PACKET_WHOLE:
            l->ends->to_client(l->arg, "+", 1);
            client_packet(l);
            break;
        case PACKET_BROKEN:
            if (l->client.len == PACKET_MAX)
                l->state = LINK_OVER;
            else
                l->ends->to_client(l->arg, "-", 1);
            break;
        case PACKET_INTERRUPT:
            if (l->state == LINK_RUNNING)
                l->ends->to_vmm(l->arg, &data[i], 1);
            break;
        case PACKET_NOTHING:
            break;
        }
    }
}

/* To the client it has one process only, by whatever name. */
static void take_features(struct link *l)
{
    char *p = strstr(l->vmm.data, "multiprocess+");

    l->features_asked = false;
    if (p)
        p[strlen("multiprocess")] = '-';
}

static void vmm_packet(struct link *l)
{
    const char first = *l->vmm.data;

    if (l->features_asked)
        take_features(l);
    if (l->state == LINK_RUNNING && first != 'O')
        l->state = LINK_STOPPED;
    send_framed(l, true, l->vmm.data, l->vmm.len);
    if (l->detaching || first == 'W' || first == 'X')
        l->state = LINK_OVER;
}

void link_vmm(struct link *l, const char *data, size_t len)
{
    for (size_t i = 0; i < len && l->state != LINK_OVER; i++) {
        switch (packet_take(&l->vmm, data[i])) {
        case PACKET_WHOLE:
            l->ends->to_vmm(l->arg, "+", 1);
            vmm_packet(l);
            break;
        case PACKET_BROKEN:
            l->state = LINK_OVER;
            break;
        default: /* acknowledgements and noise */
            break;
        }
    }
}
