# SPDX-License-Identifier: MIT
"""embed.py INPUT OUTPUT: the template file as a C array, so that the program needs no file to answer."""
import sys

data = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "w") as out:
    out.write('#include "template/template.h"\n\n')
    out.write("static const uint8_t text[] = {\n")
    for i in range(0, len(data), 12):
        out.write("\t" + " ".join("0x%02x," % b for b in data[i:i + 12]) + "\n")
    out.write("};\n\nstruct span\ntemplate_shipped_ack(void)\n{\n")
    out.write("\treturn span_of(text, sizeof(text));\n}\n")
