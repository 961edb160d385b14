import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createTestServer } from "retake/testing";
import { StudioService } from "../gen/studio/v1/studio_service_pb.js";
import register from "../handlers.ts";

/** A server in this process: no ports, no disk, and a clock that the test moves. */
async function listening() {
  const { server, clock } = createTestServer();
  register(server);
  await server.listen();
  return { client: createClient(StudioService, server.transport), clock };
}

test("a poster says what was asked for, after its progress", async () => {
  const { client } = await listening();
  const updates = await Array.fromAsync(client.draw({ title: "Tom & Jerry" }), ({ update }) => update);
  const last = updates.at(-1);
  assert.equal(updates[0]?.case, "progress");
  assert.ok(last?.case === "poster");
  assert.match(last.value.svg, /Tom &amp; Jerry/);
});

test("a poster without a title is refused", async () => {
  const { client } = await listening();
  await assert.rejects(Array.fromAsync(client.draw({})), (error) => {
    assert.equal(ConnectError.from(error).code, Code.InvalidArgument);
    return true;
  });
});
