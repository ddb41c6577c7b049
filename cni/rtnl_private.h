/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl_private - how the files of rtnl put messages together. Message space is allocated in one
 * page and attributes here are small: running out is a bug of ours, and aborts.
 */
#ifndef UNICRI_CNI_RTNL_PRIVATE_H
#define UNICRI_CNI_RTNL_PRIVATE_H

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "cni/rtnl.h"

/** rtnl_message() - of `type` with its fixed header; owned by the caller until it is sent. */
struct nl_msg *rtnl_message(int type, int flags, const void *header, size_t len);
void rtnl_put(struct nl_msg *msg, int type, const void *data, size_t len);
void rtnl_put_u32(struct nl_msg *msg, int type, uint32_t v);
void rtnl_put_string(struct nl_msg *msg, int type, const char *s);
/** rtnl_nest() - to be ended by nla_nest_end(). */
struct nlattr *rtnl_nest(struct nl_msg *msg, int type);
/** rtnl_talk() - send, free, wait for the acknowledgement. Returns: 0 or a negative libnl code. */
int rtnl_talk(struct rtnl *nl, struct nl_msg *msg);
/** rtnl_dump() - ask for a table, and hand each entry to `f`; frees msg. */
int rtnl_dump(struct rtnl *nl, struct nl_msg *msg, nl_recvmsg_msg_cb_t f, void *arg,
              const char *what, struct err *err) MUST_CHECK;
/** rtnl_fail() - an error of a negative libnl code. Returns: -1. */
int rtnl_fail(int r, struct err *err, const char *what);

#endif
