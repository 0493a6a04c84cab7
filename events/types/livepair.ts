/**
 * livepair's webhook messages, version 1. Within it a message may gain fields, codes and regions, so take
 * what you do not know. The lists of types, outcomes, categories and advice stay as they are.
 * Made from events/message.schema.json by `make docs`: change that, not this.
 */

export type Outcome = "matched" | "mismatched" | "rejected" | "incomplete" | "failed";

export type Category = "similarity" | "spoof" | "liveness" | "capture" | "image" | "missing" | "service" | "configuration";

export type Advice = "retake_live" | "replace_image" | "upload_missing" | "review" | "retry_later" | "fix_configuration" | "none";

/** What every message has, also one of a type that comes later. */
export interface Envelope {
  /**
   * The message's id, equal to the webhook-id header: `msg_` and the verification's id. It is the same in
   * every attempt, so drop repeats by it. Opaque; it holds no `.`.
   */
  id: string;
  /**
   * What the message is about: `verification.` and the outcome, or `webhook.test`, which tells of no
   * verification.
   */
  type: string;
  /**
   * When it was decided; not when it was sent. Messages can arrive out of order: for one pair, the one
   * with the newest uploads is current.
   */
  timestamp: string;
  /** The version of this format. It is raised by changes that are more than additions. */
  version: number;
  /** What is told: of a verification, or of a test. */
  data: unknown;
}

/** Why it is not matched. */
export interface Reason {
  /**
   * The API's own code as it came, or one of livepair's, which begin with `Livepair.`. Open: the API adds
   * codes. Decide by category and advice.
   */
  code: string;
  /**
   * What kind of reason it is. similarity: not the same person. spoof: said to be a fake. liveness: not
   * shown to be live. capture: light, framing or faces in the video. image: the photo. missing: the other
   * half. service: the API or the way to it. configuration: settings or permissions of the function.
   */
  category: Category;
  /** For operators, not for the person who was recorded. Open: its words may change. */
  message: string;
  /**
   * What to do. retake_live: record again. replace_image: use another photo. upload_missing: upload the
   * other half. review: let a human look. retry_later: try again later. fix_configuration: the function's
   * operator must act. none: nothing.
   */
  advice: Advice;
}

/** One upload of the pair. */
export interface Upload {
  /** The bucket's full name, name-appid. */
  bucket: string;
  /** The object's key, not percent-encoded. It is chosen outside livepair: escape it where you show it. */
  key: string;
  /**
   * MD5 of the bytes, 32 lower-case hex digits; null only where the upload was never read through: too
   * large, or archived.
   */
  md5: string | null;
  /** Size in bytes. */
  size: number;
  /** The object's Last-Modified. */
  uploaded_at: string;
  /**
   * What the uploader sent as x-cos-meta-*, by the names that PASS_METADATA lists; there only if it lists
   * any. A name that the upload lacks is left out, and so is a value of more than 256 bytes in UTF-8. The
   * words are chosen outside livepair: escape them where you show them.
   */
  metadata?: Record<string, string>;
}

/** The stored best frame. */
export interface BestFrame {
  /** The state bucket's full name, name-appid. */
  bucket: string;
  /** The JPEG's key there. */
  key: string;
  /** MD5 of the JPEG, 32 lower-case hex digits, checked when it was stored. */
  md5: string;
}

/** The call behind a verification. */
export interface Api {
  /** RequestId of the last answer, for Tencent's support; null where the last answer brought none. */
  request_id: string | null;
  /** Where the API was called. Open: Tencent may add regions. */
  region: string;
  /**
   * The code of the last answer: `Success`, another of the API's, or one of livepair's where there was no
   * answer. Open, like reason.code; it differs from that where livepair had the last word.
   */
  code: string;
  /** How many calls the API may have executed for this verification. */
  calls: number;
}

/** A pair with particular bytes and a run number, and what came of it. */
export interface Verification {
  /**
   * The verification's id: the same bytes under the same keys in the same run have the same one. Opaque;
   * it holds no `.` and no personal data.
   */
  verification_id: string;
  /** Which run over the same bytes this is, from 1. Further ones come only after `failed` or `incomplete`. */
  run: number;
  /**
   * matched: a live person, and the one in the image. mismatched: judged, but not the same person.
   * rejected: the recording or the image does not do. incomplete: the other half did not come in time.
   * failed: no verdict could be had.
   */
  outcome: Outcome;
  /**
   * The values of the placeholders in LIVE_KEY, by name, as in the object keys: the application's own
   * reference. They are chosen outside livepair: escape them where you show them.
   */
  pair: Record<string, string>;
  /**
   * How alike the two faces are, 0 to 100, as the API says; null where it says nothing or gave no
   * verdict.
   */
  similarity: number | null;
  /** MIN_SIMILARITY when this was decided, 0 to 100: at or above it the two faces are the same person. */
  min_similarity: number;
  /** Why it is not matched; null for matched. */
  reason: Reason | null;
  /** The live package; null where it is missing or could not be looked at. */
  live: Upload | null;
  /** The image; null where it is missing or could not be looked at. */
  image: Upload | null;
  /**
   * The stored best frame of the live package; null where there is none: without a verdict, with
   * KEEP_BEST_FRAME off, or where it could not be had.
   */
  best_frame: BestFrame | null;
  /** The call behind it; null where it was decided without one. */
  api: Api | null;
}

/** One upload of the pair. */
export interface JudgedUpload extends Upload {
  md5: string;
}

/** The call behind a verification. */
export interface MatchedApi extends Api {
  code: "Success";
}

/** A live person, and the one in the image. */
export interface Matched extends Verification {
  outcome: "matched";
  similarity: number;
  reason: null;
  live: JudgedUpload;
  image: JudgedUpload;
  api: MatchedApi;
}

/** A live person, and the one in the image. */
export interface MatchedMessage extends Envelope {
  type: "verification.matched";
  version: 1;
  data: Matched;
}

/** Why it is not matched. */
export interface MismatchedReason extends Reason {
  category: "similarity";
}

/** Judged, but not the same person. */
export interface Mismatched extends Verification {
  outcome: "mismatched";
  reason: MismatchedReason;
  live: JudgedUpload;
  image: JudgedUpload;
  api: Api;
}

/** Judged, but not the same person. */
export interface MismatchedMessage extends Envelope {
  type: "verification.mismatched";
  version: 1;
  data: Mismatched;
}

/** Why it is not matched. */
export interface RejectedReason extends Reason {
  category: "spoof" | "liveness" | "capture" | "image";
}

/** The recording or the image does not do. */
export interface Rejected extends Verification {
  outcome: "rejected";
  similarity: null;
  reason: RejectedReason;
  live: Upload;
  image: Upload;
  best_frame: null;
}

/** The recording or the image does not do. */
export interface RejectedMessage extends Envelope {
  type: "verification.rejected";
  version: 1;
  data: Rejected;
}

/** Why it is not matched. */
export interface IncompleteWithoutLiveReason extends Reason {
  code: "Livepair.LiveMissing";
  category: "missing";
}

/** The live package did not come in time. */
export interface IncompleteWithoutLive extends Verification {
  outcome: "incomplete";
  similarity: null;
  reason: IncompleteWithoutLiveReason;
  live: null;
  image: Upload;
  best_frame: null;
  api: null;
}

/** Why it is not matched. */
export interface IncompleteWithoutImageReason extends Reason {
  code: "Livepair.ImageMissing";
  category: "missing";
}

/** The image did not come in time. */
export interface IncompleteWithoutImage extends Verification {
  outcome: "incomplete";
  similarity: null;
  reason: IncompleteWithoutImageReason;
  live: Upload;
  image: null;
  best_frame: null;
  api: null;
}

/** The other half did not come in time. */
export interface IncompleteMessage extends Envelope {
  type: "verification.incomplete";
  version: 1;
  data: IncompleteWithoutLive | IncompleteWithoutImage;
}

/** Why it is not matched. */
export interface FailedReason extends Reason {
  category: "service" | "configuration";
}

/** No verdict could be had of these uploads. */
export interface FailedWithUploads extends Verification {
  outcome: "failed";
  similarity: null;
  reason: FailedReason;
  live: Upload;
  image: Upload;
  best_frame: null;
}

/** The uploads may not be read: nothing is known of either. */
export interface FailedUnread extends Verification {
  outcome: "failed";
  similarity: null;
  reason: FailedReason;
  live: null;
  image: null;
  best_frame: null;
}

/** No verdict could be had. */
export interface FailedMessage extends Envelope {
  type: "verification.failed";
  version: 1;
  data: FailedWithUploads | FailedUnread;
}

/** The data of webhook.test. */
export interface Test {
  /** For whoever reads it. Open: its words may change. */
  note: string;
}

/** The data of webhook.test. */
export interface TestMessage extends Envelope {
  type: "webhook.test";
  version: 1;
  data: Test;
}

/** Every message: `switch (message.type)` tells them apart. */
export type Message =
  | MatchedMessage
  | MismatchedMessage
  | RejectedMessage
  | IncompleteMessage
  | FailedMessage
  | TestMessage;

/** All types of message. */
export const TYPES: readonly Message["type"][] = [
  "verification.matched",
  "verification.mismatched",
  "verification.rejected",
  "verification.incomplete",
  "verification.failed",
  "webhook.test",
];

/** Whether a message is one of these; if not, it came after this file: answer 2xx, and leave it. */
export function isMessage(envelope: Envelope): envelope is Message {
  return envelope.version === 1 && (TYPES as readonly string[]).includes(envelope.type);
}
