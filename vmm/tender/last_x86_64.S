/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only page of the program that stays while an spt guest runs: what ends the process on a signal, and the last
 * steps into the guest, which unmap the rest. So a guest finds no code of the tender in its address space, and a
 * waiting one keeps none of it resident. x86_64. See tender.h for the interface.
 */
#define SYS_munmap       11
#define SYS_rt_sigreturn 15
#define SYS_nanosleep    35
#define SYS_exit_group   231

/* Of the kernel's struct ucontext. */
#define UC_STACK_SP 16
#define UC_RIP      168

/* Of siginfo, and what stands there. */
#define SI_CODE    8
#define SI_KERNEL  128
#define TRAP_BRKPT 1

/* Pauses of 20 ms on one instruction. */
#define TRAP_PAUSES   1500
#define TRAP_PAUSE_NS 20000000

	.section .text.tender_last, "ax", @progbits
	.balign 4096
	.globl tender_last_page
tender_last_page:

/* Signal handler: exit_group(128 + signal). */
	.globl tender_last_signal
	.type tender_last_signal, @function
tender_last_signal:
	addl	$128, %edi
	movl	$SYS_exit_group, %eax
	syscall
	ud2
	.size tender_last_signal, . - tender_last_signal

/*
 * SIGTRAP's, of guests that may be debugged. A debugger that was killed may have left an int3 behind. While it says so
 * (tender_last_armed) the guest tries the instruction again and again, until somebody has put the old one back.
 * Otherwise, and in the end, the guest dies by SIGTRAP: in here that is blocked, so that a second one is fatal. How
 * often it has tried stands at the bottom of the signal stack, with the place.
 *
 * The trap may also be what a killed debugger was stopped at and had not yet taken away: a step (then the guest simply
 * goes on), or an int3 that it has marked (TRAP_BRKPT), since it may already have put the guest back onto it.
 */
	.globl tender_last_trap
	.type tender_last_trap, @function
tender_last_trap:
	movq	UC_RIP(%rdx), %rax
	cmpl	$SI_KERNEL, SI_CODE(%rsi)
	je	0f
	cmpl	$TRAP_BRKPT, SI_CODE(%rsi)
	jne	3f
	cmpb	$0xcc, -1(%rax)
	jne	3f
0:	cmpq	$0, tender_last_armed(%rip)
	je	2f
	movq	UC_STACK_SP(%rdx), %rcx
	cmpq	%rax, 8(%rcx)
	je	1f
	movq	%rax, 8(%rcx)
	movq	$0, (%rcx)
1:	incq	(%rcx)
	cmpq	$TRAP_PAUSES, (%rcx)
	ja	2f
	decq	UC_RIP(%rdx)
	leaq	tender_last_pause(%rip), %rdi
	xorl	%esi, %esi
	movl	$SYS_nanosleep, %eax
	syscall
3:	movl	$SYS_rt_sigreturn, %eax
	addq	$8, %rsp
	syscall
	ud2
2:	int3
	ud2
	.size tender_last_trap, . - tender_last_trap

/*
 * tender_last_enter(entry: rdi, stack: rsi, boot_info: rdx, ranges: rcx)
 * ranges: start, length, start, length.
 */
	.globl tender_last_enter
	.type tender_last_enter, @function
tender_last_enter:
	movq	%rdi, %rbx
	movq	%rsi, %rsp
	movq	%rdx, %rbp
	movq	16(%rcx), %r12
	movq	24(%rcx), %r13
	movq	0(%rcx), %rdi
	movq	8(%rcx), %rsi
	movl	$SYS_munmap, %eax
	syscall
	testq	%rax, %rax
	jnz	1f
	movq	%r12, %rdi
	movq	%r13, %rsi
	movl	$SYS_munmap, %eax
	syscall
	testq	%rax, %rax
	jnz	1f
	movq	%rbx, %rax
	movq	%rbp, %rdi
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%ebp, %ebp
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	cld
	jmpq	*%rax
1:	movl	$125, %edi
	movl	$SYS_exit_group, %eax
	syscall
	ud2
	.size tender_last_enter, . - tender_last_enter

	.balign 8
	.globl tender_last_pause
tender_last_pause:
	.quad	0, TRAP_PAUSE_NS

/* The page's end, by which a debugger knows it: TENDER_LAST_MAGIC of trap.h, and what it writes. */
	.org	tender_last_page + 4096 - 16, 0xcc
	.quad	0x65676170547361cc
tender_last_armed:
	.quad	0
	.section .note.GNU-stack, "", @progbits
