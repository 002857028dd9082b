// SPDX-License-Identifier: MIT
// server.js PACKAGE PORT: a listener of an npm package on this machine only. Prints "ready", then
// MSH-10 of each message as that package reads it, unless HL7_QUIET is set (the benches). It ends
// with its standard input.
"use strict";

const net = require("net");
const [name, port] = [process.argv[2], Number(process.argv[3])];

// neither package lets its user choose an address
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function () {
  return listen.call(this, { host: "127.0.0.1", port }, () => console.log("ready"));
};

const say = process.env.HL7_QUIET ? () => {} : (read) => console.log(read());

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

const servers = {
  "simple-hl7"() {
    require("simple-hl7").Server.createTcpServer({}, (error, request, response) => {
      if (error)
        return;
      say(() => request.msg.header.getField(8));
      response.end();
    }).start(port);
  },

  "node-hl7-server"() {
    const { Server } = require("node-hl7-server");
    new Server({ bindAddress: "127.0.0.1" }).createInbound({ port }, async (request, response) => {
      say(() => request.getMessage().get("MSH.10").toString());
      await response.sendResponse("AA");
    });
  },
};

servers[name]();
