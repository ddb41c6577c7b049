/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banned - functions that are a mistake here. Force-included into every C file of the project.
 *   strcpy, strcat, sprintf, vsprintf, strtok, gets: no bound;  atoi, atol: no error;
 *   system, popen: a shell.
 * fork() is not here since the small single-threaded programs and the tests need it; in the daemon,
 * which has threads and an sqlite handle, it is base/child that starts programs.
 */
#ifndef UNICRI_BASE_BANNED_H
#define UNICRI_BASE_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* With clang and _FORTIFY_SOURCE these are macros. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol system popen
#endif
