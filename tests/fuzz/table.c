/* SPDX-License-Identifier: MIT */

/*
 * A look-up table: any text is one or says where it is not. Each row is found, and found to be what
 * a search from the top finds. The first line is a key to look for; a key comes from a message.
 */

#include "template/table.h"

#include "fuzz.h"

static bool
search(const struct table *t, struct span key, struct span *ret)
{
	size_t i;

	for (i = 0; i < t->n_rows; i++)
		if (span_eq(t->rows[i].key, key)) {
			*ret = t->rows[i].value;
			return true;
		}
	*ret = t->default_value;
	return t->has_default;
}

static void
look_up(const struct table *t, struct span key)
{
	struct span found = SPAN_NULL, expected = SPAN_NULL;
	bool is = table_find(t, key, &found);

	require(is == search(t, key, &expected));
	require(!is || (found.p == expected.p && found.n == expected.n));
}

static void
check_table(const struct table *t, struct span source)
{
	struct span own = span_of(t->source, source.n);
	size_t i;

	for (i = 0; i < t->n_rows; i++) {
		require(lies_in(t->rows[i].key, own) && lies_in(t->rows[i].value, own));
		require(!count_byte(t->rows[i].key, '\t') && !count_byte(t->rows[i].key, '\n'));
		require(!count_byte(t->rows[i].value, '\n'));
		if (!t->broken)
			look_up(t, t->rows[i].key);
	}
	require(!t->has_default || lies_in(t->default_value, own));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), key = span_first(input, span_find(input, '\n'));
	struct span source = span_from(input, key.n + 1);
	struct problems problems = { 0 };
	struct table t;
	int r = table_parse(&t, "fuzz", source, &problems);

	require(r == 0 || r == TABLE_E_INVALID);
	require(t.broken == (r != 0) && (r != 0) == (problems.n_errors > 0));
	check_table(&t, source);
	if (r == 0) {
		look_up(&t, key);
		/* of a field that is not there */
		look_up(&t, SPAN_NULL);
	}
	table_deinit(&t);
	return 0;
}
