/* SPDX-License-Identifier: Apache-2.0 */
/* census - what lies on the node in our name: in our run and root directories, in our cgroups;
 * beside what the tables know. */
#ifndef UNICRI_SANDBOX_CENSUS_H
#define UNICRI_SANDBOX_CENSUS_H

#include "sandbox/engine.h"

/** census_clean() - what no row knows is killed, unmounted, removed; each is logged. At start,
 * before anything is made. */
void census_clean(struct engine *engine);

#endif
