/* SPDX-License-Identifier: Apache-2.0 */
/* start_file - what guest_init.c and linux_start.c agree on. */
#ifndef UNICRI_VMM_GUESTINIT_START_FILE_H
#define UNICRI_VMM_GUESTINIT_START_FILE_H

#define START_DIR            "/.unicri"
#define START_PROGRAM        START_DIR "/init"
#define START_FILE           START_DIR "/start"
#define START_FILE_MAX_BYTES (512 * 1024)
#define START_WORDS_MAX      4096 /* arguments, and as many variables */

#endif
