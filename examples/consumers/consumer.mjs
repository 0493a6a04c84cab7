// A consumer of livepair's webhook, small and whole: copy it and build on it.
//
//     npm ci --ignore-scripts      # or, for a copy elsewhere: npm install express standardwebhooks
//     BUCKET=faces-1250000000 WEBHOOK_SECRET=whsec_... PORT=8000 node consumer.mjs    # messages to /webhook
//     node consumer.mjs show                      # what is known of each pair, a JSON line each
//     node consumer.mjs clear '{"id": "42"}'      # a human looked at what is suspicious about this pair
//
// Put a proxy with TLS before it. A message is acknowledged once it is on disk and never before, so this may
// be killed at any moment: what was not acknowledged comes again. Node 20 has no database of its own, so a
// message is a line in a file that one process writes; what was cleared stands in another. Writing waits for the
// disk on purpose: so nothing can come between looking whether a message is known and keeping it. With many a
// second take a database. `pairs()` follows from the messages alone, in whatever order they came, so a later one
// may change it.

import { appendFileSync, fsyncSync, ftruncateSync, openSync, readFileSync, realpathSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import express from "express";
import { Webhook } from "standardwebhooks";

const { BUCKET = "", WEBHOOK_SECRET = "", PORT = "8000", STORE = "consumer.jsonl" } = process.env;
const CLEARED = `${STORE}.cleared`; // ids of messages, a line each
const MAX_TRIES = 5; // verdicts about one pair; each one more is a guess too many
const JUDGED = ["matched", "mismatched", "rejected"];
const TYPES = [...JUDGED, "incomplete", "failed"].map((outcome) => `verification.${outcome}`);

export const messages = new Map(); // id -> what it says of its pair, null for a test and for types that came later

function read({ id, type, timestamp, data }) {
  if (!TYPES.includes(type)) return null;
  const { outcome, live, image, reason } = data;
  const times = [live, image].filter((half) => half !== null).map((half) => half.uploaded_at);
  const review = reason?.advice === "review" ? "review" : null;
  return {
    id,
    type,
    data,
    pair: named(data.pair),
    outcome,
    advice: reason === null ? null : reason.advice,
    // Messages overtake each other: the newest uploads count, then the larger run, then the last decision.
    rank: [times.sort().at(-1) ?? "", data.run, timestamp, id],
    judged: JUDGED.includes(outcome) && data.api !== null, // this was a verdict of the API
    suspect: reason?.category === "spoof" ? "spoof" : review,
    recording: outcome === "matched" ? live : null,
  };
}

export const named = (pair) => JSON.stringify(Object.fromEntries(Object.entries(pair).sort()));
const later = (one, other) => {
  const n = one.findIndex((value, n) => value !== other[n]);
  return n >= 0 && one[n] > other[n];
};

/** What is known of each pair. `cleared` are the ids of messages that a human has looked at. */
export function pairs(cleared) {
  const told = [...messages.values()].filter((each) => each !== null);
  const first = new Map(); // MD5 of a recording -> the match whose upload of it was the earliest
  for (const each of told.filter(({ recording }) => recording !== null)) {
    const { md5, uploaded_at } = each.recording;
    const known = first.get(md5);
    if (!known || later([known.recording.uploaded_at, known.pair], [uploaded_at, each.pair])) first.set(md5, each);
  }
  const known = new Map();
  for (const each of told) known.set(each.pair, [...(known.get(each.pair) ?? []), each]);
  return [...known].sort().map(([pair, all]) => {
    const { outcome, advice, id } = all.reduce((one, other) => (later(other.rank, one.rank) ? other : one));
    const open = all.filter(({ id }) => !cleared.has(id));
    // A recording proves one thing once. Under whichever pair it was uploaded first, it is genuine.
    const owners = open.map(({ recording }) => recording && first.get(recording.md5).pair);
    const [replayOf = null] = owners.filter((owner) => owner !== null && owner !== pair).sort();
    const tries = (among) => among.filter(({ judged }) => judged).length;
    // What is suspicious stays so, whatever is uploaded next, until a human clears it.
    const suspicions = new Set(open.map(({ suspect }) => suspect).filter((suspect) => suspect !== null));
    if (replayOf !== null) suspicions.add("replay");
    if (tries(open) > MAX_TRIES) suspicions.add("tries");
    return {
      pair: JSON.parse(pair),
      state: outcome === "matched" && suspicions.size ? "review" : outcome,
      advice,
      message: id,
      suspicions: [...suspicions].sort(),
      replay_of: JSON.parse(replayOf),
      tries: tries(all),
    };
  });
}

/** Read the file. Returns its length without a line that was cut off: nobody was told that it was kept. */
function load() {
  const data = readFileSync(STORE, { flag: "a+" });
  const size = data.lastIndexOf("\n") + 1;
  const lines = data.subarray(0, size).toString().split("\n").slice(0, -1);
  for (const message of lines.map((line) => JSON.parse(line))) messages.set(message.id, read(message));
  return size;
}

/** An Express app that takes messages at /webhook. Throws where a setting is missing or wrong. */
export function consumer() {
  const buckets = BUCKET.split(/\s+/).filter(Boolean);
  const secrets = WEBHOOK_SECRET.split(/\s+/).filter(Boolean);
  if (!buckets.length || !secrets.length)
    throw new Error("BUCKET and WEBHOOK_SECRET are needed: messages about any other are refused");
  let verifiers;
  try {
    if (!secrets.every((secret) => secret.startsWith("whsec_"))) throw new Error();
    verifiers = secrets.map((secret) => new Webhook(secret));
  } catch {
    throw new Error("WEBHOOK_SECRET is none: whsec_ and base64 it must be"); // what it was is not shown
  }
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
    // livepair tries again for three days: a secret that is being rotated heals, another version is learned,
    // and what is signed for another bucket decides nothing here.
    if (!message) return response.status(401).send("not genuine\n");
    if (message.version !== 1) return response.status(501).send("only version 1 is understood here\n");
    if ([message.data.live, message.data.image].some((half) => half && !buckets.includes(half.bucket)))
      return response.status(403).send("about another bucket\n");
    if (!messages.has(message.id)) {
      const told = read(message); // throws where something is missing: answered 500, and nothing is kept
      try {
        keep(message);
      } catch (error) {
        console.error(`not stored: ${error.message}`);
        return response.status(503).set("retry-after", "60").send("not stored\n");
      }
      messages.set(message.id, told);
    }
    response.sendStatus(204);
  });
  return app;
}

/** Say in one line why nothing is served. */
export function failed(error) {
  console.error(error.message);
  process.exit(1);
}

function serve() {
  const server = consumer().listen(Number(PORT), "127.0.0.1", (error) => {
    if (error) failed(error);
    console.log(`listening on http://127.0.0.1:${server.address().port}/webhook`);
  });
}

/** The ids of the messages that a human has looked at, which `clear` may have added to meanwhile. */
export const cleared = () => new Set(readFileSync(CLEARED, { encoding: "utf8", flag: "a+" }).split("\n"));

function show() {
  load();
  // All that is not printable ASCII is escaped: uploaders chose what stands in a pair.
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  for (const each of pairs(cleared())) console.log(JSON.stringify(each).replace(/[^\x20-\x7e]/g, escape));
}

function clear(pair) {
  load();
  const found = [...messages.values()].filter((each) => each?.pair === pair).map(({ id }) => `${id}\n`);
  appendFileSync(CLEARED, found.join(""), { flush: true });
  console.log(`cleared, as far as ${found.length} messages go`);
}

const [program = "", command, pair] = process.argv.slice(1);
if (realpathSync(program) === fileURLToPath(import.meta.url)) {
  if (command === "show") show();
  else if (command === "clear" && pair) clear(named(JSON.parse(pair)));
  else if (command) failed({ message: `show, clear '{"id": "42"}', or nothing: then it takes messages` });
  else
    try {
      serve();
    } catch (error) {
      failed(error);
    }
}
