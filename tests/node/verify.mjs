// Verifies messages by the official library for Node.js. Cases come as JSON lines on stdin, and each is answered
// by a line on stdout: whether the message is genuine for the secret, at the time `now` (Unix seconds).

import { createInterface } from "node:readline";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, body, headers, now } = JSON.parse(line);
  Date.now = () => now * 1000;
  let answer;
  try {
    const message = new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    answer = { genuine: true, message };
  } catch (error) {
    answer = { genuine: false, error: error.message, expected: error instanceof WebhookVerificationError };
  }
  console.log(JSON.stringify(answer));
}
