import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { create, createRegistry } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { resolveConfig } from "../../src/config/index.ts";
import { WebCalls } from "../../src/server/web-calls.ts";
import { recordingLogger } from "./listening-server.ts";

it("a web call that cannot be answered is logged without its query, which is a message", async () => {
  const log = recordingLogger();
  const calls = new WebCalls({
    interceptors: [],
    registry: createRegistry(),
    reading: resolveConfig(create(ServerConfigSchema)).security.input,
    maxMessageBytes: 1024,
    sourceOf: () => undefined,
    log,
  });
  calls.route([{ service: RunService, implementation: {} }]);
  const path = `/${RunService.typeName}/GetRun`;
  const url = `${path}?connect=v1&encoding=json&message=${encodeURIComponent('{"runId":"a-prompt"}')}`;
  // Without a socket: a caller whose address is asked for in vain.
  const request = { url, method: "GET", httpVersion: "1.1", headers: {}, rawHeaders: [] } as unknown as IncomingMessage;
  let status = 0;
  const response = Object.assign(new EventEmitter(), {
    headersSent: false,
    destroyed: false,
    writeHead: (written: number) => {
      status = written;
    },
    end: () => undefined,
  }) as unknown as ServerResponse;
  await calls.serve(request, response);
  expect(status).toBe(500);
  expect(log.entries).toHaveLength(1);
  expect(log.entries[0]?.fields).toMatchObject({ path });
  expect(JSON.stringify(log.entries)).not.toContain("a-prompt");
});
