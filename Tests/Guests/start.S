// The guest's first instructions: from 32-bit protected mode without paging, as PVH has it (Xen, docs/misc/pvh.pandoc),
// to C code in ring 3 of long mode.
//
// Ring 3, because a KVM without hardware help (kvm_pvm) runs only that natively and emulates ring 0, slowly and in part:
// of the ways out of ring 0 it knows sysexit. It does not keep the privilege level for ports (IOPL) over that, so ring 3
// gets them by a task state segment whose map forbids none.

    .section .note.pvh, "a", @note
    .align 4
    .long 4, 4, 18                      // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    movl $stack_top, %esp
    movl %ebx, start_info
    movw $0x3f8, %dx                    // a first sign of life, as early as there can be one
    movb $'>', %al
    outb %al, %dx
    movl $task, %eax                    // the address in the descriptor is in pieces, which no linker can fill
    movw %ax, task_descriptor + 2
    shrl $16, %eax
    movb %al, task_descriptor + 4
    movb %ah, task_descriptor + 7
    lgdt gdt_pointer
    movl $0x20, %eax                    // PAE
    movl %eax, %cr4
    movl $page_map, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              // EFER: LME
    xorl %edx, %edx
    movl $0x100, %eax
    wrmsr
    movl $0x80000011, %eax              // PG, ET, PE
    movl %eax, %cr0
    ljmp $0x10, $long_mode

    .code64
long_mode:
    movl $0x40, %eax
    ltr %ax
    movl $0x174, %ecx                   // SYSENTER_CS: sysexit takes it + 32 for code, + 40 for the stack
    xorl %edx, %edx
    movl $0x10, %eax
    wrmsr
    movl $user, %edx
    movl $stack_top, %ecx
    sysexitq

user:
    movl start_info, %edi
    call guest_main
1:  pause
    jmp 1b

    .data
    .align 16
gdt:
    .quad 0, 0
    .quad 0x00af9b000000ffff            // 0x10: code, ring 0
    .quad 0x00cf93000000ffff            // 0x18: data, ring 0
    .quad 0
    .quad 0x00cff3000000ffff            // 0x28: data, ring 3
    .quad 0x00affb000000ffff            // 0x30: code, ring 3
    .quad 0x00cff3000000ffff            // 0x38: data, ring 3
task_descriptor:                        // 0x40: task state, with its map of ports
    .word task_end - task - 1, 0
    .byte 0, 0x89, 0, 0
    .quad 0
gdt_pointer:
    .word . - gdt - 1
    .long gdt
start_info:
    .long 0

    .align 16
task:
    .fill 0x66, 1, 0
    .word ports - task
ports:
    .fill 0x2000, 1, 0                  // a bit for each port: 0 allows it
    .byte 0xff
task_end:

    // Everything is where its physical address says: memory in pages of 2 MiB, the devices' GiB below 4 GiB uncached.
    .align 4096
page_map:
    .quad directory_pointers + 7
    .fill 511, 8, 0
directory_pointers:
    .quad memory + 7
    .quad 0
    .quad 0
    .quad devices + 7
    .fill 508, 8, 0
memory:
    .set index, 0
    .rept 512
    .quad index * 0x200000 + 0x87       // present, writable, for all rings, 2 MiB
    .set index, index + 1
    .endr
devices:
    .set index, 0
    .rept 512
    .quad 0xc0000000 + index * 0x200000 + 0x97
    .set index, index + 1
    .endr

    .bss
    .align 16
    .skip 16384
stack_top:
