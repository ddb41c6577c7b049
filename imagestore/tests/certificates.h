/* SPDX-License-Identifier: Apache-2.0 */
/* certificates - a small authority for tests: keys and certificates as PEM files, valid for a day.
 */
#ifndef UNICRI_IMAGESTORE_TESTS_CERTIFICATES_H
#define UNICRI_IMAGESTORE_TESTS_CERTIFICATES_H

struct authority;

/** authority_new() - with a key of its own; its certificate is written to `file`. */
struct authority *authority_new(const char *name, const char *file);
void authority_free(struct authority *a);

/**
 * certificate_write() - a fresh key and its certificate.
 * @a: who signs; NULL: the key itself.
 * @alt_name: as openssl's subjectAltName has it: "IP:127.0.0.1", "DNS:host".
 */
void certificate_write(struct authority *a, const char *alt_name, const char *cert_file,
                       const char *key_file);

#endif
