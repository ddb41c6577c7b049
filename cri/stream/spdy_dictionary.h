/* SPDX-License-Identifier: Apache-2.0 */
/* spdy_dictionary - for spdy.c and its tests. */
#ifndef UNICRI_CRI_STREAM_SPDY_DICTIONARY_H
#define UNICRI_CRI_STREAM_SPDY_DICTIONARY_H

#define SPDY_DICTIONARY_BYTES 1423
extern const unsigned char spdy_dictionary[SPDY_DICTIONARY_BYTES];

#endif
