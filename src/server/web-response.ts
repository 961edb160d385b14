import type { ServerResponse } from "node:http";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { HeldBytes } from "./web-held.ts";

/**
 * Writes what a call answers, as fast as its reader takes it, and breaks off where too much is left unread. Never rejects: when the caller leaves, the answer is
 * told so and has to clean up, and what it fails with then concerns no one.
 */
export async function writeResponse(
  answer: UniversalServerResponse,
  response: ServerResponse,
  held: HeldBytes,
): Promise<void> {
  const body = answer.body?.[Symbol.asyncIterator]();
  let onRoom: (() => void) | undefined;
  const onDrain = (): void => onRoom?.();
  const onClose = (): void => {
    if (!response.writableFinished) {
      // Not awaited: what the answer waits for may never come.
      body?.return?.().catch(() => undefined);
    }
    onRoom?.();
  };
  response.on("drain", onDrain);
  response.once("close", onClose);
  try {
    for (let chunk = await body?.next(); chunk !== undefined && chunk.done !== true; chunk = await body?.next()) {
      if (response.destroyed) {
        return;
      }
      // Not before the first chunk: until then, the answer may change its headers.
      writeHead(answer, response);
      if (!response.write(chunk.value)) {
        if (!held.set(response.writableLength)) {
          // It has been begun, so that nothing else can be said.
          response.destroy();
          return;
        }
        await new Promise<void>((resolve) => {
          onRoom = resolve;
          if (response.destroyed) resolve();
        });
        held.set(0);
      }
    }
    writeHead(answer, response);
    response.end();
  } catch {
    // The protocols make an error of the call a part of its answer, so this one is of the connection.
    response.destroy();
  } finally {
    response.off("drain", onDrain);
    if (response.destroyed) {
      body?.return?.().catch(() => undefined);
    }
  }
}

function writeHead({ status, header }: UniversalServerResponse, response: ServerResponse): void {
  if (!response.headersSent) {
    response.writeHead(status, header === undefined ? {} : Object.fromEntries(header));
  }
}
