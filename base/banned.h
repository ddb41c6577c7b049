/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banned - functions that are a mistake here. Force-included into every C file of the project.
 *   strcpy, strcat, sprintf, vsprintf, strtok, gets: no bound;  atoi, atol: no error;
 *   system, popen: a shell;  fork, vfork: threads and sqlite forbid it, use base/child.
 */
#ifndef UNICRI_BASE_BANNED_H
#define UNICRI_BASE_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol system popen
#endif
