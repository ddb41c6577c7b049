/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate - brings a file to the newest schema. Migration n makes version n (PRAGMA user_version)
 * in one transaction, so a crash leaves the version before it. A file of a newer unicri is refused
 * and not touched: its rows may mean something that this one does not know.
 */
#include "db/db_private.h"

#define APPLICATION_ID 0x55435249 /* "UCRI": tells our files from other sqlite files */

static int run_migration(struct db_conn *c, int version, struct err *err)
{
    autofree char *stamp =
        xasprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", version, APPLICATION_ID);

    if (db_exec(c, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE", err))
        return -1;
    if (db_exec(c, db_migrations[version - 1], err) || db_exec(c, stamp, err) ||
        db_exec(c, "COMMIT", err)) {
        (void)!db_exec(c, "ROLLBACK", NULL);
        return err_wrap(err, "migrate to version %d", version);
    }
    return db_exec(c, "PRAGMA synchronous = NORMAL", err);
}

int db_version_check(struct db_conn *c, int *ret, struct err *err)
{
    int64_t version, application;

    if (db_number(c, err, &version, "PRAGMA user_version", "") ||
        db_number(c, err, &application, "PRAGMA application_id", ""))
        return -1;
    if (version != 0 && application != APPLICATION_ID)
        return err_set(err, ERR_CORRUPT, "not a database of unicri");
    if (version > db_migrations_n)
        return err_set(
            err, ERR_UNSUPPORTED,
            "it is of version %lld, made by a newer unicri; this one knows versions up to %d",
            (long long)version, db_migrations_n);
    *ret = (int)version;
    return 0;
}

int db_migrate(struct db_conn *c, int version, struct err *err)
{
    int64_t tables;

    if (db_number(c, err, &tables, "SELECT count(*) FROM sqlite_schema", ""))
        return -1;
    if (version == 0 && tables > 0)
        return err_set(err, ERR_CORRUPT, "not a database of unicri");
    for (int v = version + 1; v <= db_migrations_n; v++) {
        if (run_migration(c, v, err))
            return -1;
    }
    return 0;
}
