/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only page of the program that stays while an spt guest runs: what ends the process on a signal, and the last
 * steps into the guest, which unmap the rest. So a guest finds no code of the tender in its address space, and a
 * waiting one keeps none of it resident. x86_64. See tender.h for the interface.
 */
#define SYS_munmap     11
#define SYS_exit_group 231

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

	.balign 4096, 0xcc
	.section .note.GNU-stack, "", @progbits
