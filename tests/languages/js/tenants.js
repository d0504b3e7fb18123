// Sends each tenant to an upstream of its own, and watches what is asked of it, line by line.
//
// The client's first line is "tenant NAME". A line that contains FORBIDDEN ends the connection before the server has the
// whole word; after the line "done" nothing more is looked at.

import connection from "spliceway:filter/connection@0.1.0";
import log from "spliceway:filter/log@0.1.0";
import metrics from "spliceway:filter/metrics@0.1.0";

const NEWLINE = "\n".charCodeAt(0);

let refused;

export const lifecycle = {
  // There is nothing to configure.
  configSchema: () => "",

  init(config) {
    if (config !== "null") throw "it takes no configuration";
    refused = metrics.define("tenants_refused_total", "counter", "Connections refused.");
  },
};

export const router = {
  route({ bytes, finished, timedOut, full }) {
    const end = bytes.indexOf(NEWLINE);
    const line = text(end < 0 ? bytes : bytes.subarray(0, end));
    if (end < 0 && "tenant ".startsWith(line.slice(0, 7)) && !(finished || timedOut || full)) {
      return { tag: "need", val: 1 };
    }
    if (end < 0 || !line.startsWith("tenant ")) {
      return { tag: "pass" };
    }
    const name = line.slice("tenant ".length);
    if (!/^[a-z]+$/.test(name)) {
      return { tag: "refuse", val: refusal("no such tenant") };
    }
    const patience = { key: "idle-timeout-ms", value: { tag: "integer", val: 60_000 } };
    return { tag: "route", val: { upstream: name, options: [patience] } };
  },
};

class Session {
  lines = 0;
  // The beginning of a line whose end has not come; forwarded already.
  begun = "";

  interest() {
    return { up: true, down: false };
  }

  onBytes(_direction, bytes, finished) {
    const whole = (this.begun + text(bytes)).split("\n");
    const rest = whole.pop();
    let lines = 0;
    for (const line of whole) {
      if (line.includes("FORBIDDEN")) return { tag: "refuse", val: refusal("a forbidden line") };
      lines += 1;
      if (line === "done") {
        this.count(lines);
        this.tell();
        return { tag: "detach" };
      }
    }
    if (rest.includes("FORBIDDEN")) return { tag: "refuse", val: refusal("a forbidden line") };
    // What is held is shown again, from its beginning. Behind a whole line there is no holding the rest alone.
    if (lines === 0 && !finished) return { tag: "hold", val: 1 };
    this.begun = rest;
    this.count(lines);
    if (finished) this.tell();
    return { tag: "forward" };
  }

  count(lines) {
    this.lines += lines;
    connection.annotate("lines", { tag: "integer", val: this.lines });
  }

  tell() {
    const fields = [{ key: "lines", value: { tag: "integer", val: this.lines } }];
    // None on a unix socket.
    const client = connection.client();
    if (client) fields.push({ key: "from", value: { tag: "address", val: client } });
    log.emit("info", "the client has said what it wants", fields);
  }
}

export const inspector = { Session };

function refusal(reason) {
  metrics.add(refused, 1);
  return { ending: "graceful", reason, reply: bytesOf(`error: ${reason}\n`) };
}

// One character for each byte: the words that are looked for are ASCII, and the rest need not be UTF-8.
function text(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function bytesOf(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
