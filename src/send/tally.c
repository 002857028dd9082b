/* SPDX-License-Identifier: MIT */
#include "send/tally.h"

#define BUCKETS_PER_OCTAVE 16

static size_t
bucket_of(usec_t usec)
{
	unsigned octave;

	if (usec < BUCKETS_PER_OCTAVE)
		return (size_t)usec;
	octave = 63 - (unsigned)__builtin_clzll(usec); /* at least 4 */
	return (size_t)(octave - 3) * BUCKETS_PER_OCTAVE + ((usec >> (octave - 4)) & 15);
}

/* The least latency of a bucket. */
static usec_t
bucket_begin(size_t bucket)
{
	size_t octave;

	if (bucket < BUCKETS_PER_OCTAVE)
		return bucket;
	octave = bucket / BUCKETS_PER_OCTAVE + 3;
	return ((usec_t)1 << octave) + ((usec_t)(bucket % BUCKETS_PER_OCTAVE) << (octave - 4));
}

void
tally_add(struct tally *t, enum verdict verdict, usec_t latency_usec, size_t bytes)
{
	t->counts[verdict]++;
	if (verdict == VERDICT_UNANSWERED)
		return;
	t->latencies[bucket_of(latency_usec)]++;
	t->n_latencies++;
	t->bytes += bytes;
	if (latency_usec > t->slowest_usec)
		t->slowest_usec = latency_usec;
}

static double
percentile_ms(const struct tally *t, size_t percent)
{
	size_t seen = 0, bucket, wanted = (t->n_latencies * percent + 99) / 100;

	for (bucket = 0; bucket < TALLY_BUCKETS; bucket++) {
		seen += t->latencies[bucket];
		if (seen >= wanted)
			break;
	}
	return (double)bucket_begin(bucket) / 1000;
}

/* One line for each power of two between the fastest and the slowest. */
static void
print_histogram(const struct tally *t, FILE *out)
{
	static const char bar[] = "########################################";
	size_t octaves[64] = { 0 }, bucket, i, first = 64, last = 0, most = 1;

	for (bucket = 0; bucket < TALLY_BUCKETS; bucket++)
		octaves[bucket / BUCKETS_PER_OCTAVE] += t->latencies[bucket];
	for (i = 0; i < 64; i++) {
		if (octaves[i] == 0)
			continue;
		first = first < i ? first : i;
		last = i;
		most = octaves[i] > most ? octaves[i] : most;
	}
	for (i = first; i <= last && first < 64; i++)
		(void)fprintf(out, "  from %9.3f ms %9zu %.*s\n",
			(double)bucket_begin(i * BUCKETS_PER_OCTAVE) / 1000, octaves[i],
			(int)((sizeof(bar) - 1) * octaves[i] / most), bar);
}

void
tally_print(const struct tally *t, usec_t elapsed_usec, FILE *out)
{
	double seconds = (double)(elapsed_usec ? elapsed_usec : 1) / 1000000;
	size_t sent = t->counts[VERDICT_ACCEPTED] + t->counts[VERDICT_ERROR] +
		      t->counts[VERDICT_REJECTED] + t->counts[VERDICT_UNANSWERED];

	(void)fprintf(out,
		"messages:   %zu (%zu accepted, %zu error, %zu rejected, %zu unanswered)\n", sent,
		t->counts[VERDICT_ACCEPTED], t->counts[VERDICT_ERROR], t->counts[VERDICT_REJECTED],
		t->counts[VERDICT_UNANSWERED]);
	(void)fprintf(out, "time:       %.3f s, %.1f messages/s, %.3f MB/s\n", seconds,
		(double)t->n_latencies / seconds, (double)t->bytes / seconds / 1e6);
	if (t->n_latencies == 0)
		return;
	(void)fprintf(out,
		"latency:    50%% %.3f ms, 90%% %.3f ms, 99%% %.3f ms, slowest %.3f ms\n",
		percentile_ms(t, 50), percentile_ms(t, 90), percentile_ms(t, 99),
		(double)t->slowest_usec / 1000);
	print_histogram(t, out);
}

int
tally_exit_status(const struct tally *t)
{
	if (t->counts[VERDICT_UNANSWERED] > 0)
		return 3;
	if (t->counts[VERDICT_REJECTED] > 0)
		return 2;
	return t->counts[VERDICT_ERROR] > 0 ? 1 : 0;
}
