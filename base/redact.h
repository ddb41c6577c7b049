/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact - takes credentials out of text before it gets into an error, a log line or an event.
 * Used where the message is built, so that what travels is already clean.
 */
#ifndef UNICRI_BASE_REDACT_H
#define UNICRI_BASE_REDACT_H

/**
 * redact_url() - a copy of `url`, or of any text with URLs and headers in it, without secrets:
 * userinfo becomes
 * "***@"; values of query members become "***" but for those known to be harmless (service, scope,
 * ns, n, last); what follows "Authorization:", "Bearer " or "Basic " becomes "***". Caller frees.
 * Thread: any.
 */
char *redact_url(const char *url);

#endif
