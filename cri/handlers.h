/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers - one function an RPC: read the request (to_spec), ask the engine or the image store,
 * fill the reply (to_proto). They hold no lock and decide nothing; pods.c, containers.c, exec.c,
 * images.c, status.c, list_streams.c.
 */
#ifndef UNICRI_CRI_HANDLERS_H
#define UNICRI_CRI_HANDLERS_H

#include "runtime.pb-c.h"

#include "cri/methods.h"
#include "cri/to_proto.h"
#include "cri/to_spec.h"

/* The request as its type; the reply made in the arena and set. */
#define REQUEST(call, type) ((const type *)(const void *)(call)->request)
#define REPLY(call, type, init_prefix)                                                             \
    __extension__({                                                                                \
        __auto_type reply_ = PROTO_NEW((call)->arena, type, init_prefix);                          \
        (call)->reply = &reply_->base;                                                             \
        reply_;                                                                                    \
    })

handler_fn on_version, on_status, on_runtime_config, on_update_runtime_config;
handler_fn on_run_pod_sandbox, on_stop_pod_sandbox, on_remove_pod_sandbox, on_pod_sandbox_status,
    on_list_pod_sandbox;
handler_fn on_create_container, on_start_container, on_stop_container, on_remove_container,
    on_container_status, on_list_containers;
handler_fn on_update_container_resources, on_update_pod_sandbox_resources;
handler_fn on_container_stats, on_list_container_stats, on_pod_sandbox_stats,
    on_list_pod_sandbox_stats, on_list_metric_descriptors, on_list_pod_sandbox_metrics;
handler_fn on_stream_pod_sandboxes, on_stream_containers, on_stream_container_stats,
    on_stream_pod_sandbox_stats, on_stream_pod_sandbox_metrics, on_stream_images,
    on_get_container_events;
handler_fn on_exec_sync, on_reopen_container_log, on_checkpoint_container;
handler_fn on_exec, on_attach, on_port_forward;
handler_fn on_list_images, on_image_status, on_pull_image, on_remove_image, on_image_fs_info;

/** image_filter_find() - the image that a filter names, in *ret with a reference: NULL without a
 * filter (*ret_any) and when there is no such image. */
int image_filter_find(struct call *call, const Runtime__V1__ImageFilter *filter, struct image **ret,
                      bool *ret_any, struct err *err) MUST_CHECK;

#endif
