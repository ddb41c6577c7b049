-- SPDX-License-Identifier: Apache-2.0
-- Disks made of images' root filesystems: a row says that the file is complete and synced.

CREATE TABLE image_disks (
    name      TEXT NOT NULL PRIMARY KEY,
    image_id  TEXT NOT NULL,
    kind      TEXT NOT NULL,
    directory TEXT NOT NULL,
    size      INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) STRICT;
