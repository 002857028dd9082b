/* SPDX-License-Identifier: MIT */
#include "show/names.h"

#include "hl7/address.h"

static const char *const msh[] = { "Field Separator", "Encoding Characters", "Sending Application",
	"Sending Facility", "Receiving Application", "Receiving Facility", "Date/Time of Message",
	"Security", "Message Type", "Message Control ID", "Processing ID", "Version ID",
	"Sequence Number", "Continuation Pointer", "Accept Acknowledgment Type",
	"Application Acknowledgment Type", "Country Code", "Character Set",
	"Principal Language of Message", "Alternate Character Set Handling Scheme",
	"Message Profile Identifier", "Sending Responsible Organization",
	"Receiving Responsible Organization", "Sending Network Address",
	"Receiving Network Address" };

static const char *const msa[] = { "Acknowledgment Code", "Message Control ID", "Text Message",
	"Expected Sequence Number", "Delayed Acknowledgment Type", "Error Condition",
	"Message Waiting Number", "Message Waiting Priority" };

static const char *const err[] = { "Error Code and Location", "Error Location", "HL7 Error Code",
	"Severity", "Application Error Code", "Application Error Parameter",
	"Diagnostic Information", "User Message", "Inform Person Indicator", "Override Type",
	"Override Reason Code", "Help Desk Contact Point" };

static const char *const evn[] = { "Event Type Code", "Recorded Date/Time",
	"Date/Time Planned Event", "Event Reason Code", "Operator ID", "Event Occurred",
	"Event Facility" };

static const char *const pid[] = { "Set ID", "Patient ID", "Patient Identifier List",
	"Alternate Patient ID", "Patient Name", "Mother's Maiden Name", "Date/Time of Birth",
	"Administrative Sex", "Patient Alias", "Race", "Patient Address", "County Code",
	"Phone Number - Home", "Phone Number - Business", "Primary Language", "Marital Status",
	"Religion", "Patient Account Number", "SSN Number", "Driver's License Number",
	"Mother's Identifier", "Ethnic Group", "Birth Place", "Multiple Birth Indicator",
	"Birth Order", "Citizenship", "Veterans Military Status", "Nationality",
	"Patient Death Date and Time", "Patient Death Indicator", "Identity Unknown Indicator",
	"Identity Reliability Code", "Last Update Date/Time", "Last Update Facility",
	"Taxonomic Classification Code", "Breed Code", "Strain", "Production Class Code",
	"Tribal Citizenship", "Patient Telecommunication Information" };

static const char *const pv1[] = { "Set ID", "Patient Class", "Assigned Patient Location",
	"Admission Type", "Preadmit Number", "Prior Patient Location", "Attending Doctor",
	"Referring Doctor", "Consulting Doctor", "Hospital Service", "Temporary Location",
	"Preadmit Test Indicator", "Re-admission Indicator", "Admit Source", "Ambulatory Status",
	"VIP Indicator", "Admitting Doctor", "Patient Type", "Visit Number", "Financial Class",
	"Charge Price Indicator", "Courtesy Code", "Credit Rating", "Contract Code",
	"Contract Effective Date", "Contract Amount", "Contract Period", "Interest Code",
	"Transfer to Bad Debt Code", "Transfer to Bad Debt Date", "Bad Debt Agency Code",
	"Bad Debt Transfer Amount", "Bad Debt Recovery Amount", "Delete Account Indicator",
	"Delete Account Date", "Discharge Disposition", "Discharged to Location", "Diet Type",
	"Servicing Facility", "Bed Status", "Account Status", "Pending Location",
	"Prior Temporary Location", "Admit Date/Time", "Discharge Date/Time",
	"Current Patient Balance", "Total Charges", "Total Adjustments", "Total Payments",
	"Alternate Visit ID", "Visit Indicator", "Other Healthcare Provider",
	"Service Episode Description", "Service Episode Identifier" };

static const char *const orc[] = { "Order Control", "Placer Order Number", "Filler Order Number",
	"Placer Group Number", "Order Status", "Response Flag", "Quantity/Timing", "Parent Order",
	"Date/Time of Order Event", "Entered By", "Verified By", "Ordering Provider",
	"Enterer's Location", "Call Back Phone Number", "Order Effective Date/Time",
	"Order Control Code Reason", "Entering Organization", "Entering Device", "Action By",
	"Advanced Beneficiary Notice Code", "Ordering Facility Name", "Ordering Facility Address",
	"Ordering Facility Phone Number", "Ordering Provider Address", "Order Status Modifier",
	"Advanced Beneficiary Notice Override Reason", "Filler's Expected Availability Date/Time",
	"Confidentiality Code", "Order Type", "Enterer Authorization Mode",
	"Parent Universal Service Identifier" };

static const char *const obr[] = { "Set ID", "Placer Order Number", "Filler Order Number",
	"Universal Service Identifier", "Priority", "Requested Date/Time", "Observation Date/Time",
	"Observation End Date/Time", "Collection Volume", "Collector Identifier",
	"Specimen Action Code", "Danger Code", "Relevant Clinical Information",
	"Specimen Received Date/Time", "Specimen Source", "Ordering Provider",
	"Order Callback Phone Number", "Placer Field 1", "Placer Field 2", "Filler Field 1",
	"Filler Field 2", "Results Rpt/Status Chng Date/Time", "Charge to Practice",
	"Diagnostic Serv Sect ID", "Result Status", "Parent Result", "Quantity/Timing",
	"Result Copies To", "Parent", "Transportation Mode", "Reason for Study",
	"Principal Result Interpreter", "Assistant Result Interpreter", "Technician",
	"Transcriptionist", "Scheduled Date/Time", "Number of Sample Containers",
	"Transport Logistics of Collected Sample", "Collector's Comment",
	"Transport Arrangement Responsibility", "Transport Arranged", "Escort Required",
	"Planned Patient Transport Comment", "Procedure Code", "Procedure Code Modifier",
	"Placer Supplemental Service Information", "Filler Supplemental Service Information",
	"Medically Necessary Duplicate Procedure Reason", "Result Handling",
	"Parent Universal Service Identifier" };

static const char *const obx[] = { "Set ID", "Value Type", "Observation Identifier",
	"Observation Sub-ID", "Observation Value", "Units", "Reference Range",
	"Interpretation Codes", "Probability", "Nature of Abnormal Test",
	"Observation Result Status", "Effective Date of Reference Range",
	"User Defined Access Checks", "Date/Time of the Observation", "Producer's ID",
	"Responsible Observer", "Observation Method", "Equipment Instance Identifier",
	"Date/Time of the Analysis", "Observation Site", "Observation Instance Identifier",
	"Mood Code", "Performing Organization Name", "Performing Organization Address",
	"Performing Organization Medical Director" };

static const char *const nte[] = { "Set ID", "Source of Comment", "Comment", "Comment Type",
	"Entered By", "Entered Date/Time", "Effective Start Date", "Expiration Date" };

static const struct {
	const char *segment;
	const char *const *fields;
	size_t n;
} segments[] = {
	{ "MSH", msh, sizeof(msh) / sizeof(msh[0]) },
	{ "MSA", msa, sizeof(msa) / sizeof(msa[0]) },
	{ "ERR", err, sizeof(err) / sizeof(err[0]) },
	{ "EVN", evn, sizeof(evn) / sizeof(evn[0]) },
	{ "PID", pid, sizeof(pid) / sizeof(pid[0]) },
	{ "PV1", pv1, sizeof(pv1) / sizeof(pv1[0]) },
	{ "ORC", orc, sizeof(orc) / sizeof(orc[0]) },
	{ "OBR", obr, sizeof(obr) / sizeof(obr[0]) },
	{ "OBX", obx, sizeof(obx) / sizeof(obx[0]) },
	{ "NTE", nte, sizeof(nte) / sizeof(nte[0]) },
};

const char *
field_name(struct span segment, size_t field)
{
	size_t i;

	for (i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
		if (span_eq(segment, span_str(segments[i].segment)))
			return field >= 1 && field <= segments[i].n ? segments[i].fields[field - 1]
								    : "";
	return "";
}

#define NAME_CHARS 36

size_t
name_index(struct span name)
{
	struct address a;
	size_t i, at, index = 0;
	uint8_t c;

	if (name.n != 3 || address_parse(name, &a, &at))
		return NAME_INDEXES;
	for (i = 0; i < 3; i++) {
		c = name.p[i];
		index = index * NAME_CHARS + (size_t)(c >= 'A' ? c - 'A' : c - '0' + 26);
	}
	return index;
}
