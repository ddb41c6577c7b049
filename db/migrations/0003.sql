-- SPDX-License-Identifier: Apache-2.0
-- What happens to pods and containers, in order: for GetContainerEvents. Triggers write it, so an event stands in the
-- file if and only if the change does that it tells of. The numbers are those of the states in the rows (sandbox/pod.h,
-- sandbox/container.h) and of the API's event types: 0 created, 1 started, 2 stopped, 3 deleted.
--
-- It is a ring: what is older than the newest 4096 goes away. `seq` never comes twice. What is kept of the pod is what
-- an event must tell when the pod is gone.

CREATE TABLE events (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    id        TEXT NOT NULL,
    pod_id    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    uid       TEXT NOT NULL,
    attempt   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER events_ring AFTER INSERT ON events BEGIN
    DELETE FROM events WHERE seq <= NEW.seq - 4096;
END;

CREATE TRIGGER pod_ready AFTER UPDATE OF state ON pods WHEN NEW.state = 1 AND OLD.state <> 1 BEGIN
    INSERT INTO events (at, kind, id, pod_id, namespace, name, uid, attempt)
    VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000, 0, NEW.id, NEW.id, NEW.namespace,
        NEW.name, NEW.uid, NEW.attempt);
    INSERT INTO events (at, kind, id, pod_id, namespace, name, uid, attempt)
    VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000, 1, NEW.id, NEW.id, NEW.namespace,
        NEW.name, NEW.uid, NEW.attempt);
END;
CREATE TRIGGER pod_notready AFTER UPDATE OF state ON pods WHEN NEW.state = 3 AND OLD.state <> 3 BEGIN
    INSERT INTO events (at, kind, id, pod_id, namespace, name, uid, attempt)
    VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000, 2, NEW.id, NEW.id, NEW.namespace,
        NEW.name, NEW.uid, NEW.attempt);
END;
CREATE TRIGGER pod_gone AFTER DELETE ON pods BEGIN
    INSERT INTO events (at, kind, id, pod_id, namespace, name, uid, attempt)
    VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000, 3, OLD.id, OLD.id, OLD.namespace,
        OLD.name, OLD.uid, OLD.attempt);
END;

CREATE TRIGGER container_moved AFTER UPDATE OF state ON containers
WHEN NEW.state <> OLD.state AND NEW.state IN (1, 3, 5) BEGIN
    INSERT INTO events (at, kind, id, pod_id, namespace, name, uid, attempt)
    SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000,
        CASE NEW.state WHEN 1 THEN 0 WHEN 3 THEN 1 ELSE 2 END, NEW.id, id, namespace, name, uid, attempt
    FROM pods WHERE id = NEW.pod_id;
END;
CREATE TRIGGER container_gone AFTER DELETE ON containers BEGIN
    INSERT INTO events (at, kind, id, pod_id, namespace, name, uid, attempt)
    SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000, 3, OLD.id, id, namespace, name, uid,
        attempt
    FROM pods WHERE id = OLD.pod_id;
END;
