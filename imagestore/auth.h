/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth - who we are to a registry: the credentials of a pull, WWW-Authenticate challenges, and the
 * way from both to an Authorization header (basic, or bearer by way of a token server). Nothing
 * here ever puts a secret into a message.
 *
 * Where credentials go: to a host that `server_address` names (any configured host when it is
 * empty); to a token server only if it is related to that host (the same host, or the same last two
 * labels of its name).
 */
#ifndef UNICRI_IMAGESTORE_AUTH_H
#define UNICRI_IMAGESTORE_AUTH_H

#include <stdbool.h>

#include "base/mem.h"
#include "imagestore/http.h"

struct registry_auth;
struct registry_host;

#define AUTH_TOKEN_MAX_BYTES (64 * 1024) /* of a token server's whole answer */
#define AUTH_PARAM_MAX_BYTES 2048
#define AUTH_CHALLENGES_MAX  8

/* Checked copy of what the CRI gave; all owned, "" where absent. */
struct credentials {
    char *username, *password, *server, *identity_token, *registry_token;
};
/** credentials_init() - `auth` may be NULL. Errors: INVALID (base64, control bytes). */
int credentials_init(struct credentials *c, const struct registry_auth *auth,
                     struct err *err) MUST_CHECK;
void credentials_done(struct credentials *c);
/** credentials_hash() - tells two sets apart without keeping them; 64 digits, owned by the caller.
 */
char *credentials_hash(const struct credentials *c);
/** credentials_apply() - may they be sent to this host? `registry` is that of the image's name. */
bool credentials_apply(const struct credentials *c, const struct registry_host *host,
                       const char *registry);

enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };
struct challenge {
    enum challenge_scheme scheme;
    char *realm, *service, *scope; /* owned; NULL when absent */
};
/** challenges_parse() - one value of WWW-Authenticate, which may hold several. Appends to v[*n], at
 * most AUTH_CHALLENGES_MAX. What cannot be read ends the list. */
void challenges_parse(const char *value, struct challenge *v, size_t *n);
void challenges_done(struct challenge *v, size_t n);

/**
 * auth_answer() - the value of an Authorization header that answers a 401.
 * @c: NULL for none. @path: the repository, for the scope.
 * Returns: an owned string, or NULL. Errors: DENIED (no credentials, refused, unusable realm),
 * UNAVAILABLE (token server).
 */
char *auth_answer(struct http *http, const struct registry_host *host, const struct credentials *c,
                  char *const *challenges, const char *path, struct err *err);

/** auth_realm_check() - may this realm be asked on behalf of the host? *ret_related: may it have
 * credentials? */
int auth_realm_check(const struct registry_host *host, const char *realm, bool *ret_related,
                     struct err *err) MUST_CHECK;

#endif
