/* SPDX-License-Identifier: Apache-2.0 */
/* certificates - see certificates.h. What fails here is a bug of the test: it aborts. */
#include "imagestore/tests/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>

#define DAY (24L * 60 * 60)

struct authority {
    EVP_PKEY *key;
    X509 *cert;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static X509 *new_certificate(EVP_PKEY *key, const char *name)
{
    static long serial = 1;
    X509 *x = X509_new();
    must(x && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), serial++) &&
         X509_gmtime_adj(X509_getm_notBefore(x), -DAY) &&
         X509_gmtime_adj(X509_getm_notAfter(x), DAY) && X509_set_pubkey(x, key) &&
         X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                    (const unsigned char *)name, -1, -1, 0));
    return x;
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

static void write_certificate(const X509 *x, const char *file)
{
    FILE *f = fopen(file, "we");
    must(f && PEM_write_X509(f, (X509 *)(uintptr_t)x) && fclose(f) == 0);
}

struct authority *authority_new(const char *name, const char *file)
{
    struct authority *a = calloc(1, sizeof(*a));
    must(a && (a->key = EVP_EC_gen("P-256")));
    a->cert = new_certificate(a->key, name);
    must(X509_set_issuer_name(a->cert, X509_get_subject_name(a->cert)));
    add_extension(a->cert, NID_basic_constraints, "critical,CA:TRUE");
    must(X509_sign(a->cert, a->key, EVP_sha256()) > 0);
    write_certificate(a->cert, file);
    return a;
}

void authority_free(struct authority *a)
{
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
    free(a);
}

void certificate_write(struct authority *a, const char *alt_name, const char *cert_file,
                       const char *key_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key);
    X509 *x = new_certificate(key, "registry");
    const X509 *issuer = a ? a->cert : x;
    must(X509_set_issuer_name(x, X509_get_subject_name(issuer)));
    add_extension(x, NID_subject_alt_name, alt_name);
    must(X509_sign(x, a ? a->key : key, EVP_sha256()) > 0);
    write_certificate(x, cert_file);
    FILE *f = fopen(key_file, "we");
    must(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
}
