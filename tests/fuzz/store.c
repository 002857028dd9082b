/* SPDX-License-Identifier: MIT */

/*
 * What lies in a store and may be anybody's: names of files, which are taken only as we write them,
 * and what a forwarder says of itself. The first line is a name, the rest the text.
 */

#include "store/name.h"
#include "store/state.h"

#include "fuzz.h"

static void
check_name(const char *name)
{
	struct store_stem stem;
	struct store_entry_name entry;
	char again[STORE_NAME_BYTES];

	if (store_name_parse(name, "hl7", &stem)) {
		store_name_format(&stem, "hl7", again);
		require(strcmp(name, again) == 0);
		require(store_stem_compare(&stem, &stem) == 0);
		require(!strchr(name, '/') && name[0] != '.');
	}
	if (store_entry_parse(name, "hl7", &entry)) {
		store_entry_format(&entry, "hl7", again);
		require(strcmp(name, again) == 0);
		require(entry.number < STORE_ENTRIES_MAX);
		require(!strchr(name, '/') && name[0] != '.');
	}
	if (store_destination_is_valid(span_str(name)))
		require(strlen(name) < STORE_DESTINATION_BYTES && !strpbrk(name, "/. \n"));
}

static void
check_state(struct span text)
{
	struct state state, again;
	struct buffer error = BUFFER_INIT(STATE_ERROR_BYTES + 64);

	state_parse(text, &state);
	require(state.kind < STATE_N && state_name(state.kind));
	require(memchr(state.last_error, 0, STATE_ERROR_BYTES));
	require(!strchr(state.last_error, '\n'));
	require(buffer_append(&error, SPAN("last-error: ")) == 0);
	require(buffer_append(&error, span_str(state.last_error)) == 0);
	state_parse(buffer_span(&error), &again);
	require(strcmp(state.last_error, again.last_error) == 0);
	buffer_deinit(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), line = span_first(input, span_find(input, '\n'));
	char *name = malloc(line.n + 1);

	require(name);
	if (line.n)
		memcpy(name, line.p, line.n);
	name[line.n] = 0;
	check_name(name);
	check_state(span_from(input, line.n + 1));
	free(name);
	return 0;
}
