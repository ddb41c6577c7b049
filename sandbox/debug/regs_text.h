/* SPDX-License-Identifier: Apache-2.0 */
/* regs_text - registers and a backtrace, as unicri:regs shows them. */
#ifndef UNICRI_SANDBOX_DEBUG_REGS_TEXT_H
#define UNICRI_SANDBOX_DEBUG_REGS_TEXT_H

#include <sys/user.h>

#include "base/strbuf.h"
#include "sandbox/debug/backtrace.h"

void regs_text_registers(struct strbuf *text, const struct user_regs_struct *r);
/** regs_text_trace() - with names from the kernel's file (-1: none). `no_code`: why its code is not
 * known, when that is so. */
void regs_text_trace(struct strbuf *text, const struct backtrace *b, int kernel_fd,
                     const struct err *no_code);

#endif
