// SPDX-License-Identifier: MIT
// client.js PACKAGE PORT [FOLDER]: sends the framed messages of standard input one after another, over one
// connection where the package can, with an npm package, and prints "MSA-1 MSA-2" of each answer as that
// package reads it. With a folder, over TLS: it has clients.pem, and analyzer.pem with analyzer.key. The package
// "node" is none: node's own TLS.
"use strict";

const fs = require("fs");
const path = require("path");
const [name, port] = [process.argv[2], Number(process.argv[3])];
const texts = fs.readFileSync(0, "utf8").split("\x1c\r").filter(Boolean).map((t) => t.slice(1));

const read = (file) => fs.readFileSync(`${process.argv[4]}/${file}`);
const tls = process.argv[4] ? { tls: { ca: read("clients.pem"), cert: read("analyzer.pem"),
  key: read("analyzer.key"), servername: "localhost" } } : {};

setTimeout(() => { console.error("no answer in time"); process.exit(1); }, 15000);

// an ECMAScript module is not looked for in NODE_PATH
const load = (module) => import(path.join(process.env.NODE_PATH, module, "index.js"));

// Both are the same code: one message a connection; of the answer its second segment
const mllpNode = (create) => async () => {
  const client = create();
  for (const text of texts) {
    const msa = await new Promise((resolve, reject) =>
      client.send("127.0.0.1", port, text, (error, ack) => error ? reject(error) : resolve(ack)));
    const fields = msa.split("|");
    console.log(fields[1], fields[2]);
  }
  process.exit(0);
};

const quiet = { info() {}, error() {} };

const clients = {
  node() {
    let received = "";
    const socket = require("tls").connect({ host: "127.0.0.1", port, ...tls.tls });
    const next = () => texts.length ? socket.write(`\x0b${texts.shift()}\x1c\r`) : socket.end();
    socket.on("secureConnect", next);
    socket.on("data", (data) => {
      received += data;
      if (!received.endsWith("\x1c\r"))
        return;
      const fields = received.split("\r").find((segment) => segment.startsWith("MSA|")).split("|");
      console.log(fields[1], fields[2]);
      received = "";
      next();
    });
    socket.on("error", (error) => { throw error; });
    socket.on("close", () => process.exit(0));
  },

  "simple-hl7"() {
    const hl7 = require("simple-hl7");
    const parser = new hl7.Parser({ segmentSeperator: "\r" });
    const client = hl7.Server.createTcpClient({ host: "127.0.0.1", port, keepalive: true });
    const next = () => {
      if (texts.length === 0) {
        client.close();
        process.exit(0);
      }
      client.send(parser.parse(texts.shift()), (error, ack) => {
        if (error)
          throw error;
        const msa = ack.getSegment("MSA");
        console.log(msa.getField(1), msa.getField(2));
        setImmediate(next); // it calls us before it takes note of the answer itself
      });
    };
    next();
  },

  "node-hl7-client"() {
    const { Client, Message } = require("node-hl7-client");
    let connection;
    const next = async () => {
      if (texts.length === 0) {
        await connection.close();
        process.exit(0);
      }
      await connection.sendMessage(new Message({ text: texts.shift().trimEnd() }));
    };
    connection = new Client({ host: "127.0.0.1", ...tls }).createConnection({ port }, async (answer) => {
      const message = answer.getMessage();
      console.log(message.get("MSA.1").toString(), message.get("MSA.2").toString());
      await next();
    });
    connection.once("connect", next);
  },

  async nodehl7() {
    const Parser = require("nodehl7");
    const client = new Parser.MLLPClient("127.0.0.1", port, tls);
    for (const text of texts) {
      const answer = await new Parser().parse((await client.send(text)).toString(), "answer");
      console.log(...answer.get("MSA").parts.slice(0, 2));
    }
    client.close();
    process.exit(0);
  },

  // as soon as it is there it listens too, at another port
  "mllp-node": mllpNode(() => {
    const net = require("net");
    const listen = net.Server.prototype.listen;
    net.Server.prototype.listen = function () { return listen.call(this, { host: "127.0.0.1", port: 0 }); };
    return new (require("mllp-node").MLLPServer)("127.0.0.1", 1, () => {});
  }),

  "@i-tech-uw/mllp-server": mllpNode(() =>
    new (require("@i-tech-uw/mllp-server").MllpServer)("127.0.0.1", 1, quiet)),

  async "@medplum/hl7"() {
    const { Hl7Client } = require("@medplum/hl7");
    const { Hl7Message } = require("@medplum/core");
    const client = new Hl7Client({ host: "127.0.0.1", port });
    for (const text of texts) {
      const msa = (await client.sendAndWait(Hl7Message.parse(text))).getSegment("MSA");
      console.log(msa.getField(1).toString(), msa.getField(2).toString());
    }
    await client.close();
    process.exit(0);
  },

  async "hl7v2-net"() {
    const { Hl7Client } = await load("hl7v2-net");
    const { HL7Message } = await load("hl7v2");
    const client = Hl7Client.createClient({ host: "127.0.0.1", port });
    client.on("error", (error) => { throw error; });
    await client.connect();
    for (const text of texts) {
      const msa = (await client.sendMessageWaitAck(HL7Message.parse(text))).getSegment("MSA");
      console.log(msa.field(1).getValue(), msa.field(2).getValue());
    }
    process.exit(0);
  },
};

clients[name]();
