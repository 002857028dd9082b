/* SPDX-License-Identifier: MIT */
#include "template/suggest.h"

#define WORD_MAX 24

/* Optimal string alignment distance: changes, insertions, deletions and swaps of neighbours. */
static size_t
distance(struct span a, struct span b)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1], i, j, best;

	for (i = 0; i <= a.n; i++)
		d[i][0] = i;
	for (j = 0; j <= b.n; j++)
		d[0][j] = j;
	for (i = 1; i <= a.n; i++)
		for (j = 1; j <= b.n; j++) {
			best = d[i - 1][j - 1] + (a.p[i - 1] != b.p[j - 1]);
			best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
			best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
				a.p[i - 2] == b.p[j - 1] && d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[a.n][b.n];
}

static size_t
n_differing(struct span a, struct span b)
{
	size_t i, n = 0;

	for (i = 0; i < a.n && i < b.n; i++)
		n += a.p[i] != b.p[i];
	return n;
}

const char *
suggest_word(struct span word, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t i, at, nearest = word.n > 4 ? 5 : 3; /* one more than twice what is still near */

	/* every word is near a single letter */
	if (word.n < 2 || word.n > WORD_MAX)
		return NULL;
	for (i = 0; i < n; i++) {
		if (strlen(words[i]) > WORD_MAX)
			continue;
		/* two letters swapped is the commonest slip: it wins over one letter changed */
		at = 2 * distance(word, span_str(words[i]));
		at -= at == 2 && n_differing(word, span_str(words[i])) == 2;
		if (at < nearest) {
			nearest = at;
			best = words[i];
		}
	}
	return best;
}

/* Most used ones first: among equally near names the first is suggested. */
static const char *const segments[] = { "MSH", "PID", "PV1", "OBR", "OBX", "ORC", "NTE", "EVN",
	"MSA", "ERR", "PD1", "PV2", "NK1", "AL1", "DG1", "IN1", "IN2", "IN3", "GT1", "PR1", "SPM",
	"TQ1", "TQ2", "TXA", "SCH", "AIS", "AIG", "AIL", "AIP", "RGS", "FT1", "RXA", "RXR", "RXE",
	"RXO", "RXC", "RXD", "RXG", "RXV", "MRG", "ROL", "PRT", "SFT", "UAC", "IPC", "SAC", "CTI",
	"CTD", "DSC", "QRD", "QRF", "QPD", "QAK", "QID", "RCP", "RDF", "RDT", "FHS", "BHS", "BTS",
	"FTS", "ADD", "ABS", "ACC", "ADJ", "AFF", "APR", "ARQ", "ARV", "AUT", "BLC", "BLG", "BPO",
	"BPX", "BTX", "BUI", "CDM", "CDO", "CER", "CM0", "CM1", "CM2", "CNS", "CON", "CSP", "CSR",
	"CSS", "CTR", "DB1", "DEV", "DMI", "DON", "DPS", "DRG", "DSP", "DST", "ECD", "ECR", "EDU",
	"EQL", "EQP", "EQU", "ERQ", "FAC", "GOL", "GP1", "GP2", "IAM", "IAR", "IIM", "ILT", "INV",
	"ISD", "ITM", "IVC", "IVT", "LAN", "LCC", "LCH", "LDP", "LOC", "LRL", "MCP", "MFA", "MFE",
	"MFI", "NCK", "NDS", "NPU", "NSC", "NST", "ODS", "ODT", "OH1", "OH2", "OH3", "OH4", "OM1",
	"OM2", "OM3", "OM4", "OM5", "OM6", "OM7", "OMC", "ORG", "OVR", "PAC", "PCE", "PCR", "PDA",
	"PDC", "PEO", "PES", "PKG", "PM1", "PMT", "PRA", "PRB", "PRC", "PRD", "PSG", "PSH", "PSL",
	"PSS", "PTH", "PYE", "QRI", "REL", "RF1", "RFI", "RMI", "RQ1", "RQD", "SCD", "SCP", "SDD",
	"SGH", "SGT", "SHP", "SID", "SLT", "STF", "STZ", "TCC", "TCD", "UB1", "UB2", "URD", "URS",
	"VAR", "VND", "VTQ" };

#define N_SEGMENTS (sizeof(segments) / sizeof(segments[0]))

bool
segment_is_known(struct span name)
{
	size_t i;

	if (name.n > 0 && name.p[0] == 'Z')
		return true;
	for (i = 0; i < N_SEGMENTS; i++)
		if (name.n == 3 && memcmp(name.p, segments[i], 3) == 0)
			return true;
	return false;
}

const char *
suggest_segment(struct span name)
{
	return suggest_word(name, segments, N_SEGMENTS);
}
