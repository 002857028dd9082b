// SPDX-License-Identifier: MIT
// server.js PACKAGE PORT [CODE [DELAY]]: a listener of an npm package on this machine only. Prints "ready",
// then MSH-10 of each message, and NTE-3 if there is one, as that package reads them, unless HL7_QUIET is
// set (the benches). It answers with CODE (AA); the first message of all so many milliseconds late. It ends
// with its standard input.
"use strict";

const net = require("net");
const path = require("path");
const [name, port, code, delay] = [process.argv[2], Number(process.argv[3]), process.argv[4] || "AA",
  Number(process.argv[5] || 0)];

// not every package lets its user choose an address
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function () {
  return listen.call(this, { host: "127.0.0.1", port }, () => console.log("ready"));
};

const say = process.env.HL7_QUIET ? () => {} : (read) => console.log(...read().filter(Boolean));

let n = 0;
const inTime = (answer) => n++ === 0 && delay ? setTimeout(answer, delay) : answer();

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

// an ECMAScript module is not looked for in NODE_PATH
const load = (module) => import(path.join(process.env.NODE_PATH, module, "index.js"));

const quiet = { info() {}, error() {} };

// these two answer by themselves, AA and at once
const answersItself = (server) => server.on("hl7", (text) => say(() => {
  const fields = (segment) => (text.split("\r").find((s) => s.startsWith(segment)) || "").split("|");
  return [fields("MSH")[9], fields("NTE")[3]];
}));

const servers = {
  "simple-hl7"() {
    const { Parser, Server } = require("simple-hl7");
    Server.createTcpServer({ parser: new Parser({ segmentSeperator: "\r" }) }, (error, request, response) => {
      if (error)
        return;
      const nte = request.msg.getSegment("NTE");
      say(() => [request.msg.header.getField(8), nte && nte.getField(3)]);
      response.ack.getSegment("MSA").setField(1, code);
      inTime(() => response.end());
    }).start(port);
  },

  "node-hl7-server"() {
    const { Server } = require("node-hl7-server");
    new Server({ bindAddress: "127.0.0.1" }).createInbound({ port }, async (request, response) => {
      const message = request.getMessage();
      say(() => [message.get("MSH.10").toString(), message.get("NTE.3").toString()]);
      inTime(() => response.sendResponse(code));
    });
  },

  nodehl7() {
    const Parser = require("nodehl7");
    const server = new Parser.MLLPServer(async (data, reply) => {
      const message = await new Parser().parse(data.toString(), "message");
      const [msh, nte] = [message.get("MSH").parts, message.get("NTE")];
      say(() => [msh[8], nte && nte.parts[2]]);
      inTime(() => reply(`MSH|^~\\&|A|B|C|D|20260102030405||ACK|A${msh[8]}|P|2.5\rMSA|${code}|${msh[8]}\r`));
    });
    server.on("error", () => {});
    server.listen(port);
  },

  "mllp-node"() {
    answersItself(new (require("mllp-node").MLLPServer)("127.0.0.1", port, () => {}));
  },

  "@i-tech-uw/mllp-server"() {
    const server = new (require("@i-tech-uw/mllp-server").MllpServer)("127.0.0.1", port, quiet);
    answersItself(server);
    server.listen();
  },

  "@medplum/hl7"() {
    const { Hl7Server } = require("@medplum/hl7");
    new Hl7Server((connection) => connection.addEventListener("message", ({ message }) => {
      const nte = message.getSegment("NTE");
      say(() => [message.getSegment("MSH").getField(10).toString(), nte && nte.getField(3).toString()]);
      inTime(() => connection.send(message.buildAck({ ackCode: code })));
    })).start(port);
  },

  async "hl7v2-net"() {
    const { HL7Server } = await load("hl7v2-net");
    const server = HL7Server.createServer();
    server.use(async ({ message }, response) => {
      const nte = message.getSegment("NTE");
      say(() => [message.header.field(10).getValue(), nte && nte.field(3).getValue()]);
      response.message = message.createAck(code);
      await new Promise(inTime);
    });
    server.on("error", () => {});
    await server.listen(port);
  },
};

servers[name]();
