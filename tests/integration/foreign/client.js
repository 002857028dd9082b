// SPDX-License-Identifier: MIT
// client.js PACKAGE PORT [FOLDER]: sends the framed messages of standard input one after another over one
// connection, with an npm package, and prints "MSA-1 MSA-2" of each answer as that package
// reads it. With a folder, over TLS: it has clients.pem, and analyzer.pem with analyzer.key.
"use strict";

const [name, port] = [process.argv[2], Number(process.argv[3])];
const texts = require("fs").readFileSync(0, "utf8").split("\x1c\r").filter(Boolean)
  .map((t) => t.slice(1));

const read = (file) => require("fs").readFileSync(`${process.argv[4]}/${file}`);
const tls = process.argv[4] ? { tls: { ca: read("clients.pem"), cert: read("analyzer.pem"),
  key: read("analyzer.key"), servername: "localhost" } } : {};

setTimeout(() => { console.error("no answer in time"); process.exit(1); }, 15000);

const clients = {
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
};

clients[name]();
