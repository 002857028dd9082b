/* SPDX-License-Identifier: MIT */
#include "template/table.h"

#include <errno.h>
#include <stdlib.h>

static int
compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0; /* the key of a field that is not there has no bytes */

	return r ? r : (a.n > b.n) - (a.n < b.n);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct table_row *left = a, *right = b;
	int r = compare(left->key, right->key);

	/* the line order decides between equal keys, so that the second one is the one complained
	 * about */
	return r ? r : (left->key.p > right->key.p) - (left->key.p < right->key.p);
}

static int
add_row(struct table *t, size_t *allocated, struct table_row row)
{
	size_t wanted = *allocated ? *allocated * 2 : 64;
	struct table_row *grown;

	if (t->n_rows == *allocated) {
		grown = reallocarray(t->rows, wanted, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->rows = grown;
		*allocated = wanted;
	}
	t->rows[t->n_rows++] = row;
	return 0;
}

static int
parse_line(struct table *t, size_t *allocated, struct span line, uint32_t number,
	struct problems *problems)
{
	size_t tab = span_find(line, '\t');
	struct table_row row = { span_first(line, tab), span_from(line, tab + 1) };

	if (line.n == 0 || line.p[0] == '#')
		return 0;
	if (tab == line.n) {
		problem_add(problems, number, 1, false, "a tab between key and value is missing");
		return 0;
	}
	if (span_eq(row.key, SPAN("*"))) {
		if (t->has_default)
			problem_add(problems, number, 1, false, "this key is in the table already");
		t->has_default = true;
		t->default_value = row.value;
		return 0;
	}
	if (t->n_rows == TABLE_ROWS_MAX) {
		problem_add(
			problems, number, 1, false, "a table has at most %zu rows", TABLE_ROWS_MAX);
		return 0;
	}
	return add_row(t, allocated, row);
}

static uint32_t
line_of(const struct table *t, const uint8_t *at)
{
	const uint8_t *p;
	uint32_t line = 1;

	for (p = t->source; p < at; p++)
		line += *p == '\n';
	return line;
}

static void
check_rows(struct table *t, struct problems *problems)
{
	size_t i;

	if (t->n_rows > 1)
		qsort(t->rows, t->n_rows, sizeof(*t->rows), compare_rows);
	for (i = 1; i < t->n_rows; i++)
		if (span_eq(t->rows[i - 1].key, t->rows[i].key))
			problem_add(problems, line_of(t, t->rows[i].key.p), 1, false,
				"this key is in the table already");
}

int
table_parse(struct table *t, const char *name, struct span source, struct problems *problems)
{
	size_t allocated = 0, errors_before = problems->n_errors;
	struct span rest, line;
	uint32_t number = 0;
	int r = 0;

	*t = (struct table){ .name = strdup(name), .source = malloc(source.n + 1), .broken = true };
	if (!t->name || !t->source)
		return -ENOMEM;
	if (source.n)
		memcpy(t->source, source.p, source.n);
	rest = span_of(t->source, source.n);
	if (span_starts(rest, SPAN("\xEF\xBB\xBF")))
		rest = span_from(rest, 3);
	while (r == 0 && span_cut(&rest, '\n', &line)) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		r = parse_line(t, &allocated, line, ++number, problems);
	}
	check_rows(t, problems);
	t->broken = r < 0 || problems->n_errors > errors_before;
	return r ? r : t->broken ? TABLE_E_INVALID : 0;
}

void
table_deinit(struct table *t)
{
	free(t->name);
	free(t->source);
	free(t->rows);
	*t = (struct table){ 0 };
}

void
table_set_deinit(struct table_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		table_deinit(&set->items[i]);
	free(set->items);
	*set = (struct table_set){ 0 };
}

bool
table_find(const struct table *t, struct span key, struct span *ret)
{
	const struct table_row wanted = { .key = key };
	size_t low = 0, high = t->n_rows, middle;
	int r;

	while (low < high) {
		middle = low + (high - low) / 2;
		r = compare(wanted.key, t->rows[middle].key);
		if (r == 0) {
			*ret = t->rows[middle].value;
			return true;
		}
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*ret = t->default_value;
	return t->has_default;
}

const struct table *
table_set_find(const struct table_set *set, struct span name)
{
	size_t i;

	for (i = 0; set && i < set->n; i++)
		if (span_eq(span_str(set->items[i].name), name))
			return &set->items[i];
	return NULL;
}
