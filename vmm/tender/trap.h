/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tender tells the process that traces it, if there is one: it traps (int3) with one of
 * these numbers in its first register (rax). They mean nothing to anybody else; a tender that
 * nobody traces notices that and goes on. Part of vmm.h, for sandbox/debug.
 */
#ifndef UNICRI_VMM_TENDER_TRAP_H
#define UNICRI_VMM_TENDER_TRAP_H

#include <stdint.h>

/* Before the guest's first instruction (--wait-tracer): is somebody there? Let it go on. */
#define TENDER_TRAP_READY UINT64_C(0x7261656459d3a1c6)
/* hvt: the guest has crashed, and the tender is about to end. */
#define TENDER_TRAP_CRASH UINT64_C(0x7361726343b5e09f)
/* hvt: KVM_EXIT_DEBUG; the guest has made a step or stands on a breakpoint. */
#define TENDER_TRAP_DEBUG UINT64_C(0x6775626564c2f718)

/*
 * spt with --debug: the last 16 bytes of the one page of the tender that stays beside the guest are
 * this number and a word that is zero. Who puts int3s into the guest makes that word another first,
 * and zero again when all are out: meanwhile a guest that comes by one waits instead of dying, up
 * to half a minute, in case that the debugger has been killed and somebody else takes them out.
 */
#define TENDER_LAST_MAGIC UINT64_C(0x65676170547361cc)

#endif
