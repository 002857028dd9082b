/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An array that grows: the members `items`, `n` and `allocated` of a struct, made by VECTOR() or
 * declared with what else belongs to it. Its owner frees `items`. Without a maximum: who fills one
 * with what a peer sent has to set the limit.
 */

#include <stddef.h>

#define VECTOR(type)                                                                               \
	struct {                                                                                   \
		type *items;                                                                       \
		size_t n, allocated;                                                               \
	}

/* Room for one more element: the vector's `items`, maybe moved, or NULL. */
void *vector_grow(void *items, size_t n, size_t *allocated, size_t item_bytes);

/* Appends a copy of `item`; false on lack of memory. */
#define VECTOR_APPEND(vector, item)                                                                \
	({                                                                                         \
		void *_grown = vector_grow((vector)->items, (vector)->n, &(vector)->allocated,     \
			sizeof(*(vector)->items));                                                 \
		if (_grown) {                                                                      \
			(vector)->items = _grown;                                                  \
			(vector)->items[(vector)->n++] = (item);                                   \
		}                                                                                  \
		_grown != NULL;                                                                    \
	})
