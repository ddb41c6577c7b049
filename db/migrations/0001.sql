-- SPDX-License-Identifier: Apache-2.0
-- The first schema. A migration is never edited once it was released: a change is the next number.
--
-- What changes often (state, step, runtime) and what never does (the spec, some kilobytes) are separate rows, since
-- sqlite writes the whole row anew at each change and a pod start makes about ten.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE pods (
    id         TEXT NOT NULL PRIMARY KEY,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    uid        TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    handler    TEXT NOT NULL,
    spec_hash  TEXT NOT NULL,
    state      INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    runtime    TEXT NOT NULL,
    UNIQUE (namespace, name, uid, attempt)
) STRICT;
CREATE TABLE pod_specs (
    id   TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL
) STRICT;

-- While a row is here, the plugins are owed a DEL.
CREATE TABLE networks (
    pod_id   TEXT NOT NULL PRIMARY KEY,
    netns    TEXT NOT NULL,
    conflist TEXT NOT NULL,
    args     TEXT NOT NULL,
    result   TEXT NOT NULL,
    dels     INTEGER NOT NULL,
    error    TEXT NOT NULL,
    orphan   INTEGER NOT NULL
) STRICT;

CREATE TABLE containers (
    id          TEXT NOT NULL PRIMARY KEY,
    pod_id      TEXT NOT NULL,
    name        TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    image_id    TEXT NOT NULL,
    spec_hash   TEXT NOT NULL,
    state       INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    exit_code   INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    message     TEXT NOT NULL,
    runtime     TEXT NOT NULL,
    UNIQUE (pod_id, name, attempt)
) STRICT;
CREATE TABLE container_specs (
    id   TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL
) STRICT;

CREATE TABLE layers (
    diff_id TEXT NOT NULL PRIMARY KEY,
    path    TEXT NOT NULL,
    size    INTEGER NOT NULL,
    inodes  INTEGER NOT NULL
) STRICT;

CREATE TABLE images (
    id        TEXT NOT NULL PRIMARY KEY,
    config    TEXT NOT NULL,
    manifest  TEXT NOT NULL,
    size      INTEGER NOT NULL,
    pinned    INTEGER NOT NULL,
    pulled_at INTEGER NOT NULL
) STRICT;
-- A tag or a digest names one image; an image has any number of both.
CREATE TABLE image_tags (
    name     TEXT NOT NULL PRIMARY KEY,
    image_id TEXT NOT NULL
) STRICT;
CREATE INDEX image_tags_image ON image_tags (image_id);
CREATE TABLE image_digests (
    name     TEXT NOT NULL PRIMARY KEY,
    image_id TEXT NOT NULL
) STRICT;
CREATE INDEX image_digests_image ON image_digests (image_id);
CREATE TABLE image_layers (
    image_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    diff_id  TEXT NOT NULL,
    PRIMARY KEY (image_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layers_layer ON image_layers (diff_id);

-- Records that could not be read, whole and as SQL literals, for a human to look at.
CREATE TABLE quarantine (
    n      INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,
    reason TEXT NOT NULL,
    at     INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
