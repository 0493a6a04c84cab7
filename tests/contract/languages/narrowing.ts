// What `tsc --strict` has to take and to refuse of events/types/livepair.ts.

import { isMessage, type Advice, type Envelope, type Message } from "../../../events/types/livepair.js";

export function read(body: string): string {
  const envelope = JSON.parse(body) as Envelope;
  // @ts-expect-error: what is told is not known before the type is.
  envelope.data.outcome;
  return isMessage(envelope) ? told(envelope) : envelope.type;
}

export function told(message: Message): string {
  switch (message.type) {
    case "verification.matched": {
      const similarity: number = message.data.similarity;
      const md5: string = message.data.live.md5;
      const none: null = message.data.reason;
      const called: "Success" = message.data.api.code;
      return [similarity.toFixed(1), md5, none, called, message.data.pair["id"]].join();
    }
    case "verification.mismatched": {
      const advice: Advice = message.data.reason.advice;
      // @ts-expect-error: the API may say that they differ without saying how much.
      message.data.similarity.toFixed(1);
      return advice;
    }
    case "verification.rejected": {
      const category: "spoof" | "liveness" | "capture" | "image" = message.data.reason.category;
      // @ts-expect-error: an upload that is too large is not read, so its MD5 may not be known.
      message.data.live.md5.length;
      // @ts-expect-error: nobody judged.
      message.data.similarity.toFixed(1);
      return category;
    }
    case "verification.incomplete": {
      const { live, image } = message.data;
      if (message.data.live === null) return message.data.image.key + message.data.reason.code.length;
      // @ts-expect-error: the other one is missing.
      image.key;
      return live?.key ?? "";
    }
    case "verification.failed": {
      // @ts-expect-error: nothing may be known of the uploads.
      message.data.live.key;
      const metadata: Record<string, string> | undefined = message.data.live?.metadata;
      return message.data.reason.code + (metadata?.["attempt"] ?? "");
    }
    case "webhook.test":
      // @ts-expect-error: it is about no verification.
      message.data.outcome;
      return message.data.note;
    default: {
      const none: never = message; // every type is above
      return none;
    }
  }
}
