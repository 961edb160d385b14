import type { Clock, RandomSource } from "../../clock.ts";
import { fingerprintOf, type Notice } from "./notice.ts";
import type { Notifier, SendOutcome } from "./notifier.ts";

/** Tells a notifier, at once, of an alert that there is not, and that it is over. Never rejects. */
export async function testNotifier(
  notifier: Notifier,
  {
    clock,
    random,
    requestedBy,
    signal,
  }: {
    readonly clock: Clock;
    readonly random: RandomSource;
    readonly requestedBy: string;
    readonly signal: AbortSignal;
  },
): Promise<SendOutcome> {
  const bytes = new Uint8Array(8);
  random.fill(bytes);
  const id = Buffer.from(bytes).toString("hex");
  const nowMs = clock.now();
  const notice: Notice = {
    fingerprint: fingerprintOf("RetakeTest", id),
    status: "firing",
    severity: "warning",
    labels: { alertname: "RetakeTest", severity: "warning", test: id },
    annotations: {
      summary: "This is a test: nothing is wrong",
      description: `${requestedBy} has asked the notifier ${notifier.name} for it.`,
    },
    value: Number.NaN,
    startMs: nowMs,
  };
  const fired = await notifier.send({ notices: [notice], id: `test_${id}`, signal });
  if (fired.kind !== "delivered") return fired;
  const resolved: Notice = { ...notice, status: "resolved", endMs: Math.max(clock.now(), nowMs + 1) };
  return notifier.send({ notices: [resolved], id: `test_${id}_over`, signal });
}
