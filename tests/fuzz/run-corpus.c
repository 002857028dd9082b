/* SPDX-License-Identifier: MIT */

/*
 * run-corpus DIR...: runs a fuzz target once for each file of its corpus, as an ordinary test in
 * every build. Each input is given in memory of exactly its size. No file at all is an error: then
 * nothing was tested.
 */

#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#define INPUT_MAX ((size_t)1024 * 1024)

static void
fail(const char *path)
{
	(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(EXIT_FAILURE);
}

static void
run_file(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *all = malloc(INPUT_MAX), *exact;
	size_t n;

	if (!f || !all)
		fail(path);
	n = fread(all, 1, INPUT_MAX, f);
	if (ferror(f))
		fail(path);
	exact = malloc(n ? n : 1);
	if (!exact)
		fail(path);
	memcpy(exact, all, n);
	free(all);
	(void)fclose(f);
	/* the last name is the one that broke it */
	(void)fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static size_t
run_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	char path[4096];
	size_t n = 0;

	if (!dir)
		fail(folder);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		run_file(path);
		n++;
	}
	(void)closedir(dir);
	return n;
}

int
main(int argc, char **argv)
{
	size_t n = 0;
	int i;

	for (i = 1; i < argc; i++)
		n += run_folder(argv[i]);
	(void)fprintf(stderr, "%zu inputs\n", n);
	return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
