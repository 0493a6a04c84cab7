// What to say to the person, from a message of livepair's webhook: one of a dozen keys. words.py beside this says
// the same, and why nothing else may be said.
//
// Copy this file, the texts beside it, and events/types/livepair.ts; then mend the path below.

import type { Message } from "../../events/types/livepair.js";

export type Key =
  | "done"
  | "not_confirmed"
  | "film_again"
  | "too_dark"
  | "too_bright"
  | "face_not_seen"
  | "several_faces"
  | "too_short"
  | "too_far"
  | "too_close"
  | "another_photo"
  | "later";

/** What was wrong with the recording, by the code's last part. All else about it is `film_again`. */
const CAPTURE = new Map<string, Key>([
  ["ActionLightDark", "too_dark"],
  ["ActionLightStrong", "too_bright"],
  ["ActionNodetectFace", "face_not_seen"],
  ["ActionFaceLeft", "face_not_seen"],
  ["ActionFaceRight", "face_not_seen"],
  ["SilentFaceDetectFail", "face_not_seen"],
  ["SilentFaceWithMaskFail", "face_not_seen"],
  ["SilentMultiFaceFail", "several_faces"],
  ["SilentTooShort", "too_short"],
  ["ActionFaceFar", "too_far"],
  ["ActionFaceClose", "too_close"],
]);

/** The key of the words for a message; null where there is nothing to say to anybody. */
export function keyOf(message: Message): Key | null {
  switch (message.type) {
    case "verification.matched":
      return "done";
    case "verification.mismatched":
      return "not_confirmed";
    case "verification.rejected": {
      const { category, code } = message.data.reason;
      if (category === "capture") return CAPTURE.get(code.slice(code.lastIndexOf(".") + 1)) ?? "film_again";
      return category === "image" ? "another_photo" : "not_confirmed";
    }
    case "verification.incomplete":
      // The image is the backend's to place: the person can do nothing about it.
      return message.data.live === null ? "film_again" : "later";
    case "verification.failed":
      return "later";
    default:
      return null; // a test, or a type that came after this was written
  }
}
