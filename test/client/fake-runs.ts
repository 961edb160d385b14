import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { createServiceImplSpec, type ServiceImpl, type Transport } from "@connectrpc/connect";
import {
  type AnimaticResponse,
  AnimaticResponseSchema,
} from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import {
  type Failure,
  FailureSchema,
  PayloadSchema,
  type RunEvent,
  RunEventSchema,
  type RunState,
} from "../../gen/retake/v1/run_pb.js";
import { RunService, type WatchRunResponse, WatchRunResponseSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock } from "../../src/clock.ts";
import { createInProcessTransport } from "../../src/transport/index.ts";

/** The id of the one run that fakes know. */
export const runId = "01936b2c-0000-7000-8000-000000000001";

export const workflow = "storycore.video.v1.VideoService/Animatic";

/** RunService as far as a test needs it, in this process. */
export function fakeTransport(implementation: Partial<ServiceImpl<typeof RunService>>, clock: Clock): Transport {
  return createInProcessTransport([createServiceImplSpec(RunService, implementation)], { clock });
}

type EventBody = NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>;

export function event(sequence: number, body: EventBody = { case: "rejoined", value: {} }): RunEvent {
  return create(RunEventSchema, { sequence: BigInt(sequence), event: body });
}

/** A journal of that many events, the last of which is terminal. */
export function journal(length: number, end: EventBody = succeeded()): RunEvent[] {
  return Array.from({ length }, (_, index) => event(index + 1, index + 1 === length ? end : undefined));
}

export const result: AnimaticResponse = create(AnimaticResponseSchema, {
  update: { case: "video", value: { mediaType: "video/mp4", artifact: { sha256: new Uint8Array([1, 2, 3]) } } },
});

export function resultPayload() {
  const value = anyPack(AnimaticResponseSchema, result);
  return create(PayloadSchema, { typeName: AnimaticResponseSchema.typeName, size: BigInt(value.value.length), value });
}

export function succeeded(): EventBody {
  return { case: "succeeded", value: { result: resultPayload() } };
}

export function failed(failure: Failure = someFailure): EventBody {
  return { case: "failed", value: { failure } };
}

export function cancelled(reason: string): EventBody {
  return { case: "cancelled", value: { reason } };
}

export function expired(): EventBody {
  return { case: "expired", value: {} };
}

export const someFailure: Failure = create(FailureSchema, {
  code: 14,
  reason: "GPU_LOST",
  message: "the card fell off the bus",
  referenceId: "ref-1",
});

export function eventMessage(value: RunEvent): WatchRunResponse {
  return create(WatchRunResponseSchema, { update: { case: "event", value } });
}

export function progressMessage(fraction: number | undefined, lastSequence = 0): WatchRunResponse {
  const progress = fraction === undefined ? {} : { progress: { stage: "sampling", fraction } };
  return create(WatchRunResponseSchema, {
    update: { case: "progress", value: { attempt: 1, lastSequence: BigInt(lastSequence), ...progress } },
  });
}

/** Holds a stream open until its caller leaves. */
export function untilGone(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

export function runInState(state: RunState, more: Record<string, unknown> = {}) {
  return { run: { runId, workflow, state, ...more } };
}

export async function readAll<T>(items: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = [];
  for await (const item of items) read.push(item);
  return read;
}
