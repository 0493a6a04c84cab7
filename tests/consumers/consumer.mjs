// A consumer of livepair's webhook, small and whole: copy it and build on it.
//
//     npm install express standardwebhooks
//     WEBHOOK_SECRET=whsec_... PORT=8000 node consumer.mjs    # takes messages at /webhook
//     node consumer.mjs show                                  # what is known of each pair, a JSON line each
//
// Put a proxy with TLS before it. A message is acknowledged once it is on disk and never before, so this may
// be killed at any moment: what was not acknowledged comes again. Node 20 has no database of its own, so a
// message is a line in a file that one process writes. Writing waits for the disk on purpose: so nothing can
// come between looking whether a message is known and keeping it. With many a second take a database.

import { fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import express from "express";
import { Webhook } from "standardwebhooks";

const { WEBHOOK_SECRET = "", PORT = "8000", STORE = "consumer.jsonl" } = process.env;
const OUTCOMES = ["matched", "mismatched", "rejected", "incomplete", "failed"];

const messages = new Set(); // ids
const recordings = new Map(); // MD5 of a live package that matched -> its pair
const pairs = new Map(); // pair -> what is known of it

/** What a message says of its pair; null for a test and for types that came after this was written. */
function read({ id, type, timestamp, data }) {
  if (!OUTCOMES.some((outcome) => type === `verification.${outcome}`)) return null;
  const times = [data.live, data.image].filter((half) => half !== null).map((half) => half.uploaded_at);
  return {
    pair: JSON.stringify(Object.fromEntries(Object.entries(data.pair).sort())),
    state: data.outcome,
    advice: data.reason === null ? null : data.reason.advice,
    message: id,
    md5: data.outcome === "matched" ? data.live.md5 : null,
    // Messages overtake each other: the newest uploads count, then the larger run, then the last decision.
    rank: [times.sort().at(-1) ?? "", data.run, timestamp],
  };
}

function apply(message, told = read(message)) {
  messages.add(message.id);
  if (told === null) return;
  const { pair, md5, ...found } = told;
  // A recording proves one thing once. Seen before under another pair, it was played again.
  if (md5 !== null && !recordings.has(md5)) recordings.set(md5, pair);
  const owner = recordings.get(md5) ?? pair;
  if (owner !== pair) Object.assign(found, { state: "replay", replay_of: owner });
  const known = pairs.get(pair);
  const n = known ? found.rank.findIndex((value, n) => value !== known.rank[n]) : 0;
  if (!known || found.rank[n] > known.rank[n]) pairs.set(pair, found);
}

/** Read the file. Returns its length without a line that was cut off: nobody was told that it was kept. */
function load() {
  const data = readFileSync(STORE, { flag: "a+" });
  const size = data.lastIndexOf("\n") + 1;
  const lines = data.subarray(0, size).toString().split("\n").slice(0, -1);
  for (const line of lines) apply(JSON.parse(line));
  return size;
}

function serve(secrets) {
  const verifiers = secrets.map((secret) => new Webhook(secret)); // throws where there is none
  let size = load();
  const file = openSync(STORE, "a");
  ftruncateSync(file, size);

  function keep(message) {
    const line = Buffer.from(`${JSON.stringify(message)}\n`);
    try {
      for (let done = 0; done < line.length; ) done += writeSync(file, line, done);
      fsyncSync(file);
      size += line.length;
    } catch (error) {
      ftruncateSync(file, size); // half a line is none
      throw error;
    }
  }

  /** The message if one of the secrets signed it, else undefined. */
  function genuine(request) {
    for (const verifier of verifiers) {
      try {
        return verifier.verify(request.body, request.headers);
      } catch {} // by the next secret, or by nobody
    }
  }

  const app = express();
  app.post("/webhook", express.raw({ type: () => true, limit: "1mb" }), (request, response) => {
    const message = genuine(request);
    // livepair tries again for three days: a secret that is being rotated heals, another version is learned.
    if (!message) return response.status(401).send("not genuine\n");
    if (message.version !== 1) return response.status(501).send("only version 1 is understood here\n");
    if (!messages.has(message.id)) {
      const told = read(message); // throws where something is missing: answered 500, and nothing is kept
      try {
        keep(message);
      } catch (error) {
        console.error(`not stored: ${error.message}`);
        return response.status(503).set("retry-after", "60").send("not stored\n");
      }
      apply(message, told);
    }
    response.sendStatus(204);
  });
  const server = app.listen(Number(PORT), "127.0.0.1", (error) => {
    if (error) throw error;
    console.log(`listening on http://127.0.0.1:${server.address().port}/webhook`);
  });
}

// JSON lets pass what a terminal takes for a command, such as \u009b.
const ascii = (json) => json.replace(/[^ -~]/g, (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0"));

if (process.argv[2] === "show") {
  load();
  for (const [pair, { state, advice, message, replay_of = null }] of pairs)
    console.log(ascii(JSON.stringify({ pair: JSON.parse(pair), state, advice, message, replay_of })));
} else serve(WEBHOOK_SECRET.trim().split(/\s+/));
