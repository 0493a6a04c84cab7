// The backend of an app that has livepair judge recordings, small and whole: copy it and build on it.
//
//     (cd ../consumers && npm ci --ignore-scripts); npm ci --ignore-scripts     # or, for a copy elsewhere, npm install what package.json names
//     BUCKET=faces-1250000000 REGION=ap-singapore SECRET_ID=... SECRET_KEY=... WEBHOOK_SECRET=whsec_... \
//         PORT=8000 node backend.mjs
//
// POST /verifications begins one, GET /verifications/<id>?wait=20 answers when there is something to say, and
// POST /webhook takes livepair's messages. Copy consumers/ and texts/ with it, beside its folder: it adds to the
// consumer, whose `show` and `clear` work on the same STORE. The keys are those of handler/policy.backend.json.
//
// Two things are yours to replace: `person`, and where `referenceImage` finds the photo. One process at a time: like
// the consumer it keeps its attempts in a file, STORE.attempts. With several take a database.

import { createHash, randomUUID } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import COS from "cos-nodejs-sdk-v5";
import express from "express";
import { CommonClient } from "tencentcloud-sdk-nodejs-common";
import { cleared, consumer, failed, messages, named, pairs } from "../consumers/consumer.mjs";

const LIMITS = [[15 * 60, 3], [24 * 3600, 10]]; // in so many seconds a person may begin so many verifications
const LINK_SECONDS = 600;
const LONGEST_WAIT = 25; // seconds; keep it under what your proxy allows
const LARGEST = "15mb"; // of a request: an image of 10 MB in base64, and DeviceData
const ONE_PUT = { "x-cos-forbid-overwrite": "true" }; // signed into the link: it is good for one recording

const { BUCKET: Bucket, REGION: Region, SECRET_ID, SECRET_KEY, LOCAL_CLOUD } = process.env;
const { PORT = "8000", STORE = "consumer.jsonl", IMAGES = "images" } = process.env;
const { FACEID_ENDPOINT = "faceid.tencentcloudapi.com" } = process.env; // or faceid.intl…: `doctor` says which
const ATTEMPTS = `${STORE}.attempts`;

const folder = new URL("../texts/", import.meta.url);
const texts = readdirSync(folder).filter((name) => name.endsWith(".json"));
const languages = texts.map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")));
const WORDS = new Map(languages.flatMap((each) => each.tags.map((tag) => [tag.toLowerCase(), each])));

// What was wrong with the recording, by the code's last part; words.py and words.ts say the same.
const CAPTURE = {
  ActionLightDark: "too_dark", ActionLightStrong: "too_bright", ActionNodetectFace: "face_not_seen",
  ActionFaceLeft: "face_not_seen", ActionFaceRight: "face_not_seen", SilentFaceDetectFail: "face_not_seen",
  SilentFaceWithMaskFail: "face_not_seen", SilentMultiFaceFail: "several_faces", SilentTooShort: "too_short",
  ActionFaceFar: "too_far", ActionFaceClose: "too_close",
};

/** The key of the words for a message of livepair. */
export function keyOf({ type, data: { live, reason } }) {
  const outcome = type.replace("verification.", "");
  if (outcome === "rejected" && reason.category === "capture") {
    const last = reason.code.slice(reason.code.lastIndexOf(".") + 1);
    return Object.hasOwn(CAPTURE, last) ? CAPTURE[last] : "film_again";
  }
  if (outcome === "rejected") return reason.category === "image" ? "another_photo" : "not_confirmed";
  // The image is the backend's to place: the person can do nothing about it.
  if (outcome === "incomplete") return live === null ? "film_again" : "later";
  return { matched: "done", mismatched: "not_confirmed", failed: "later" }[outcome];
}

class Refused extends Error {
  constructor(status, text, headers = {}) {
    super(text);
    Object.assign(this, { status, headers });
  }
}

/** Who asks: an opaque id. Replace this by your login: here everybody is who they say. */
function person(request) {
  const found = request.get("x-person");
  if (!found) throw new Refused(401, "who are you?");
  return found;
}

/**
 * The photo to compare with: who chooses it decides who the person has to be. Best your own, by its id. Take one from
 * the app only if something else says whose face it shows.
 */
function referenceImage({ image, image_id }) {
  if (image_id !== undefined) {
    try {
      return readFileSync(join(IMAGES, basename(String(image_id))));
    } catch {
      throw new Refused(404, "no such image");
    }
  }
  if (typeof image !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(image)) throw new Refused(400, "no image");
  return Buffer.from(image, "base64"); // the bytes themselves go to COS
}

// --- attempts: a line in a file each, and one more for each that is given back ----------------------------

const attempts = new Map(); // id -> { id, who, at }

function note(line) {
  if (line.back) attempts.delete(line.id);
  else attempts.set(line.id, line);
}

function write(line) {
  appendFileSync(ATTEMPTS, `\n${JSON.stringify(line)}`, { flush: true }); // what was cut off spoils no other line
  note(line);
}

/** Count an attempt and return its id, or answer 429: before anything is uploaded, asked or billed. */
function begin(who) {
  const now = Date.now() / 1000;
  for (const [seconds, most] of LIMITS) {
    const counted = [...attempts.values()].filter((each) => each.who === who && each.at > now - seconds);
    if (counted.length >= most) {
      const first = Math.min(...counted.map(({ at }) => at));
      throw new Refused(429, "too many attempts", { "retry-after": String(Math.ceil(first + seconds - now)) });
    }
  }
  const id = randomUUID().replaceAll("-", "");
  write({ id, who, at: now });
  return id;
}

// --- Tencent Cloud --------------------------------------------------------------------------------------------

/** For tests: LOCAL_CLOUD is an http proxy that plays Tencent Cloud. */
class Through extends http.Agent {
  addRequest(request, options) {
    const { hostname: host, port } = new URL(LOCAL_CLOUD);
    request.path = `http://${options.host}${request.path}`;
    super.addRequest(request, { ...options, host, port });
  }
}
const [scheme, agent] = LOCAL_CLOUD ? ["http:", new Through()] : ["https:", undefined];
const keys = { SecretId: SECRET_ID, SecretKey: SECRET_KEY };
const cos = new COS({ ...keys, Protocol: scheme, Proxy: LOCAL_CLOUD });
const api = new CommonClient(FACEID_ENDPOINT, "2018-03-01", {
  credential: { secretId: SECRET_ID, secretKey: SECRET_KEY },
  region: Region,
  profile: { language: "en-US", httpProfile: { protocol: `${scheme}//`, reqTimeout: 10, agent } },
});

const put = (Key, Body) => cos.putObject({ Bucket, Region, Key, Body, Headers: ONE_PUT });
const link = (Key, Method, Headers = {}) =>
  cos.getObjectUrl({ Bucket, Region, Key, Method, Headers, Expires: LINK_SECONDS, Sign: true });
const md5 = (data) => createHash("md5").update(data).digest("hex");

function download(url) {
  return new Promise((resolve, reject) => {
    const { get } = scheme === "http:" ? http : https;
    const asked = get(url.replace(/^https?:/, scheme), { agent, timeout: 10_000 }, async (answer) => {
      if (answer.statusCode !== 200) return reject(new Error(`the sequence's link answered ${answer.statusCode}`));
      answer.toArray().then((parts) => resolve(Buffer.concat(parts)), reject);
    });
    asked.on("error", reject).on("timeout", () => asked.destroy(new Error("the sequence does not come")));
  });
}

/** What startAuthByLightData takes, for what startGetAuthConfigData gave. */
async function colourSequence(attempt, deviceData) {
  const body = Buffer.from(deviceData).toString("base64");
  const key = `device-data/${attempt}`; // outside of the trigger's prefix: no event
  await put(key, body);
  const { ReflectSequenceUrl, ReflectSequenceMd5 } = await api.request("GenerateReflectSequence", {
    DeviceDataUrl: link(key, "GET"),
    DeviceDataMd5: md5(body),
    SecurityLevel: "4", // blinking and light
  });
  const sequence = await download(ReflectSequenceUrl);
  if (md5(sequence) !== ReflectSequenceMd5.toLowerCase()) throw new Error("the colour sequence came damaged");
  return sequence.toString();
}

// --- the three endpoints ----------------------------------------------------------------------------------------

/** The key of the words for an attempt of this person, undefined while there is nothing to say. */
function standing(who, id) {
  if (attempts.get(id)?.who !== who) throw new Refused(404, "no such verification");
  const pair = named({ id });
  if (![...messages.values()].some((each) => each?.pair === pair)) return undefined;
  const mine = new Set([...attempts.values()].filter((each) => each.who === who).map(({ id }) => id));
  const known = pairs(cleared()).filter(({ pair }) => mine.has(pair.id));
  const key = keyOf(messages.get(known.find(({ pair }) => pair.id === id).message));
  // In whichever attempt it was: what is suspicious stays so until a human clears it.
  return key === "done" && known.some(({ suspicions }) => suspicions.length) ? "not_confirmed" : key;
}

/** What there is in the first language of Accept-Language that there is: zh-Hant-TW, else zh-Hant, else zh. */
function language(request) {
  for (const asked of request.acceptsLanguages()) // the best first
    for (let tag = asked.toLowerCase(); tag; tag = tag.replace(/-?[^-]*$/, "")) if (WORDS.has(tag)) return WORDS.get(tag);
  return WORDS.get("en");
}

function serve() {
  const needed = ["BUCKET", "REGION", "SECRET_ID", "SECRET_KEY", "WEBHOOK_SECRET"];
  const missing = needed.filter((name) => !process.env[name]);
  if (missing.length) throw new Error(`not set: ${missing.join(", ")}`);
  for (const line of readFileSync(ATTEMPTS, { encoding: "utf8", flag: "a+" }).split("\n")) {
    try {
      note(JSON.parse(line));
    } catch {} // cut off: nobody was told of it
  }
  const app = consumer(); // it has POST /webhook

  app.post("/verifications", express.json({ limit: LARGEST }), async (request, response) => {
    const who = person(request);
    if (typeof request.body?.device_data !== "string") throw new Refused(400, "no device_data");
    const image = referenceImage(request.body);
    const id = begin(who);
    try {
      const sequence = await colourSequence(id, request.body.device_data);
      await put(`uploads/${id}/image.jpg`, image);
      const ends = new Date(Date.now() + LINK_SECONDS * 1000).toISOString().replace(/\.\d+/, "");
      const url = link(`uploads/${id}/live.gz`, "PUT", ONE_PUT);
      response.status(201).json({ id, sequence, upload: { url, headers: ONE_PUT, ends } });
    } catch (error) {
      console.error(`no sequence for ${id}: ${error.code ?? error.message}`);
      // Of the parameters, the app made DeviceData alone.
      if (String(error.code).startsWith("InvalidParameter")) throw new Refused(400, "device_data is not right");
      write({ id, back: true }); // not the person's fault
      throw new Refused(503, "try again later", { "retry-after": "2" });
    }
  });

  app.get("/verifications/:id", async (request, response) => {
    const who = person(request);
    const until = Date.now() + Math.min(Number(request.query.wait) || 0, LONGEST_WAIT) * 1000;
    let key;
    while ((key = standing(who, request.params.id)) === undefined && Date.now() < until) await sleep(250);
    response.set("cache-control", "no-store");
    if (key === undefined) return response.json({ status: "waiting" });
    // Never a code, a category or a similarity: they would help who tries a mask.
    const { tags, texts } = language(request);
    const status = ["done", "not_confirmed", "another_photo", "later"].includes(key) ? key : "film_again";
    response.set("content-language", tags[0]).json({ status, words: texts[key] });
  });

  app.use((error, request, response, next) => {
    if (!(error instanceof Refused || error.expose)) return next(error); // expose: the body is no JSON, or too large
    response.status(error.status).set(error.headers ?? {}).type("text").send(`${error.message}\n`);
  });

  const server = app.listen(Number(PORT), "127.0.0.1", (error) => {
    if (error) failed(error);
    console.log(`listening on http://127.0.0.1:${server.address().port}/`);
  });
}

if (realpathSync(process.argv[1] ?? "") === fileURLToPath(import.meta.url))
  try {
    serve();
  } catch (error) {
    failed(error);
  }
