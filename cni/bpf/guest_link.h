/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_link - the few constants that the classifiers (guest_link.c, in the kernel) and ../link.c
 * share.
 *
 * PEER is the address a guest sees when a container of its own pod talks to it. HOP is a neighbour
 * that exists on the tap only, as a name for the guest's MAC; no frame carries it.
 */
#ifndef UNICRI_CNI_BPF_GUEST_LINK_H
#define UNICRI_CNI_BPF_GUEST_LINK_H

#define GUEST_LINK_PEER4 0xa9fe4d01 /* 169.254.77.1 */
#define GUEST_LINK_HOP4  0xa9fe4d02 /* 169.254.77.2 */

/* As four words: fd75:6e69:6372:6900::1 (not link-local: guests send it to their gateway and ask
 * for no neighbour). */
#define GUEST_LINK_PEER6 0xfd756e69, 0x63726900, 0, 1
#define GUEST_LINK_HOP6  0xfe800000, 0, 0, 2

/* What ARP says of PEER4: 02:75:6e:69:63:01, as 32 and 16 bits. No frame is sent from it. */
#define GUEST_LINK_PEER_MAC 0x02756e69, 0x6301

/* In the place of a gateway's address (from_guest_far), as one instruction has it. */
#define GUEST_LINK_FAR_MARK 0x46617247

#endif
