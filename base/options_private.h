/* SPDX-License-Identifier: Apache-2.0 */
/* options_private - what options.c and options_print.c share. */
#ifndef UNICRI_BASE_OPTIONS_PRIVATE_H
#define UNICRI_BASE_OPTIONS_PRIVATE_H

#include "base/clock.h"
#include "base/options.h"

/** option_field() - where the option's value stands in the config struct of its table. */
void *option_field(const struct option_table *t, const struct option *o);

#endif
