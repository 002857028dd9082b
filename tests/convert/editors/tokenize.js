// SPDX-License-Identifier: MIT
// Tokenises a file as Visual Studio Code does: node tokenize.js MODULES GRAMMAR FILE
// Writes one JSON array for each line: [text, innermost scope] of each token.
const fs = require("fs");
const path = require("path");
const [, , modules, grammarFile, file] = process.argv;
const oniguruma = require(path.join(modules, "vscode-oniguruma"));
const textmate = require(path.join(modules, "vscode-textmate"));

async function main() {
  const wasm = fs.readFileSync(path.join(modules, "vscode-oniguruma/release/onig.wasm")).buffer;
  await oniguruma.loadWASM(wasm);
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async (scope) => scope !== "source.hl7t" ? null
      : textmate.parseRawGrammar(fs.readFileSync(grammarFile, "utf8"), grammarFile),
  });
  const grammar = await registry.loadGrammar("source.hl7t");
  let stack = textmate.INITIAL;
  for (const line of fs.readFileSync(file, "utf8").split("\n")) {
    const done = grammar.tokenizeLine(line, stack);
    stack = done.ruleStack;
    console.log(JSON.stringify(done.tokens.map(
      (t) => [line.slice(t.startIndex, t.endIndex), t.scopes[t.scopes.length - 1]])));
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
