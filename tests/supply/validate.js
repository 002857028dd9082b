// SPDX-License-Identifier: MIT
// validate.js FILE...: each is valid CycloneDX 1.6 by the strict schema of CycloneDX; else what is wrong, and status 1.
'use strict'
const fs = require('fs')
const path = require('path')
const { Spec, Validation } = require(
  path.join(process.env.HL7_NODE_MODULES, '@cyclonedx', 'cyclonedx-library'))

async function main () {
  const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6)
  for (const file of process.argv.slice(2)) {
    const wrong = await validator.validate(fs.readFileSync(file, 'utf8'))
    if (wrong) {
      console.error(`${file}: ${JSON.stringify(wrong)}`)
      process.exitCode = 1
    }
  }
}

main().catch(e => {
  console.error(e)
  process.exitCode = 1
})
